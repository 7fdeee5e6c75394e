"""What a cell must show: it learns, goes on from a checkpoint as if nothing were, and generates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import STEPS, Cell, document

from colaflex.corpora.token_index import Data, prepare_data
from colaflex.experiment.assembly import build_model
from colaflex.experiment.stage_cache import StageOne, load_stage_one, save_stage_one
from colaflex.host.registry import registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.interfaces.losses import Counts, Losses
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.options import SamplingOptions, TokenSampling
from colaflex.interfaces.stage import Stage, StageStep
from colaflex.interfaces.values import LatentBatch, TokenBatch
from colaflex.latent.model import LatentModel
from colaflex.spec import Spec
from colaflex.training.batches import Rows
from colaflex.training.stage_plan import StagePlan
from colaflex.training.trainer import Trainer, TrainerOptions
from colaflex.training.watcher import Watcher

__all__ = ["Rehearsal", "rehearse"]

NEW_TOKENS = 5


@dataclass(frozen=True)
class Always:
    """The same rows at every step."""

    rows: TokenBatch

    def batch(self, step: int) -> TokenBatch:
        del step
        return self.rows


class Repeated(Stage):
    """A stage with the noise of its first step at every step."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.name, self.settings, self.share = stage.name, stage.settings, stage.share
        self.groups, self.refits = stage.groups, stage.refits
        self.start, self.fit, self.finish = stage.start, stage.fit, stage.finish

    def prepare(self, batch: TokenBatch, step: StageStep) -> TokenBatch:
        return self.stage.prepare(batch, _first(step))

    def counts(self, batch: TokenBatch) -> Counts:
        return self.stage.counts(batch)

    def flops(self, batch: TokenBatch) -> int:
        return self.stage.flops(batch)

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        return self.stage.losses(batch, _first(step))


def _first(step: StageStep) -> StageStep:
    return replace(step, noise=replace(step.noise, step=0))


@cache
def read(vocab_size: int, tokenizer: Path | None, corpus: ComponentConfig) -> Data:
    """Tokenizer and tokens, read once for all cells that read the same."""
    path = None if tokenizer is None else str(tokenizer)
    return prepare_data(registry().build(corpus), vocab_size, path)


def four_rows(data: Data, max_tokens: int) -> TokenBatch:
    """Two rows with the end of their document and two without."""
    split = data.index.split("train")
    rows = Rows.of(split, max_tokens)
    complete = [np.flatnonzero(rows.complete == whether)[:2] for whether in (True, False)]
    return rows.batch(split, np.concatenate(complete), max_tokens, data.index.end_of_text)


def rehearse(cell: Cell, folder: Path) -> None:
    """All that a cell that can work must show."""
    rehearsal = Rehearsal(Spec.parse(document(cell)), folder)
    rehearsal.learns()
    rehearsal.goes_on()
    rehearsal.generates()


