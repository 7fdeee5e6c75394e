"""Base of baselines that learn all their weights in one stage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from colaflex.interfaces.language_model import LanguageModel, ParameterGroup, Stage, StageStep
from colaflex.interfaces.losses import Counts, Losses
from colaflex.interfaces.values import TokenBatch, Vocabulary

__all__ = ["SingleStageBaseline"]


class SingleStageBaseline(LanguageModel):
    """A language model without latents, trained in the one stage `baseline`.

    Attributes:
        vocabulary: the token ids it deals in.

    Example:
        >>> from colaflex.interfaces.values import Vocabulary
        >>> sizes = {"width": 16, "layers": 1, "heads": 2, "vocabulary": Vocabulary(300, 256, 257)}
        >>> model = colaflex.build("baseline", "autoregressive", **sizes)
        >>> isinstance(model, SingleStageBaseline), [stage.name for stage in model.stages()]
        (True, ['baseline'])
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary

    @abstractmethod
    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        """Loss terms of a batch: sums over its rows."""

    @abstractmethod
    def training_flops(self, batch: TokenBatch) -> int:
        """Model FLOPs of one training step."""

    def stages(self) -> Sequence[Stage]:
        """One stage, `baseline`, in which every weight learns."""
        return [
            Stage(
                name="baseline",
                share=1.0,
                settings="baseline",
                groups=[ParameterGroup("baseline", list(self.parameters()))],
                prepare=lambda batch, step: batch,
                counts=counts,
                losses=self.losses,
                flops=self.training_flops,
            )
        ]

    def reconstruct(self, tokens: TokenBatch) -> None:
        """Nothing: there are no latents."""
        del tokens


def counts(batch: TokenBatch) -> Counts:
    """Tokens (end-of-text of complete rows included) and rows of a batch; no latents."""
    return {"tokens": int(batch.lengths.sum()), "latents": 0, "rows": len(batch.lengths)}
