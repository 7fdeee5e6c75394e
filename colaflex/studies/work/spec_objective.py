"""The objective of a study: its base spec, trained with the values of a point."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from colaflex.experiment.experiment import Experiment, RunOptions
from colaflex.experiment.folder import measurements_json
from colaflex.experiment.result import require_own
from colaflex.experiment.stage_claim import ReleasingProgress, claimed
from colaflex.files.reading import inside
from colaflex.spec import Spec
from colaflex.studies.objective import Attempt, Pruned, Report, StopSearch, TrialResult
from colaflex.studies.work.trial_result import STAGE1, Metrics, over_seeds, result_of_run, values_of
from colaflex.training.progress import Progress, SilentProgress
from colaflex.training.rungs import Reached, Rungs

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
        progress: Progress | None = None,
    ) -> None:
        self._spec, self.settings = spec, settings
        self._progress = progress or SilentProgress()

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
        began = 0.0

        def look(reached: Reached) -> None:
            metrics = measurements_json(experiment.measure().metrics)
            try:
                report(reached.number, values_of(metrics))
            except Pruned as pruned:
                at_rung = _result_at(experiment, reached, metrics)
                pruned.result = replace(at_rung, seconds=time.perf_counter() - began)
                raise

        rungs = Rungs(shares if attempt.split == "validation" else (), look)
        options = RunOptions(
            resume=True,
            device=self.settings.device,
            precision=self.settings.precision,
            quiet=True,
            split=attempt.split,
            report=False,
        )
        with ExitStack() as claim:
            shown = ReleasingProgress(self._progress, claim)
            arguments = (spec, inside(self.settings.folder, name), options, shown, rungs)
            experiment = Experiment(*arguments)
            self._check_corpus(experiment, attempt)
            if experiment.stage1_digest and experiment.kept is None:
                wanted = experiment.stage1_digest, True, experiment.precision
                claim.enter_context(claimed(*wanted))
                experiment = Experiment(*arguments)  # somebody may have trained it meanwhile
            began = time.perf_counter()
            result = experiment.run()
            require_own(result, experiment.folder.path, attempt.split)
            return replace(result_of_run(result), seconds=time.perf_counter() - began)

    def _check_corpus(self, experiment: Experiment, attempt: Attempt) -> None:
        known = self.settings.corpora.get(attempt.split)
        if known not in (None, experiment.corpus.fingerprint()):
            raise StopSearch("the corpus has changed while the study runs; bring it back as it was")


def _seeded(spec: Spec, seed: int) -> Spec:
    return spec if spec.seed == seed else spec.override({"seed": seed})


def _result_at(experiment: Experiment, reached: Reached, metrics: Metrics) -> TrialResult:
    """What a run had measured, and what it had cost, when it was given up."""
    digest, known = experiment.stage1_digest, experiment.kept
    first = reached.flops.get(STAGE1, 0 if known is None else known.cost.flops)
    return TrialResult(
        metrics,
        flops=float(sum(flops for name, flops in reached.flops.items() if name != STAGE1)),
        stage1={digest: float(first)} if digest else {},
        reused=int(bool(digest) and STAGE1 not in reached.flops),
    )
