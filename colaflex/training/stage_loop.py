"""The loop of one stage: batch -> losses -> gradients -> step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from colaflex.errors import Diverged
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.losses import Unit
from colaflex.interfaces.noise import Noise, generator_for
from colaflex.interfaces.stage import Stage, StageStep
from colaflex.interfaces.values import TokenBatch
from colaflex.spec.training import StageSettings
from colaflex.training.checkpoints import Checkpoint, Position
from colaflex.training.distributed import Processes, gather
from colaflex.training.ema import Ema
from colaflex.training.hardware import Precision, native_bf16
from colaflex.training.optimizers import NamedGroup, build_optimizers
from colaflex.training.stage_plan import BatchOrder, StagePlan

__all__ = ["Share", "StageLoop", "Totals", "Window", "gather_state", "prepared_batch"]

UNITS: tuple[Unit, ...] = ("tokens", "latents", "rows")
_Part = tuple[TokenBatch, StageStep, int]


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of a step's rows a micro-batch is: number `index` of `of` equal ones."""

    index: int = 0
    of: int = 1


@dataclass
class Totals:
    """What a stage has consumed so far; tensors only where processes add theirs up."""

    tokens: int | Tensor = 0
    flops: int | Tensor = 0
    seconds: float = 0.0

    def add(self, tokens: int | Tensor, flops: int | Tensor) -> None:
        """Count a step."""
        self.tokens = self.tokens + tokens
        self.flops = self.flops + flops

    def as_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"tokens": int(self.tokens), "flops": int(self.flops), "seconds": self.seconds}


class Window:
    """Values of the steps since the last line, read from the device only when wanted.

    What is added for one step and name is summed, over micro-batches and over processes.
    """

    def __init__(self, stage: str, processes: Processes) -> None:
        self._stage = stage
        self._processes = processes
        self._unread: list[tuple[int, tuple[str, ...], Tensor]] = []
        self.rows: list[dict[str, float]] = []

    def add(self, step: int, names: tuple[str, ...], values: Tensor) -> None:
        """Keep the values of a step; every process adds the same names in the same order.

        Args:
            step: its number in the record, where the first step is 1.
            names: of the values.
            values: (names,), on the device.
        """
        self._unread.append((step, names, values))

    def read(self) -> None:
        """Fetch what was kept.

        Raises:
            Diverged: a value is not finite; names stage, step and term.
        """
        if not self._unread:
            return
        flat = iter(self._processes.sum(torch.cat([v for _, _, v in self._unread])).tolist())
        rows: dict[int, dict[str, float]] = {}
        for step, names, _ in self._unread:
            row = rows.setdefault(step, {})
            for name in names:
                value = next(flat)
                if not math.isfinite(value):
                    raise Diverged(
                        f"stage {self._stage}, step {step}: {name} is {value}; training stops, "
                        "the last good checkpoint is kept"
                    )
                row[name] = row.get(name, 0.0) + value  # micro-batches give shares of a sum
        self._unread = []
        self.rows.extend(rows.values())

    def means(self) -> dict[str, float]:
        """Mean of each value over the steps that had it; the window is empty afterwards."""
        self.read()
        names = dict.fromkeys(name for row in self.rows for name in row)
        columns = {name: [row[name] for row in self.rows if name in row] for name in names}
        self.rows = []
        return {name: math.fsum(column) / len(column) for name, column in columns.items()}


def prepared_batch(plan: StagePlan, order: BatchOrder, seed: int, step: int, share: Share) -> _Part:
    """A share of a step's batch as the stage wants it (on the CPU), and its tokens before that."""
    rows = plan.rows_of_a_share(share.of)
    first, total = share.index * rows, share.of * rows
    own = slice(first, first + rows)
    # Prepared whole, so that all shares have one width, and draw noise of one shape.
    raw = order.batch(step)
    whole = StageStep(step, plan.steps, Noise(seed, step, plan.stage.name, 0, total, plan.steps))
    prepared = plan.stage.prepare(raw, whole).rows(own)
    noise = Noise(seed, step, plan.stage.name, first, total, plan.steps)
    return prepared, StageStep(step, plan.steps, noise), int(raw.lengths[own].sum())


