"""The main job: spec in, run folder out. And back: a run folder in, a language model out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from colaflex.errors import WrongKind
from colaflex.evaluation.evaluate import Evaluation
from colaflex.experiment.damage import damage
from colaflex.experiment.folder import IDENTITY, json_text, measurements_json
from colaflex.experiment.identity import WRITTEN_AT_ONCE, claim, describe, identity_of, rewrite
from colaflex.experiment.loading import load
from colaflex.experiment.prepared import Prepared, prepare
from colaflex.experiment.result import (
    PEAK_MEMORY,
    TRAINING_RATE,
    component_versions,
    measured_otherwise,
    measured_with,
    measurement,
    parameter_counts,
    sampling_cost,
    stage_json,
)
from colaflex.experiment.run_options import RunOptions
from colaflex.experiment.sources import unlike_ones
from colaflex.experiment.stage_cache import StageOne, weights_digest
from colaflex.experiment.watchers import PluginWatcher, StageOneKeeper
from colaflex.files.reading import user_path
from colaflex.generation.text import GenerationOptions
from colaflex.hooks import RunInfo
from colaflex.host.life_cycle import LifeCycle
from colaflex.host.registry import registry
from colaflex.metrics.likelihood import declared_likelihood
from colaflex.metrics.measurements import single
from colaflex.report import build_report
from colaflex.spec import Spec
from colaflex.training.checkpoints import CheckpointStore
from colaflex.training.hardware import slow_settings
from colaflex.training.interrupts import Interrupted
from colaflex.training.memory import peak_memory_bytes
from colaflex.training.tensorboard import TensorBoard
from colaflex.training.trainer import StageResult, Trainer, TrainerOptions, TrainingResult
from colaflex.training.watcher import Watcher, Watchers

__all__ = ["RESULT_SCHEMA", "Experiment", "RunOptions", "load", "run"]

RESULT_SCHEMA = 1


def run(
    spec: Spec,
    out: str | Path | None = None,
    options: RunOptions | None = None,
    progress: Watcher | None = None,
) -> dict[str, Any]:
    """Train, generate, evaluate and report; returns what stands in result.json.

    Args:
        spec: the experiment.
        out: run folder, by default runs/<name>.
        options: of this run.
        progress: shown while training; silent by default.

    Raises:
        UserError: spec, corpus or folder can't be used.
        RunFailure: training failed.

    Example:
        >>> small = ["training.steps=4", "evaluation.samples=0"]
        >>> spec = colaflex.Spec.load("spec.yaml", sets=small)
        >>> result = run(spec, out="runs/second")
        >>> result["status"], result["training"]["steps"]
        ('complete', 4)
    """
    for name, value, kind in (("spec", spec, Spec), ("options", options, RunOptions | None)):
        if not isinstance(value, kind):
            wanted = "a Spec (Spec.load reads a file)" if name == "spec" else "RunOptions"
            raise WrongKind(f"{name}: expected {wanted}, got {type(value).__name__}")
    folder = user_path(out) if out is not None else Path("runs") / spec.name
    prepared = prepare(spec, folder, options or RunOptions())
    return Experiment(prepared, [progress] if progress is not None else []).run()


class Experiment:
    """One run of a spec: the steps between spec and report.

    Args:
        prepared: what is known before it.
        watchers: of the run, on this process.
    """

    def __init__(self, prepared: Prepared, watchers: Sequence[Watcher] = ()) -> None:
        self.prepared, self.watchers = prepared, Watchers(watchers)
        self.spec, self.model, self.data = prepared.spec, prepared.model, prepared.data
        self.folder, self.options = prepared.folder, prepared.options
        self.processes, self.conditions = prepared.processes, prepared.conditions
        self._trained = False

    def run(self) -> dict[str, Any]:
        """Train what is not trained, measure what is not measured, write what is not written.

        Raises:
            UserError: the experiment can't be run as it is; nothing was written.
            RunFailure: training failed, or the folder can't be written.
        """
        self.prepared.check()
        if self.options.resume and not (self.folder.path / IDENTITY).exists():
            self.prepared.say(f"{self.folder.path}: there is nothing to resume, the run begins")
        with self.folder.held(self.processes.writes), self._resumable():
            return self._run()

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """An interruption says what is lost and how to go on."""
        try:
            yield
        except Interrupted:
            raise
        except KeyboardInterrupt:
            kept = "training is done and kept, --resume measures the model without training again"
            begun = "--resume goes on from the last checkpoint"
            raise Interrupted(f"interrupted; {kept if self._trained else begun}") from None
        finally:
            self.watchers.end()

    def _run(self) -> dict[str, Any]:
        began = time.perf_counter()
        reused = self._begin()
        if (self.folder.path / "result.json").exists() and self._mended():
            return self._complete()
        info = RunInfo(self.folder.path, self.spec.name, self.spec.seed, self.spec.resolved())
        life_cycle = registry().life_cycle(*([TensorBoard()] if self.options.tensorboard else []))
        training = self._train(reused, self._beside(life_cycle, info))
        self._trained = True
        result: dict[str, Any] = {}
        if self.processes.writes:
            self.model.eval()
            evaluated = self.measure()
            result = self._result(training, reused, evaluated, time.perf_counter() - began)
            store = CheckpointStore(self.folder.path / "checkpoints", self.prepared.spec_digest)
            self.folder.put_measured(result, evaluated.samples, evaluated.items, store.newest())
            self._report()
            life_cycle.run_ended(info, result)
        self.processes.barrier()
        return result

    def _complete(self) -> dict[str, Any]:
        """What a run that is resumed after its end still lacks, and its result."""
        result = self.folder.read("result.json")
        self.prepared.say(f"{self.folder.path}: this run is complete{measured_otherwise(result)}")
        if self.processes.writes and not (self.folder.path / "report.html").exists():
            self._report()
        return result

    def _report(self) -> None:
        if self.options.report:
            self.folder.put({"report.html": build_report(self.folder.path)})

    def _mended(self) -> bool:
        """Whether what is damaged of a complete run, if anything, could be written anew."""
        faults = damage(self.folder.path, self.prepared.spec_digest)
        if faults and self.processes.writes:
            for fault in faults.values():
                self.prepared.say(f"damaged, and mended now: {fault}")
            # Weights are trained again from the checkpoint before, and all is measured again.
            if faults.keys() <= WRITTEN_AT_ONCE:
                rewrite(self.folder, faults, self.spec, self.data)
            else:
                describe(self.folder, self.spec, self.data, self.conditions)
        self.processes.barrier()
        return faults.keys() <= WRITTEN_AT_ONCE

    def _begin(self) -> StageOne | None:
        """Claim the folder, write what identifies the run, and take stage 1 where it is known.

        How stage 1 is come by is decided once: a run that has begun to train it does so to the
        end, also where the cache has it by now.
        """
        known = self.prepared.stage_one
        if self.processes.writes:
            reused = None if known is None else asdict(known.cost)
            identity = identity_of(
                self.spec, self.data, self.prepared.stage1_digest, reused, self.conditions
            )
            claimed = claim(
                self.folder, identity, self.spec, self.options.resume, self.prepared.say
            )
            lost = claimed["reused"] is not None and known is None
            if lost and not any((self.folder.path / "checkpoints").glob("*")):
                self.folder.put({IDENTITY: json_text({**claimed, "reused": None})})
            if not (self.folder.path / "result.json").exists():
                describe(self.folder, self.spec, self.data, self.conditions)
        self.processes.barrier()
        cost = self.folder.read(IDENTITY)["reused"]
        if cost is None:
            return None
        if known is not None:
            self.model.load_state_dict(known.state, strict=False)
        return StageOne(**cost)

    # Training.

    def _train(self, reused: StageOne | None, beside: Sequence[Watcher]) -> TrainingResult:
        for sentence in slow_settings(self.processes.device.type, self.prepared.precision):
            self.prepared.say(f"warning: {sentence}")
        if reused is not None:
            self.prepared.say("stage 1: reused, the representation is known from an earlier run")
        for words in unlike_ones(reused, self.prepared.teacher_cost, self.conditions):
            self.prepared.say(f"warning: {words}")
        training = self.spec.training
        options = TrainerOptions(
            folder=self.folder.path,
            spec_digest=self.prepared.spec_digest,
            current_folder=lambda: self.folder.path,
            seed=self.spec.seed,
            resume=self.options.resume,
            precision=self.prepared.precision,
            conditions=self.conditions,
            log_every=training.log_every,
            checkpoint_every=training.checkpoint_every,
            keep_checkpoints=training.keep_checkpoints,
        )
        trainer = Trainer(
            self.model,
            self.prepared.plans(),
            self.prepared.order,
            options,
            self.processes,
            [*beside, *self.watchers.watchers],
        )
        return trainer.train({"representation"} if reused is not None else ())

    def _beside(self, life_cycle: LifeCycle, info: RunInfo) -> list[Watcher]:
        """What else the process that writes does while it trains."""
        if not self.processes.writes:
            return []
        prepared = self.prepared
        keeper = StageOneKeeper(self.model, prepared.stage1_digest, prepared.precision)
        return [PluginWatcher(life_cycle, info), keeper]

    # After training.

    def measure(self) -> Evaluation:
        """Measure the model, in evaluation mode, as it stands."""
        return self.prepared.evaluator(self.prepared.say, self.watchers).run()

    def _result(
        self,
        training: TrainingResult,
        reused: StageOne | None,
        evaluated: Evaluation,
        seconds: float,
    ) -> dict[str, Any]:
        stages = [stage_json(stage, False) for stage in training.stages]
        if reused is not None:
            stages.insert(0, stage_json(StageResult("representation", **asdict(reused)), True))
        stages[1:1] = self.prepared.teacher_cost
        sums = {k: sum(s[k] for s in stages) for k in ("tokens", "steps", "flops", "seconds")}
        rate = sums["tokens"] / sums["seconds"] if sums["seconds"] else 0.0
        metrics = {
            **evaluated.metrics,
            TRAINING_RATE: single(rate),
            PEAK_MEMORY: single(peak_memory_bytes() / 2**30),
            **sampling_cost(self.model, GenerationOptions.of(self.spec.sampling)),
        }
        return {
            "schema": RESULT_SCHEMA,
            "name": self.spec.name,
            "status": "complete",
            "spec_digest": self.prepared.spec_digest,
            "stage1_digest": self.prepared.stage1_digest,
            "representation_digest": weights_digest(self.model),
            "seed": self.spec.seed,
            "split": self.options.split,
            "measurement": measurement(
                (), self.conditions, measured_with(self.data, evaluated.judge)
            ),
            "components": component_versions(self.spec),
            "likelihood": declared_likelihood(self.spec),
            "parameters": parameter_counts(self.model),
            "training": {**sums, "tokens_per_second": rate, "stages": stages},
            "job_seconds": seconds,
            "metrics": measurements_json(metrics),
            **({"left_out": evaluated.left_out} if evaluated.left_out else {}),
            "environment": self.folder.read("environment.json"),
        }
