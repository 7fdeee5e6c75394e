"""The objective of a study: its base spec, trained with the values of a point."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from colaflex.experiment.experiment import Experiment
from colaflex.experiment.folder import measurements_json
from colaflex.experiment.prepared import Prepared, prepare
from colaflex.experiment.result import require_own
from colaflex.experiment.run_options import RunOptions
from colaflex.experiment.stage_claim import ClaimRelease, claimed
from colaflex.files.reading import inside
from colaflex.spec import Spec
from colaflex.studies.objective import Attempt, Pruned, Report, StopSearch, TrialResult
from colaflex.studies.work.trial_result import STAGE1, Metrics, over_seeds, result_of_run, values_of
from colaflex.training.watcher import Reached, Watcher

__all__ = ["SpecObjective", "TrialSettings"]


@dataclass(frozen=True)
class TrialSettings:
    """How trials are run.

    Attributes:
        folder: of the study; trials are run folders below it.
        rungs: shares of the last stage at which a trial is measured and may be pruned.
        device: as of `colaflex run`.
        precision: as of `colaflex run`.
        corpora: split -> fingerprint of the corpus, which must not change while a study runs.
    """

    folder: Path
    rungs: Sequence[float] = ()
    device: str = "auto"
    precision: str = "auto"
    corpora: Mapping[str, str] = field(default_factory=dict)


class SpecObjective:
    """Trains a spec with an attempt's values and measures it.

    A trial is a run folder without a report; one that was killed goes on from its checkpoint.
    Stage 1 comes from the cache where it is known; where another process trains it just now, it
    is waited for.

    Args:
        spec: an attempt's spec; its seeds are set here.
        settings: how trials are run.
        progress: shown while one trains.
    """

    def __init__(
        self,
        spec: Callable[[Attempt], Spec],
        settings: TrialSettings,
        progress: Watcher | None = None,
    ) -> None:
        self._spec, self.settings = spec, settings
        self._progress = progress or Watcher()

    def __call__(self, attempt: Attempt, report: Report) -> TrialResult:
        """Train and measure, once for every seed."""
        spec = self._spec(attempt)
        if len(attempt.seeds) == 1:
            seeded = _seeded(spec, attempt.seeds[0])
            return self._run(seeded, attempt.name, attempt, self.settings.rungs, report)
        rows: list[TrialResult] = []
        for number, seed in enumerate(attempt.seeds, 1):
            name = f"{attempt.name}/seed-{seed}"
            rows.append(self._run(_seeded(spec, seed), name, attempt, (), report))
            try:
                report(number, values_of(rows[-1].metrics))
            except Pruned as pruned:
                pruned.result = over_seeds(rows)
                raise
        return over_seeds(rows)

    def _run(
        self, spec: Spec, name: str, attempt: Attempt, shares: Sequence[float], report: Report
    ) -> TrialResult:
        """One run of the attempt, in the folder of that name."""
        options = RunOptions(
            resume=True,
            device=self.settings.device,
            precision=self.settings.precision,
            quiet=True,
            split=attempt.split,
            report=False,
        )
        with ExitStack() as claim:
            folder = inside(self.settings.folder, name)
            prepared = prepare(spec, folder, options)
            self._check_corpus(prepared, attempt)
            if prepared.stage1_digest and prepared.stage_one is None:
                claim.enter_context(claimed(prepared.stage1_digest, True, prepared.precision))
                prepared = prepare(spec, folder, options)  # somebody may have trained it meanwhile
            began = time.perf_counter()
            watchers = [self._progress, ClaimRelease(claim)]
            if attempt.split == "validation":
                watchers.append(Pruning(prepared, shares, report, self._progress, began))
            experiment = Experiment(prepared, watchers)
            result = experiment.run()
            require_own(result, experiment.folder.path, attempt.split)
            return replace(result_of_run(result), seconds=time.perf_counter() - began)

    def _check_corpus(self, prepared: Prepared, attempt: Attempt) -> None:
        known = self.settings.corpora.get(attempt.split)
        if known not in (None, prepared.corpus.fingerprint()):
            raise StopSearch("the corpus has changed while the study runs; bring it back as it was")


def _seeded(spec: Spec, seed: int) -> Spec:
    return spec if spec.seed == seed else spec.override({"seed": seed})


class Pruning(Watcher):
    """Measures a trial at its rungs and reports it, which may end it.

    Args:
        prepared: of the trial's run.
        rungs: shares of the last stage.
        report: of what was measured; raises Pruned where the trial is given up.
        progress: shown while it measures.
        began: when the trial began, by the process's clock.
    """

    def __init__(
        self,
        prepared: Prepared,
        rungs: Sequence[float],
        report: Report,
        progress: Watcher,
        began: float,
    ) -> None:
        self.prepared, self.rungs, self.began = prepared, rungs, began
        self._report, self._progress = report, progress

    def look(self, reached: Reached) -> None:
        """Measure the model as it stands."""
        evaluated = self.prepared.evaluator(watcher=self._progress).run()
        metrics = measurements_json(evaluated.metrics)
        try:
            self._report(reached.number, values_of(metrics))
        except Pruned as pruned:
            pruned.result = self._result_at(reached, metrics)
            raise

    def _result_at(self, reached: Reached, metrics: Metrics) -> TrialResult:
        """What the run had measured, and what it had cost, when it was given up."""
        digest, known = self.prepared.stage1_digest, self.prepared.stage_one
        first = reached.flops.get(STAGE1, 0 if known is None else known.cost.flops)
        return TrialResult(
            metrics,
            flops=float(sum(flops for name, flops in reached.flops.items() if name != STAGE1)),
            stage1={digest: float(first)} if digest else {},
            reused=int(bool(digest) and STAGE1 not in reached.flops),
            seconds=time.perf_counter() - self.began,
        )