class StageLoss(nn.Module):
    """The objective sum_k weight_k · total_k / count_k of a stage: what DDP, FSDP2, compile wrap.

    The model is a submodule so that a wrapper finds its parameters; the stage does the work.
    """

    def __init__(self, model: nn.Module, stage: Stage, precision: Precision = "fp32") -> None:
        super().__init__()
        self.model = model
        self.stage = stage
        self._bf16 = precision == "bf16"

    def forward(
        self, batch: TokenBatch, step: StageStep, divisors: Mapping[str, int | Tensor]
    ) -> tuple[Tensor, tuple[str, ...], Tensor]:
        """The objective, and its terms for the record.

        Args:
            batch: a prepared batch, or one share of it.
            step: where the stage stands.
            divisors: counts of the whole batch by unit, none of them 0.

        Returns:
            The objective; names of the terms and of the whole; their values, without gradient.
        """
        with torch.autocast(batch.tokens.device.type, torch.bfloat16, enabled=self._bf16):
            terms = self.stage.losses(batch, step)
        means = {name: term.total / divisors[term.per] for name, term in terms.items()}
        weighted = [term.weight * means[name] for name, term in terms.items() if term.weight]
        objective = torch.stack(weighted).sum()
        # The whole comes last, so that a term that is not finite is named before it.
        names = (*(f"loss.{name}" for name in means), "loss")
        values = torch.stack([value.detach().float() for value in (*means.values(), objective)])
        return objective, names, values


