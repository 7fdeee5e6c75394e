"""A real language model of a few hundred parameters, its data, and a run of it."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.losses import Counts, Losses, LossTerm
from colaflex.interfaces.stage import ParameterGroup, Stage, StageStep
from colaflex.interfaces.values import TokenBatch
from colaflex.priors.trajectory import take_into_average
from colaflex.spec.training import StageSettings
from colaflex.training.distributed import Processes
from colaflex.training.stage_plan import StagePlan, plan_stages
from colaflex.training.trainer import Trainer, TrainerOptions, TrainingResult
from colaflex.training.watcher import Watcher

VOCABULARY, WIDTH = 11, 8


class Settings(StageSettings):
    """Settings for a few steps of a tiny model."""

    steps: int = 6
    batch_size: int = 8
    learning_rate: float = 0.05
    warmup_steps: int = 2


class Rows:
    """Row r of step s is a pure function of (s, r); rows differ in length."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size

    def batch(self, step: int) -> TokenBatch:
        generator = torch.Generator().manual_seed(1000 + step)
        tokens = torch.randint(1, VOCABULARY, (self.batch_size, 7), generator=generator)
        lengths = torch.randint(2, 8, (self.batch_size,), generator=generator)
        tokens[torch.arange(7) >= lengths[:, None]] = 0
        return TokenBatch(tokens, lengths, lengths < 7)


