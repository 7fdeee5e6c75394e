"""Which of a model's matrices are hidden ones: between its ends, and at work from the start."""

from __future__ import annotations

from torch import nn

__all__ = ["hidden_matrices"]

LAYERS = (nn.Linear, nn.MultiheadAttention, nn.RNNBase)


def hidden_matrices(model: nn.Module, vocabulary: int | None = None) -> frozenset[str]:
    """Names of the matrices of layers that are neither at an end of the model nor zero.

    Look-up tables are at an end, tied to an output or not; so are the outputs to the vocabulary,
    with or without a symbol more. What is zero at first (gates, heads that begin with nothing) has
    no directions yet. So this is asked of a model whose weights are new.

    Args:
        model: as it was built.
        vocabulary: number of token ids; None where the model knows none.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Embedding(300, 8), torch.nn.Linear(8, 8))
        >>> hidden_matrices(model, vocabulary=300)
        frozenset({'1.weight'})
    """
    tables = {m.weight for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
    outputs = set() if vocabulary is None else {vocabulary, vocabulary + 1}
    inner = {
        parameter
        for layer in model.modules()
        if isinstance(layer, LAYERS) and getattr(layer, "out_features", None) not in outputs
        for parameter in layer.parameters(recurse=False)
        if parameter.dim() == 2 and parameter not in tables and bool(parameter.any())
    }
    return frozenset(name for name, parameter in model.named_parameters() if parameter in inner)
