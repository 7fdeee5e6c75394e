"""A trial's run folder, finished or failed, becomes its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from colaflex.errors import UserError
from colaflex.experiment.folder import IDENTITY, RunFolder
from colaflex.experiment.result import require_own
from colaflex.files.reading import read_json
from colaflex.files.yaml import read_file
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cell_matching import Match
from colaflex.leaderboard.cells import Trial, asked_flops, tuning_of
from colaflex.leaderboard.record_of_run import holding
from colaflex.leaderboard.trial_record import TRIAL_SCHEMA, TrialRecord, sealed_trial
from colaflex.leaderboard.trials import terms_of
from colaflex.leaderboard.tuning_proposals import Proposal

__all__ = ["PlannedTrial", "failed_trial", "finished_trial", "is_finished", "sampling_files"]

MEASURED = ("generation.", "speed.", "task.", "judge.")
"""Families of metrics that depend on how a model is sampled."""


@dataclass(frozen=True)
class PlannedTrial:
    """A trial to be run.

    Attributes:
        trial: which one.
        proposal: what it is trained, and sampled, by.
        samplings: what its trained model is sampled by besides.
    """

    trial: Trial
    proposal: Proposal
    samplings: tuple[Proposal, ...] = ()


def sampling_files(asked: Path, count: int) -> list[Path]:
    """Where it stands what was measured at each of further settings of sampling."""
    return [asked.with_name(f"{asked.stem}-{number}.json") for number in range(count)]


def is_finished(planned: PlannedTrial, folder: Path, asked: Path) -> bool:
    """Whether all of a trial is measured."""
    files = [folder / "result.json", *sampling_files(asked, len(planned.samplings))]
    return all(file.exists() for file in files)


def finished_trial(
    board: Board, planned: PlannedTrial, match: Match, path: Path, asked: Path
) -> TrialRecord:
    """The record of a finished trial.

    Args:
        board: the board.
        planned: what it was to be.
        match: what was solved for it.
        path: its run folder.
        asked: the file that says at which further settings it was measured.

    Raises:
        UserError: the run is another one, or its files can't be read.
    """
    folder = RunFolder(path)
    result, identity = folder.read("result.json"), folder.read(IDENTITY)
    require_own(result, path, "validation")
    if result["spec_digest"] != match.spec_digest:
        raise UserError(
            f"{path}: holds a run of another spec than this trial's; move it away, or choose "
            "another folder with --out"
        )
    flops, trial = result["training"]["flops"], planned.trial
    metrics = {name: holding(row) for name, row in result["metrics"].items()}
    samplings = [_sampling(planned.proposal, metrics)]
    files = sampling_files(asked, len(planned.samplings))
    for proposal, file in zip(planned.samplings, files, strict=True):
        kept = {name: row for name, row in metrics.items() if not name.startswith(MEASURED)}
        read: dict[str, dict[str, Any]] = read_json(file)
        measured = {n: holding(row) for n, row in read.items() if n.startswith(MEASURED)}
        samplings.append(_sampling(proposal, {**kept, **measured}))
    wanted = asked_flops(board, trial)
    parameters = result["parameters"]
    return sealed_trial(
        {
            **_head(board, planned, identity["data_digest"]),
            "state": "complete",
            "reason": "",
            "flops": flops,
            "seconds": result["training"]["seconds"],
            "matched": {
                "parameters": {"asked": board.parameters, "found": parameters["total"]},
                "flops": {"asked": wanted, "found": flops},
                "ok": board.matches(parameters["total"], flops, wanted),
            },
            "parameters": parameters,
            "spec": read_file(folder.confirmed("spec.yaml")).plain,
            "spec_digest": result["spec_digest"],
            "components": result["components"],
            "training": result["training"],
            "samplings": samplings,
            "environment": result["environment"],
        }
    )


def failed_trial(
    board: Board, planned: PlannedTrial, data_digest: str, reason: str, match: Match | None = None
) -> TrialRecord:
    """The record of a trial that can't be run, or whose training failed: it counts all the same.

    Args:
        board: the board.
        planned: what it was to be.
        data_digest: of corpus and tokenizer.
        reason: why.
        match: what was solved for it, where it ran: then all that it was to take is charged.
    """
    return sealed_trial(
        {
            **_head(board, planned, data_digest),
            "state": "failed",
            "reason": reason,
            "flops": 0 if match is None else match.flops,
            "seconds": 0,
            "matched": None,
            "parameters": {},
            "spec": {},
            "spec_digest": "" if match is None else match.spec_digest,
            "components": {},
            "training": None,
            "samplings": [],
            "environment": {},
        }
    )


def _head(board: Board, planned: PlannedTrial, data_digest: str) -> dict[str, Any]:
    trial = planned.trial
    return {
        "schema": TRIAL_SCHEMA,
        "board": board.board,
        "row": trial.row,
        "budget": trial.budget,
        "number": trial.number,
        "seed": tuning_of(board).seed,
        "terms": terms_of(board, trial.row, trial.budget, data_digest),
        "point": dict(planned.proposal.point),
        "settings": dict(planned.proposal.settings),
        "data_digest": data_digest,
    }


def _sampling(proposal: Proposal, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "point": dict(proposal.point),
        "settings": dict(proposal.settings),
        "metrics": dict(metrics),
    }