class TinyModel(LanguageModel):
    """Stage "representation": denoise embeddings. Stage "prior": predict the next token.

    The average of the weights that predict is kept, and predicts a little of it.

    The head is tied to the embedding; `start` and `finish` write buffers; with `dropout` the global
    generator is drawn from; `poison` (stage, index of the step, term) multiplies a term by
    `factor`.
    """

    def __init__(
        self,
        dropout: float = 0.0,
        poison: tuple[str, int, str] | None = None,
        seed: int = 0,
        factor: float = torch.nan,
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(VOCABULARY, WIDTH)
            self.mix = nn.Linear(WIDTH, WIDTH)
            self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
            self.predict = nn.Linear(WIDTH, WIDTH)
            self.scale = nn.Parameter(torch.ones(WIDTH))
        self.head.weight = self.embedding.weight
        self.average = copy.deepcopy(self.predict).requires_grad_(False)
        self.register_buffer("mean", torch.zeros(WIDTH))
        self.register_buffer("starts", torch.zeros(2))
        self.drop = nn.Dropout(dropout)
        self.poison, self.factor = poison, factor
        self.gradient_checkpointing = False

    def stages(self) -> Sequence[Stage]:
        return [Denoising(self), Prediction(self)]

    @torch.no_grad()
    def finish(self, batches: Iterator[TokenBatch]) -> None:
        for batch in batches:
            self.mean += self.embedding(batch.tokens).mean((0, 1))

    def _poisoned(self, losses: dict[str, LossTerm], step: StageStep) -> Losses:
        if self.poison is not None:
            stage, at, name = self.poison
            if (step.noise.scope, step.index) == (stage, at):
                term = losses[name]
                losses[name] = LossTerm(term.total * self.factor, term.per, term.weight)
        return losses

    def _logits(self, states: Tensor) -> Tensor:
        return self.head(self.drop(states))

    def denoise(self, batch: TokenBatch, step: StageStep) -> Losses:
        clean = self.embedding(batch.tokens)
        noise = step.noise.normal("denoise", clean.shape, clean)
        states = self.mix(clean + 0.1 * noise).tanh()
        nll = functional.cross_entropy(
            self._logits(states).transpose(1, 2), batch.tokens, reduction="none"
        )
        size = (clean.square().sum(-1) * batch.mask).sum()
        losses = {
            "nll": LossTerm((nll * batch.mask).sum(), "tokens"),
            "size": LossTerm(size, "rows", 0.01),
        }
        return self._poisoned(losses, step)

    def predict_next(self, batch: TokenBatch, step: StageStep) -> Losses:
        states = self.embedding(batch.tokens) - self.mean
        mixed = self.mix(states).tanh()
        states = (self.predict(mixed) + 0.1 * self.average(mixed)) * self.scale
        nll = functional.cross_entropy(
            self._logits(states)[:, :-1].transpose(1, 2), batch.tokens[:, 1:], reduction="none"
        )
        total = (nll * batch.mask[:, 1:]).sum()
        losses = {"nll": LossTerm(total, "tokens"), "seen": LossTerm(total.detach(), "rows", 0.0)}
        return self._poisoned(losses, step)

    def parts(self) -> Mapping[str, nn.Module]:
        return {"model": self}

    def generate_tokens(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def reconstruct(self, tokens: TokenBatch) -> None:
        return None

    def log_likelihood(self, tokens: TokenBatch) -> Tensor | None:
        return None


class TinyStage(Stage):
    """One of the tiny model's."""

    number = 0

    def __init__(self, model: TinyModel) -> None:
        self.model = model
        self.representation = [*model.embedding.parameters(), *model.mix.parameters()]

    def start(self) -> None:
        self.model.starts[self.number] += 1

    def counts(self, batch: TokenBatch) -> Counts:
        return {"tokens": int(batch.lengths.sum()), "rows": len(batch.lengths)}

    def flops(self, batch: TokenBatch) -> int:
        return (self.number + 1) * batch.tokens.numel()


class Denoising(TinyStage):
    """Stage "representation"."""

    name = settings = "representation"

    def __init__(self, model: TinyModel) -> None:
        super().__init__(model)
        self.groups = [ParameterGroup("representation", self.representation)]

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        return self.model.denoise(batch, step)

    def finish(self, batches: Iterator[TokenBatch]) -> None:
        self.model.finish(batches)


class Prediction(TinyStage):
    """Stage "prior"."""

    number = 1
    name = settings = "prior"

    def __init__(self, model: TinyModel) -> None:
        super().__init__(model)
        prior = [*model.predict.parameters(), model.scale]
        self.groups = [
            ParameterGroup("prior", prior),
            ParameterGroup("representation", self.representation, 0.5),
        ]

    def losses(self, batch: TokenBatch, step: StageStep) -> Losses:
        return self.model.predict_next(batch, step)

    def stepped(self, index: int) -> None:
        take_into_average(self.model.average, self.model.predict, 0.9, index)


class Stop(Watcher):
    """Interrupts the run after given steps, as Ctrl-C does."""

    def __init__(self, *at: tuple[str, int]) -> None:
        self.at = set(at)
        self.stage = ""

    def begin(self, stage: str, done: int, total: int) -> None:
        self.stage = stage

    def advance(self, done: int) -> None:
        if (self.stage, done) in self.at:
            self.at.remove((self.stage, done))
            os.kill(os.getpid(), signal.SIGTERM)


def trainer_of(
    folder: Path,
    settings: Settings | None = None,
    model: TinyModel | None = None,
    processes: Processes | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> Trainer:
    settings = settings or Settings()
    model = model or TinyModel()
    options = {"log_every": 3, "checkpoint_every": 2, **options}

    def order(plan: StagePlan) -> Rows:
        return Rows(plan.settings.batch_size)

    plans = plan_stages(model.stages(), lambda name: settings)
    return Trainer(
        model,
        plans,
        order,
        TrainerOptions(folder, "digest-of-the-spec", **options),
        processes,
        [] if watcher is None else [watcher],
    )


def train(folder: Path, *args: Any, **kwargs: Any) -> TrainingResult:
    return trainer_of(folder, *args, **kwargs).train()


def final_state(folder: Path) -> bytes:
    """The weights that a finished run leaves, byte for byte."""
    return (sorted((folder / "checkpoints").glob("prior-*"))[-1] / "model.safetensors").read_bytes()


def records(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the times."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    times = {"seconds", "tokens_per_second"}
    return [{k: v for k, v in json.loads(line).items() if k not in times} for line in lines]


def with_settings(**changes: Any) -> Settings:
    return Settings(**changes)
