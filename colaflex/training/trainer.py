"""The trainer: takes a model through its stages, from wherever it stands to the end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from colaflex.errors import RunFailure, UserError
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.values import TokenBatch
from colaflex.training.checkpoints import Checkpoint, CheckpointError, CheckpointStore, Position
from colaflex.training.distributed import Processes
from colaflex.training.hardware import Precision
from colaflex.training.interrupts import Interrupted, Interrupts
from colaflex.training.memory import limit_kernel_cache, release_freed_memory
from colaflex.training.metrics_log import MetricsLog
from colaflex.training.optimizers import hidden_matrices
from colaflex.training.stage_loop import Share, StageLoop, gather_state, prepared_batch
from colaflex.training.stage_plan import BatchOrder, StagePlan
from colaflex.training.watcher import Reached, Watcher, Watchers

__all__ = ["StageResult", "Trainer", "TrainerOptions", "TrainingResult"]

log = logging.getLogger("colaflex")


@dataclass(frozen=True)
class TrainerOptions:
    """How a run is trained, beside what its stages say.

    Attributes:
        folder: the run folder; `metrics.jsonl` and `checkpoints/` are written there.
        spec_digest: identifies the experiment; checkpoints of another are refused.
        seed: keys all noise.
        resume: continue from the newest valid checkpoint, where there is one.
        precision: fp32, or bf16 autocast (weights and optimizer stay in fp32).
        conditions: what else moves results, recorded with every stage that is trained under it.
        log_every: steps between lines of metrics.jsonl.
        checkpoint_every: steps between checkpoints.
        keep_checkpoints: how many of the newest are kept.
        current_folder: where the run folder is by now, if it may be moved meanwhile.
    """

    folder: Path
    spec_digest: str
    seed: int = 0
    resume: bool = False
    precision: Precision = "fp32"
    conditions: Mapping[str, Any] = field(default_factory=dict)
    log_every: int = 50
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    current_folder: Callable[[], Path] | None = None


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stage took, and under which conditions: those of each part that differed."""

    stage: str
    steps: int
    tokens: int
    flops: int
    seconds: float
    conditions: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What training took, stage by stage, over all interruptions."""

    stages: tuple[StageResult, ...]

    def as_json(self) -> dict[str, float]:
        """The sums, as `training` in result.json."""
        tokens, seconds = sum(s.tokens for s in self.stages), sum(s.seconds for s in self.stages)
        return {
            "tokens": tokens,
            "steps": sum(s.steps for s in self.stages),
            "flops": sum(s.flops for s in self.stages),
            "seconds": seconds,
            "tokens_per_second": tokens / seconds if seconds else 0.0,
        }


@dataclass(frozen=True, slots=True)
class _Span:
    """Steps `first` to `end` of a stage, between two fits of its constants.

    Attributes:
        index: of the stage.
        plan: of the stage.
        state: to go on from, or None at the stage's start.
        resumes: whether that is of an earlier process.
    """

    index: int
    plan: StagePlan
    first: int
    end: int
    state: Checkpoint | None = None
    resumes: bool = False


class Trainer:
    """Trains a model stage by stage; killed at any moment, it resumes to the very same end.

    A stage with an average (`ema_decay`) leaves the averaged weights in the model, so that what
    follows, and the evaluation, stand on the same weights.

    Args:
        model: knows its stages; new, unless its hidden matrices are noted.
        plans: the stages with their settings and steps, as `plan_stages` makes them.
        orders: the batches of a stage.
        options: of this run.
        processes: who trains together.
        watchers: of the run, on this process.
    """

    def __init__(
        self,
        model: LanguageModel,
        plans: Sequence[StagePlan],
        orders: Callable[[StagePlan], BatchOrder],
        options: TrainerOptions,
        processes: Processes | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        if model.hidden is None:
            model.hidden = hidden_matrices(model)
        self.model = model
        self.plans = tuple(plans)
        self.orders = orders
        self.options = options
        self.processes = processes or Processes()
        self.watchers = Watchers(watchers)
        self.store = CheckpointStore(options.folder / "checkpoints", options.spec_digest)
        self._finished: list[StageResult] = []
        self._unsaved: Exception | None = None

    def train(self, done: Collection[str] = ()) -> TrainingResult:
        """Train all stages but those in `done`, whose result the model has already.

        Raises:
            UserError: a batch cannot be shared out, or no checkpoint can be resumed from.
            RunFailure: a loss or gradient is not finite, or the end could not be saved.
            Interrupted: by SIGINT or SIGTERM, after a checkpoint.
        """
        for plan in self.plans:
            plan.rows_of_a_share(self.processes.world * plan.settings.accumulate)
        limit_kernel_cache()
        self.model.to(self.processes.device)
        with ExitStack() as stack:
            devices = [self.processes.device] if self.processes.device.type == "cuda" else []
            stack.enter_context(torch.random.fork_rng(devices))
            self._interrupts = stack.enter_context(Interrupts())
            resumed = self._restore()
            self._open_metrics(stack, resumed)
            stack.callback(self.watchers.end)
            self.watchers.started()
            self._train_stages(resumed, done)
        if self._unsaved is not None:
            raise RunFailure(
                f"training is over, but its end could not be saved: {self._unsaved}; make room "
                "and resume, and it goes on from the last good checkpoint"
            )
        if self._stop_requested(agree=True):  # in the last step, perhaps, or behind it
            raise Interrupted("interrupted at the end of training; --resume goes on behind it")
        return TrainingResult(tuple(self._finished))

    def _restore(self) -> Checkpoint | None:
        """Load the newest valid checkpoint, if the run is to be resumed."""
        if self.processes.writes:
            self.store.sweep()
        self.processes.barrier()
        if not self.options.resume:
            if names := self.store.names():
                raise UserError(
                    f"{self.store.root} holds checkpoints already ({names[-1]}); resume that run "
                    "(--resume), or choose another run folder"
                )
            return None
        checkpoint = self.store.latest(self.model.state_dict())
        if checkpoint is not None:
            self.model.load_state_dict(checkpoint.model)
            self._finished = [StageResult(**stage) for stage in checkpoint.state["finished"]]
            if self.processes.writes:
                self.store.prune(checkpoint.position, self.options.keep_checkpoints)
        return checkpoint

    def _open_metrics(self, stack: ExitStack, resumed: Checkpoint | None) -> None:
        if self.processes.writes:
            keep = resumed.state["metrics_bytes"] if resumed is not None else 0
            self.options.folder.mkdir(parents=True, exist_ok=True)
            self._metrics = MetricsLog(self.options.folder / "metrics.jsonl", keep)
            stack.callback(self._metrics.close)

    def _train_stages(self, resumed: Checkpoint | None, done: Collection[str]) -> None:
        position = resumed.position if resumed is not None else Position("", 0, 0)
        first = position.index + position.done
        for index, plan in enumerate(self.plans[first:], first):
            inside = resumed is not None and index == position.index
            if plan.stage.name not in done:
                self._train_stage(index, plan, resumed if inside else None)

    def _train_stage(self, index: int, plan: StagePlan, resumed: Checkpoint | None) -> None:
        options, stage = self.options, plan.stage
        order = self.orders(plan)
        first = 0 if resumed is None else resumed.position.step
        if resumed is None:
            stage.start()
        self.watchers.begin(stage.name, first, plan.steps)
        span = _Span(index, plan, first, first, resumed, resumed is not None)
        for end in (*(step for step in plan.refits if step > first), plan.steps):
            if span.end == 0 or span.end in plan.refits:
                stage.fit(self._training_batches(plan, order))
            loop = StageLoop(
                self.model, plan, order, options.seed, self.processes, options.precision
            )
            span = self._train_span(loop, replace(span, first=span.end, end=end))
        stage.finish(self._training_batches(plan, order))
        took = {**loop.totals.as_json(), "conditions": loop.conditions}
        self._finished.append(StageResult(stage.name, plan.steps, **took))
        self.watchers.stage_ended(asdict(self._finished[-1]))
        position = Position(stage.name, index, plan.steps, done=True)
        self._save(Checkpoint(position, gather_state(self.model)))
        del loop
        release_freed_memory()
        if index + 1 < len(self.plans) and self._stop_requested(agree=True):
            raise Interrupted(self._interruption(position))

    def _train_span(self, loop: StageLoop, span: _Span) -> _Span:
        """Steps between two fits; where more are to come, with the state to go on from."""
        plan = span.plan
        last = not plan.stage.closing and all(p.stage.closing for p in self.plans[span.index + 1 :])
        rungs = self.watchers.rungs_of(plan.steps) if last else {}
        with loop:
            if span.state is not None:
                loop.load(span.state)
            loop.under(self.options.conditions)
            self._mark = time.perf_counter()
            self._logged = loop.totals.as_json()
            if span.resumes and span.first in rungs:  # stopped before it was looked at, perhaps
                self._at_rung(loop, rungs[span.first])
            for step in range(span.first, span.end):
                loop.step(step)
                self._after_step(loop, Position(plan.stage.name, span.index, step + 1))
                if step + 1 in rungs:
                    self._at_rung(loop, rungs[step + 1])
            if span.end < plan.steps:
                self._tick(loop)
                position = Position(plan.stage.name, span.index, span.end)
                return replace(span, state=loop.checkpoint(position), resumes=False)
            if loop.ema is not None:
                loop.ema.adopt()
        return span

    def _after_step(self, loop: StageLoop, position: Position) -> None:
        step, last = position.step, position.step == loop.plan.steps
        logged = last or step % self.options.log_every == 0
        self.watchers.advance(step)
        if logged:
            self._log(loop, step)
        stop = self._stop_requested(agree=logged) and not last
        if stop or (step % self.options.checkpoint_every == 0 and not last):
            checkpoint = loop.checkpoint(position)
            self._tick(loop)
            self._save(checkpoint)
            self._mark = time.perf_counter()
        if stop:
            raise Interrupted(self._interruption(position))

    def _at_rung(self, loop: StageLoop, looks: Sequence[tuple[Watcher, int]]) -> None:
        """Let the model be looked at as it would be if the stage ended here."""
        self._tick(loop)
        flops = {stage.stage: stage.flops for stage in self._finished}
        flops[loop.plan.stage.name] = int(loop.totals.flops)
        seconds = sum(stage.seconds for stage in self._finished) + loop.totals.seconds
        self.model.eval()
        with loop.ema.swapped_in() if loop.ema is not None else nullcontext():
            for watcher, number in looks:
                watcher.look(Reached(number, flops, seconds))
        self.model.train()
        self._mark = time.perf_counter()

    def _tick(self, loop: StageLoop) -> None:
        """Count the time since the last call as training; writing checkpoints is not."""
        now = time.perf_counter()
        loop.totals.seconds += now - self._mark
        self._mark = now

    def _log(self, loop: StageLoop, step: int) -> None:
        means = loop.window.means()
        self._tick(loop)
        totals, before = loop.totals.as_json(), self._logged
        self._logged = totals
        record = {
            "stage": loop.plan.stage.name,
            "step": step,
            **means,
            "learning_rate": loop.plan.learning_rate(step - 1),
            "tokens": totals["tokens"],
            "seconds": totals["seconds"],
            "tokens_per_second": (totals["tokens"] - before["tokens"])
            / max(totals["seconds"] - before["seconds"], 1e-9),
        }
        if self.processes.writes:
            self._metrics.append(record)
        self.watchers.record(record)

    def _stop_requested(self, agree: bool) -> bool:
        """Whether to stop; several processes stop together, where they `agree`."""
        requested = self._interrupts.requested
        if self.processes.world == 1 or not agree:
            return requested and self.processes.world == 1
        vote = torch.tensor(float(requested), device=self.processes.device)
        return bool(self.processes.sum(vote) > 0)

    def _interruption(self, position: Position) -> str:
        place = f"interrupted in stage {position.stage} after step {position.step}"
        if self._unsaved is not None:
            return (
                f"{place}; this could not be saved ({self._unsaved}), --resume goes on from the "
                "last good checkpoint"
            )
        return f"{place}; a checkpoint is written, --resume goes on from it"

    def _save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint; where that fails, warn and go on with the last good one."""
        if not self.processes.writes:
            return
        if self.options.current_folder is not None:
            self.store.root = self.options.current_folder() / "checkpoints"
        try:
            state = {
                **checkpoint.state,
                "finished": [asdict(stage) for stage in self._finished],
                "metrics_bytes": self._metrics.sync(),
            }
            path = self.store.save(replace(checkpoint, state=state), self.options.keep_checkpoints)
        except (OSError, CheckpointError) as error:
            self._unsaved = error
            log.warning(
                "CHECKPOINT %s COULD NOT BE WRITTEN: %s; training goes on, the last good "
                "checkpoint is kept",
                checkpoint.position.name,
                error,
            )
            return
        self._unsaved = None
        self.watchers.checkpoint(path)

    def _training_batches(self, plan: StagePlan, order: BatchOrder) -> Iterator[TokenBatch]:
        """The batches that the stage has trained on, whole, in order."""
        for step in range(plan.steps):
            batch, _, _ = prepared_batch(plan, order, self.options.seed, step, Share())
            yield batch.to(self.processes.device)