class Rehearsal:
    """One cell's way from its spec to its first words.

    Args:
        spec: of the cell.
        folder: an empty one, for checkpoints.
    """

    def __init__(self, spec: Spec, folder: Path) -> None:
        assert spec.representation is not None
        own = spec.representation.tokenizer_file()
        self.spec, self.folder = spec, folder
        self.data = read(spec.tokenizer.vocab_size, own, spec.corpus)
        rows = four_rows(self.data, spec.training.for_stage("prior").max_tokens)
        self.order = Always(rows)
        self.model = self.build()

    def build(self) -> LatentModel:
        """The cell's model, untrained."""
        model = build_model(self.spec, self.data.tokenizer)
        assert isinstance(model, LatentModel)
        return model

    def trainer(self, model: LatentModel, resume: bool) -> Trainer:
        """Every stage for `STEPS` steps, a checkpoint before the last of them."""
        settings = self.spec.training.for_stage
        plans = [
            StagePlan(Repeated(stage), settings(stage.settings), STEPS) for stage in model.stages()
        ]
        options = TrainerOptions(
            self.folder,
            self.spec.digest(self.data.digest),
            resume=resume,
            log_every=1,
            checkpoint_every=STEPS - 1,
        )
        return Trainer(
            model, plans, lambda plan: self.order, options, watchers=[_KeepStageOne(self)]
        )

    def records(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def learns(self) -> None:
        """Train: the objective of every stage falls, and so do the losses of the prior in it.

        The prior's own, by a tenth (of their size, as densities may put them below 0): in stage 2
        the objective would fall without a prior that learns, by what the representation learns.

        Cells that differ in their prior share one stage 1, as runs do.
        """
        digest = self.spec.stage1_digest(self.data.digest)
        kept = load_stage_one(self.model, digest)
        if kept is not None:
            self.model.load_state_dict(kept.state, strict=False)
        self.trainer(self.model, resume=False).train({"representation"} if kept else ())
        own = self.prior_losses()
        for stage in dict.fromkeys(record["stage"] for record in self.records()):
            steps = [record for record in self.records() if record["stage"] == stage]
            assert len(steps) == STEPS
            assert steps[-1]["loss"] < steps[0]["loss"], f"{stage}: {steps}"
            names = own.get(stage, ["loss"])
            first, last = (sum(steps[i][name] for name in names) for i in (0, -1))
            assert last < first - 0.1 * abs(first), f"{stage}: {names} from {first} to {last}"

    def prior_losses(self) -> dict[str, list[str]]:
        """The names of the prior's own losses, by stage."""
        model = self.build()
        prior, places = model.prior, (2, 2 * model.prior.block_size)
        latents = LatentBatch(
            torch.randn(*places, prior.latent_dim),
            torch.ones(places, dtype=torch.bool),
            content=torch.zeros(*places, model.representation.slots, dtype=torch.int64),
        )
        return {
            phase.name: [f"loss.{name}" for name in phase.losses(latents, Noise(0))]
            for phase in prior.phases()
        }

    def goes_on(self) -> None:
        """Resume from before the last step into a model that knows nothing."""
        *_, last = sorted((self.folder / "checkpoints").iterdir(), key=lambda p: p.stat().st_mtime)
        shutil.rmtree(last)
        model, expected = self.build(), self.records()[-1]
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():  # the others, such as a digest, are no weights
                tensor.fill_(torch.nan)
        self.trainer(model, resume=True).train()
        found = self.records()[-1]
        clock = ("seconds", "tokens_per_second")
        assert {k: v for k, v in found.items() if k not in clock} == {
            k: v for k, v in expected.items() if k not in clock
        }
        for name, tensor in self.model.state_dict().items():
            torch.testing.assert_close(model.state_dict()[name], tensor, atol=0, rtol=0, msg=name)

    def generates(self) -> None:
        """Tokens behind nothing and behind a prompt of odd length, the same ones again."""
        self.model.eval()
        prompts = [[], self.order.rows.tokens[0, :3].tolist()]
        first, again = (self._generated(prompts) for _ in range(2))
        assert first == again
        vocabulary = self.model.vocabulary
        for tokens, finish in first:
            assert finish == "end" or len(tokens) == NEW_TOKENS
            assert all(0 <= token < vocabulary.size for token in tokens)
            assert vocabulary.mask not in tokens and vocabulary.end_of_text not in tokens

    def _generated(self, prompts: list[list[int]]) -> list[tuple[list[int], str | None]]:
        assert self.spec.prior is not None
        steps = max(2, self.spec.prior.capabilities().fewest_steps)
        rows: list[tuple[list[int], str | None]] = [([], None) for _ in prompts]
        for block in self.model.generate_tokens(
            prompts, 0, NEW_TOKENS, SamplingOptions(steps), TokenSampling()
        ):
            for gained in block:
                tokens, _ = rows[gained.row]
                rows[gained.row] = ([*tokens, *gained.tokens], gained.finish)
        return rows


@dataclass(frozen=True, eq=False)
class _KeepStageOne(Watcher):
    """Puts a finished stage 1 where other cells find it."""

    of: Rehearsal

    def stage_ended(self, result: Mapping[str, Any]) -> None:
        if result["stage"] == "representation":
            cost = StageOne(**{key: value for key, value in result.items() if key != "stage"})
            digest = self.of.spec.stage1_digest(self.of.data.digest)
            save_stage_one(self.of.model, cost, digest)
