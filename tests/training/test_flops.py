"""Model FLOPs of every stage of models, the `worlds` board's first, against torch's counter.

The counter sees plain matrix products (SDPA's math backend), and with them what a dense mask spends
on pairs that it hides. Model FLOPs count allowed pairs only, so those of hidden ones are taken off:
2 · head_dim for a score and 2 · head_dim for what it weighs, and twice that again where a backward
pass follows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from colaflex.corpora.token_index import prepare_data
from colaflex.corpora.tokenizer import Tokenizer
from colaflex.experiment.assembly import build_model
from colaflex.host.registry import registry
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.stage import Stage, StageStep
from colaflex.interfaces.values import TokenBatch
from colaflex.latent.model import LatentModel
from colaflex.leaderboard.board import Board

ROWS, TOKENS = 4, 80
BOARD = Board.load(Path(__file__).parents[2] / "benchmarks/boards/worlds.yaml")


class HiddenPairs(TorchFunctionMode):
    """Counts the FLOPs of attention pairs that a mask hides."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self._head_dim = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named = kwargs or {}
        if func in (Tensor.matmul, Tensor.__matmul__):
            self._head_dim = args[0].shape[-1]
        elif func is Tensor.masked_fill_ and args[0].ndim == 4:  # scores that are learned through
            self.flops += 3 * self._pairs(args[1], args[0].shape, self._head_dim)
        elif func is functional.scaled_dot_product_attention:
            query, keys = args[:2]
            shape, hidden = (*query.shape[:-1], keys.shape[-2]), named.get("attn_mask")
            if named.get("is_causal"):
                hidden = torch.ones(shape[-2:], dtype=torch.bool).tril()
            if hidden is not None:
                self.flops += self._pairs(~hidden, shape, query.shape[-1])
        return func(*args, **named)

    @staticmethod
    def _pairs(hidden: Tensor, shape: Any, head_dim: int) -> int:
        return 4 * head_dim * int(hidden.expand(shape).sum())


def counted(run: Callable[[], Any]) -> int:
    """FLOPs by torch's counter, without those of hidden pairs."""
    counter, hidden = FlopCounterMode(display=False), HiddenPairs()
    with sdpa_kernel(SDPBackend.MATH), hidden, counter:
        run()
    return int(counter.get_total_flops()) - hidden.flops


def of_a_step(stage: Stage, batch: TokenBatch) -> tuple[int, int]:
    """Ours and torch's of one step of training on a batch."""
    step = StageStep(0, 10, Noise(0, 0, stage.name, 0, ROWS, 10))
    prepared = stage.prepare(batch, step)

    def learn() -> None:
        terms = stage.losses(prepared, step).values()
        torch.stack([term.weight * term.total for term in terms]).sum().backward()

    return stage.flops(prepared), counted(learn)


def resting(model: LanguageModel, stage: Stage, batch: TokenBatch) -> tuple[int, int]:
    """What a resting representation takes: ours, half of its forward pass; and its encoder's."""
    if not isinstance(model, LatentModel) or stage.name == "representation":
        return 0, 0
    cut = model.segment(batch)
    with torch.no_grad():
        encoder = counted(lambda: model.representation.encode(batch, cut))
    return model.representation.flops(*cut.lengths.shape) // 2, encoder


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """Of some of the board's stories, with as many tokens as it has."""
    base = BOARD.base_spec.override({"corpus.documents": 300})
    corpus: Any = registry().build(base.corpus)
    return prepare_data(corpus, base.tokenizer.vocab_size).tokenizer


