"""Rows made equal: the widths that give the parameters, the steps that take the FLOPs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from colaflex.corpora.token_index import Data, prepare_data
from colaflex.errors import UserError
from colaflex.files.reading import inside, read_json
from colaflex.files.writing import write_atomic
from colaflex.host.registry import registry
from colaflex.interfaces.corpus import Corpus
from colaflex.leaderboard.board import Board
from colaflex.leaderboard.cells import Cell, Job, asked_flops, job_spec, tuning_of
from colaflex.leaderboard.tuning_plan import STAGE1_SHARE
from colaflex.spec import Spec
from colaflex.spec.canonical import sha256_of

__all__ = ["Match", "Matcher", "board_data"]

SCHEMA = 1
UNSIZED = ("sampling.", "training.")
"""Options on which no parameter depends."""


@dataclass(frozen=True)
class Match:
    """What was solved for a cell, and how near it comes.

    Attributes:
        values: by key path of the spec: what tuning has chosen, widths and steps.
        parameters: of the model, all parts together.
        flops: of its training, as counted beforehand.
        ok: whether both are within the board's tolerance.
        spec_digest: of the cell's spec with these values.
        stage1_digest: of its stage 1; "" where it has none.
    """

    values: Mapping[str, Any]
    parameters: int
    flops: int
    ok: bool
    spec_digest: str
    stage1_digest: str


def board_data(board: Board) -> Data:
    """Tokenizer and token index of a board's corpus."""
    spec = board.base_spec
    corpus: Corpus = registry().build(spec.corpus)
    path = spec.tokenizer.path
    return prepare_data(corpus, spec.tokenizer.vocab_size, None if path is None else str(path))


class Matcher:
    """Solves cells; what is solved is kept in a folder, by what it was solved for.

    Args:
        board: the board.
        folder: where solved matches are kept.
    """

    def __init__(self, board: Board, folder: Path) -> None:
        self.board, self.folder = board, folder
        self.data = board_data(board)

    def match(self, job: Job, settings: Mapping[str, Any] | None = None) -> Match:
        """The match of a cell, or of a trial.

        Args:
            job: which run of the board.
            settings: what tuning has chosen over the row's own, by key path.

        Raises:
            UserError: the row can't be trained on this board, or not with these settings.
        """
        board, chosen = self.board, dict(settings or {})
        share = chosen.pop(STAGE1_SHARE, board.stage1_share(job.row))
        asked = {"flops": asked_flops(board, job), "stage1_flops": share}
        seed = job.seed if isinstance(job, Cell) else tuning_of(board).seed
        start = self.spec(job, chosen)
        content = {**self._row(job.row, chosen), **asked, "seed": seed}

        def solve() -> dict[str, Any]:
            return asdict(self._solve(job, chosen, share))

        solved = self._solved("match", {**content, "spec": start.digest(self.data.digest)}, solve)
        return Match(**solved)

    def spec(self, job: Job, values: Mapping[str, Any]) -> Spec:
        """The spec of a cell, or of a trial, with chosen and solved values."""
        return job_spec(self.board, job, values)

    def _solve(self, job: Job, chosen: Mapping[str, Any], share: float) -> Match:
        from colaflex.leaderboard.steps import solve_steps

        size = self._size(job.row, chosen)
        sized = self.spec(job, {**chosen, **size["values"]})
        solved = solve_steps(self.board, job, sized, share)
        steps = {f"training.stages.{name}.steps": count for name, count in solved.steps.items()}
        values = {**chosen, **size["values"], **steps}
        spec, digest = self.spec(job, values), self.data.digest
        latent = spec.baseline is None and spec.training.regime != "scratch"
        return Match(
            values,
            size["parameters"],
            solved.flops,
            self.board.matches(size["parameters"], solved.flops, asked_flops(self.board, job)),
            spec.digest(digest),
            spec.stage1_digest(digest) if latent else "",
        )

    def _size(self, row: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        def solve() -> dict[str, Any]:
            from colaflex.leaderboard.sizes import solve_size

            return asdict(solve_size(self.board, row, self.data.tokenizer, built))

        built = {path: value for path, value in chosen.items() if not path.startswith(UNSIZED)}
        return self._solved("size", self._row(row, built), solve)

    def _row(self, name: str, chosen: Mapping[str, Any]) -> dict[str, Any]:
        row, board = self.board.rows[name], self.board
        spec = board.specs[name].override(chosen) if chosen else board.specs[name]
        return {
            "schema": SCHEMA,
            "model": spec.digest(self.data.digest),
            "width": row.width,
            "fine": row.fine,
            "parameters": board.parameters,
            "tolerance": board.tolerance.model_dump(),
        }

    def _solved(
        self, what: str, content: Mapping[str, Any], solve: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        name = f"{what}-{sha256_of(content)[:32]}.json"
        path = inside(self.folder.parent, f"{self.folder.name}/{name}")
        try:
            solved = read_json(path)
            if isinstance(solved, dict) and solved.pop("sha256", None) == sha256_of(solved):
                return solved
        except UserError:
            pass  # not solved yet, or not readable: solved anew
        solved = solve()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps({**solved, "sha256": sha256_of(solved)}, indent=1) + "\n")
        return solved
