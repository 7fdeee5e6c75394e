"""What a study costs beside its trials: python benchmarks/study_overhead.py [--write].

A worker runs trials that take no time in a study that has many already, with the sampler and the
pruner that studies use unless told otherwise, and three rungs. Reported is the time per trial, by
storage: all of it is ours. A trial of 20 seconds may have 0.4 of it, 2 %.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

from colaflex.studies.arm import Arm
from colaflex.studies.objective import Attempt, Point, Report, TrialResult
from colaflex.studies.storage.storages import open_storage
from colaflex.studies.work.limits import Limits
from colaflex.studies.work.worker import Worker

RECORD = Path(__file__).parent / "results" / "study_overhead.json"
STORAGES = {"journal": "journal", "sqlite": "sqlite:///{folder}/study.db"}
SCORE = "generation.coherent_documents"
TRIAL_SECONDS = 20.0
METRICS = {
    name: {"value": 0.5, "low": 0.4, "high": 0.6, "n": 96}
    for name in [SCORE, *(f"generation.metric_{number}" for number in range(40))]
}
SPACE: dict[str, optuna.distributions.BaseDistribution] = {
    "representation.latent_dim": CategoricalDistribution([8, 16, 32]),
    "representation.log_snr": CategoricalDistribution([1, 2, 3]),
    "prior.schedule.loc": FloatDistribution(-1.0, 3.0),
    "prior.block_size": CategoricalDistribution([1, 4, 8, 16]),
}


def suggest(trial: optuna.Trial) -> Point:
    return {name: trial._suggest(name, distribution) for name, distribution in SPACE.items()}


def measure(attempt: Attempt, report: Report) -> TrialResult:
    for step in (1, 2, 3):
        report(step, {SCORE: random.random()})
    return TrialResult(METRICS, flops=1e12, seconds=20.0, stage1={"digest": 1e12}, reused=1)


def study_with(url: str, folder: Path, trials: int) -> optuna.Study:
    """A study that has trials."""
    study = optuna.create_study(
        storage=open_storage(url.format(folder=folder), folder),
        sampler=optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=0),
        pruner=optuna.pruners.NopPruner(),
        direction="maximize",
    )
    drawn = random.Random(0)
    for _ in range(trials):
        point = {
            name: drawn.choice(d.choices)
            if isinstance(d, CategoricalDistribution)
            else drawn.uniform(-1.0, 3.0)
            for name, d in SPACE.items()
        }
        trial = optuna.trial.create_trial(
            params=point,
            distributions=SPACE,
            value=drawn.random(),
            user_attrs={"point": point, "metrics": METRICS, "flops": 1e12, "seeds": [0]},
            intermediate_values={step: drawn.random() for step in (1, 2, 3)},
        )
        study.add_trial(trial)
    return study


def seconds_per_trial(url: str, before: int, trials: int) -> dict[str, Any]:
    """Of trials in a study that had some before; the first, which reads them, apart."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study, taken = study_with(url, folder, before), []
        for _ in range(trials + 1):
            limits = Limits(trials=len(study.get_trials(deepcopy=False)) + 1)
            began = time.perf_counter()
            Worker(study, Arm("search", folder, (SCORE,)), suggest, measure, limits).run()
            taken.append(time.perf_counter() - began)
        median = statistics.median(taken[1:])
        return {
            "trials_before": before,
            "seconds_per_trial": median,
            "slowest": max(taken[1:]),
            "share_of_a_20_second_trial": median / TRIAL_SECONDS,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=int, default=1000, help="trials that the study has")
    parser.add_argument("--trials", type=int, default=25, help="trials that are timed")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name}")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found: dict[str, Any] = {
        name: [
            seconds_per_trial(url, before, arguments.trials) for before in (10, arguments.before)
        ]
        for name, url in STORAGES.items()
    }
    machine = {"python": platform.python_version(), "optuna": optuna.__version__}
    text = json.dumps({**found, "environment": machine}, indent=1) + "\n"
    sys.stdout.write(text)
    if arguments.write:
        RECORD.write_text(text)


if __name__ == "__main__":
    main()