READOUTS = {
    f"flow_matching, {readout}": BOARD.specs["flow_matching_readout"].override(
        {"prior.readout": readout}
    )
    for readout in ("chained", "recurrent", "block_recurrent", "through_decoder", "second_head")
}
READOUTS["flow_matching, drawn latents learned"] = READOUTS["flow_matching, recurrent"].override(
    {"representation.readout.draw_weight": 0.5}
)
TAUGHT = {
    f"{prior}, {readout}": BOARD.specs["rectified_flow_readout"].override(
        {"prior": prior, "prior.readout": readout, **options}
    )
    for prior, readout, options in (
        ("rectified_flow", "chained", {}),
        ("rectified_flow", "through_decoder", {}),
        ("consistency", "second_head", {"prior.mode": "distillation"}),
    )
}
CONSISTENT = {
    f"{row}, consistent with its trajectory": BOARD.specs[row].override(
        {"prior.trajectory": {"weight": 1.0, "warmup": 0.0}, **options}
    )
    for row, options in (
        ("flow_matching", {}),
        ("flow_matching_readout", {"prior.self_conditioning.share": 0.5}),
    )
}
WATCHED = {
    "flow_matching, its decoder asked for times": BOARD.specs["flow_matching"].override(
        {"prior.schedule": {"type": "adaptive", "source": "decoder", "share": 1.0}}
    )
}
APART = {
    "flow_matching_readout, the left ahead": BOARD.specs["flow_matching_readout"].override(
        {"prior.block_size": 4, "prior.stagger.lead": 0.5}
    )
}
ADAPTED = {
    f"{row}, its decoder adapted": BOARD.specs[row].override(
        {"training.stages.adapt_decoder": {"share": 0.05}}
    )
    for row in ("flow_matching", "flow_matching_readout")
}
ADAPTED["flow_matching, its autoregressive decoder adapted"] = BOARD.specs[
    "flow_matching"
].override(
    {
        "training.stages.adapt_decoder": {"share": 0.05},
        "representation.decoder": "autoregressive",
        "prior.noisings": 1,
    }
)
SPECS = {
    **ADAPTED,
    **APART,
    **BOARD.specs,
    **WATCHED,
    **READOUTS,
    **CONSISTENT,
    **TAUGHT,
    "hybrid": BOARD.base_spec.override({"prior": "hybrid"}),
}


@pytest.mark.parametrize("row", list(SPECS))
def test_flops_of_every_model_agree_with_torchs_counter(row: str, tokenizer: Tokenizer) -> None:
    spec = SPECS[row]
    if hasattr(spec.prior, "history_dropout"):  # rows that see less by chance are no layout
        spec = spec.override({"prior.history_dropout": 0.0})
    model = build_model(spec, tokenizer)
    tokens = torch.randint(3, tokenizer.size, (ROWS, TOKENS), generator=torch.manual_seed(0))
    whole = torch.full((ROWS,), TOKENS)
    batch = TokenBatch(tokens, whole, torch.zeros(ROWS, dtype=torch.bool))
    costs, excess = {}, {}
    for stage in model.stages():
        stage.start()
        ours, theirs = costs[stage.name] = of_a_step(stage, batch)
        half, encoder = resting(model, stage, batch)
        excess[stage.name] = half - encoder
        # The counter knows that no gradient goes on through what the first layers read.
        assert ours - half == pytest.approx(theirs - encoder, rel=0.02), stage.name
    # A whole training: so many steps of each stage as its share, and the board's of stage 1, say.
    steps = {stage.name: stage.share for stage in model.stages()}
    if "adapt_decoder" in steps:  # its share is of steps of its own, a tenth of the prior's
        steps["adapt_decoder"] = 0.1
    if "representation" in steps:
        later = sum(share * costs[name][0] for name, share in steps.items()) - (
            steps["representation"] * costs["representation"][0]
        )
        part = BOARD.stage1_flops / (1 - BOARD.stage1_flops)
        steps["representation"] = part * later / costs["representation"][0]
    ours, theirs = (sum(n * costs[name][i] for name, n in steps.items()) for i in (0, 1))
    if getattr(spec.prior, "noisings", 2) == 1:
        # A resting encoder is counted as half of its representation, more than this one takes:
        # the larger a part of a step, the fewer noisings there are in it.
        ours -= sum(n * excess[name] for name, n in steps.items())
    assert ours == pytest.approx(theirs, rel=0.03)
