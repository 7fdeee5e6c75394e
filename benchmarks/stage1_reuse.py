"""What sharing stage 1 saves: a study's time, and what it is if each trial trains its own.

    python benchmarks/stage1_reuse.py runs/studies/worlds specs/studies/worlds.yaml

reads the run folders of a study. A trial that found its stage 1 in the cache would have trained it
for as long as the trial did that put it there; the times of both were measured in the same study.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.study import Study, Where
from colaflex.studies.trials import record_of

RESULT = Path(__file__).parent / "results" / "stage1_reuse.json"


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds of a study's trials, of all workers together."""

    trials: int
    stages: int
    seconds: float
    saved: float

    @property
    def ratio(self) -> float:
        """How much more it would have taken without reuse."""
        return (self.seconds + self.saved) / self.seconds


def stage_seconds(folder: Path) -> dict[str, float]:
    """Seconds of every stage 1 that was trained in the study, by digest."""
    found = {}
    for path in folder.glob("*/*/result.json"):
        result = json.loads(path.read_text(encoding="utf-8"))
        for stage in result["training"]["stages"]:
            if stage["name"] == "representation":
                found[result["stage1_digest"]] = float(stage["seconds"])
    return found


def spent(study: Study, arms: tuple[str, ...]) -> Spent:
    """What the trials of some arms took, and would have taken."""
    known = stage_seconds(study.where.folder)
    trials = [trial for arm in arms for trial in study.arm(arm).get_trials(deepcopy=False)]
    ended = [trial for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")]
    records = [record_of(trial) for trial in ended]
    return Spent(
        trials=len(records),
        stages=len({digest for record in records for digest in record.stage1}),
        seconds=sum(trial.duration.total_seconds() for trial in ended if trial.duration),
        saved=sum(known[digest] for record in records if record.reused for digest in record.stage1),
    )


def main() -> None:
    """Print the table and write it down."""
    folder, file = Path(sys.argv[1]), StudyFile.load(sys.argv[2])
    study = Study(file, Where.of(file, folder))
    rows = {
        "searches": spent(study, study.arms),
        "with fresh runs": spent(study, (*study.arms, "fresh")),
    }
    table = {}
    for name, row in rows.items():
        print(
            f"{name}: {row.trials} trials on {row.stages} stages 1: {row.seconds / 60:.1f} min, "
            f"without reuse {(row.seconds + row.saved) / 60:.1f} min: {row.ratio:.2f} times as long"
        )
        table[name] = {
            "trials": row.trials,
            "stages": row.stages,
            "seconds": round(row.seconds, 1),
            "seconds_without_reuse": round(row.seconds + row.saved, 1),
            "ratio": round(row.ratio, 3),
        }
    RESULT.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