class StageLoop:
    """Everything that one stage's steps need; a context manager, as it wraps the model.

    Args:
        model: whole; between entering and leaving it may be sharded.
        plan: the stage.
        order: its batches.
        seed: keys all noise.
        processes: who trains together.
        precision: of the losses' arithmetic; weights and optimizer stay in fp32.
    """

    def __init__(
        self,
        model: LanguageModel,
        plan: StagePlan,
        order: BatchOrder,
        seed: int,
        processes: Processes,
        precision: Precision = "fp32",
    ) -> None:
        self.model = model
        self.plan = plan
        self.order = order
        self.seed = seed
        self.processes = processes
        self.totals = Totals()
        self.conditions: list[Mapping[str, Any]] = []
        self.window = Window(plan.stage.name, processes)
        self._loss = StageLoss(model, plan.stage, precision)
        low = precision == "bf16" and native_bf16(processes.device.type)
        self._muon_dtype = torch.bfloat16 if low else torch.float32
        self._stack = ExitStack()

    def __enter__(self) -> StageLoop:
        settings = self.plan.settings
        names = {p: name for name, p in self.model.named_parameters()}
        groups = [(g.lr_ratio, [names[p] for p in g.parameters]) for g in self.plan.stage.groups]
        self._stack.enter_context(_modes(self.model, {n for _, g in groups for n in g}, settings))
        if settings.compile:
            self._loss.compile()
        self.model.train()
        self._engine = self._stack.enter_context(self.processes.wrapped(self._loss))
        learning = dict(self.model.named_parameters())  # sharded stand-ins, under FSDP
        self._parameters = {name: learning[name] for _, group in groups for name in group}
        self.optimizers = build_optimizers(
            settings.optimizer,
            [NamedGroup({n: learning[n] for n in group}, ratio) for ratio, group in groups],
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            hidden=self.model.hidden or (),
            muon_dtype=self._muon_dtype,
        )
        self.ema = Ema(self._parameters, settings.ema_decay) if settings.ema_decay else None
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def step(self, index: int) -> None:
        """Step `index` of the stage, from 0."""
        accumulate, processes = self.plan.settings.accumulate, self.processes
        of = accumulate * processes.world
        shares = [Share(processes.rank * accumulate + part, of) for part in range(accumulate)]
        parts = [prepared_batch(self.plan, self.order, self.seed, index, s) for s in shares]
        divisors = self._count(parts)
        for share, (batch, place, _) in zip(shares, parts, strict=True):
            self._seed_global_generators(index, share)
            with processes.synchronised(self._engine, last=share is shares[-1]):
                objective, names, values = self._engine(batch.to(processes.device), place, divisors)
                (objective if processes.world == 1 else objective * processes.world).backward()
            self.window.add(index + 1, names, values)
        norm = self._clip()
        self.window.add(index + 1, ("gradient_norm",), norm.reshape(1).float() / processes.world)
        self.optimizers.set_learning_rate(self.plan.learning_rate(index))
        self.optimizers.step()
        if self.ema is not None:
            self.ema.update()
        self.plan.stage.stepped(index)

    def _count(self, parts: Sequence[_Part]) -> dict[str, int | Tensor]:
        """The divisors of the whole batch, of all processes, from one all-reduce."""
        stage = self.plan.stage
        counted: list[int] = [0] * (len(UNITS) + 2)
        for batch, _, read in parts:
            counts = stage.counts(batch)
            here = [*(counts.get(unit, 0) for unit in UNITS), read, stage.flops(batch)]
            counted = [a + b for a, b in zip(counted, here, strict=True)]
        *divisors, tokens, flops = self.processes.sum_counts(counted)
        self.totals.add(tokens, flops)
        return {
            unit: count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)
            for unit, count in zip(UNITS, divisors, strict=True)
        }

    def _clip(self) -> Tensor:
        """The norm of all gradients, which are scaled down where it exceeds the limit."""
        parameters = [p for p in self._parameters.values() if p.grad is not None]
        norm = gather(get_total_norm([p.grad for p in parameters if p.grad is not None]))
        if self.plan.settings.clip_norm:
            clip_grads_with_norm_(parameters, self.plan.settings.clip_norm, norm)
        return norm

    def _seed_global_generators(self, index: int, share: Share) -> None:
        """Key torch's own generators (dropout) by place, so that no state of theirs is saved."""
        key = generator_for(self.seed, self.plan.stage.name, "global", index, share.index)
        torch.default_generator.manual_seed(key.initial_seed())
        if self.processes.device.type == "cuda":
            torch.cuda.manual_seed(key.initial_seed())

    def under(self, conditions: Mapping[str, Any]) -> None:
        """The steps from here on are trained under these conditions."""
        if conditions not in self.conditions:
            self.conditions.append(conditions)

    def checkpoint(self, position: Position) -> Checkpoint:
        """The state between two steps (collective: every process must call it)."""
        self.window.read()
        return Checkpoint(
            position,
            gather_state(self.model),
            self.optimizers.state(),
            self.ema.state() if self.ema is not None else {},
            {
                "window": self.window.rows,
                "totals": self.totals.as_json(),
                "conditions": self.conditions,
                "ema_updates": self.ema.updates if self.ema is not None else 0,
            },
        )

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint of this stage, whose weights the model has already."""
        self.optimizers.load_state(checkpoint.optimizer)
        if self.ema is not None:
            self.ema.load(checkpoint.ema, checkpoint.state["ema_updates"])
        self.window.rows = [dict(row) for row in checkpoint.state["window"]]
        self.totals = Totals(**checkpoint.state["totals"])
        # An older checkpoint doesn't say: nobody knows how the steps so far were trained.
        self.conditions = list(checkpoint.state.get("conditions", [{}]))


def gather_state(model: nn.Module) -> dict[str, Tensor]:
    """The model's state, whole (collective where it is sharded)."""
    return {name: gather(tensor) for name, tensor in model.state_dict().items()}


@contextmanager
def _modes(model: nn.Module, learning: set[str], settings: StageSettings) -> Iterator[None]:
    """Set what learns and what is recomputed; as it was before, afterwards."""
    before = {p: p.requires_grad for p in model.parameters()}
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learning)
    for module in model.modules():
        if hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = settings.gradient_checkpointing  # type: ignore[assignment]
    try:
        yield
    finally:
        for parameter, learned in before.items():
            parameter.requires_grad_(learned)
