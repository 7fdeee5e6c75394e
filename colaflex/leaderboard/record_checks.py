"""What can be wrong with a record, a stranger's as well."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.leaderboard.record import KEYS, RECORD_SCHEMA
from colaflex.spec import Spec
from colaflex.spec.canonical import sha256_of

if TYPE_CHECKING:
    from colaflex.leaderboard.board import Board

__all__ = ["record_problems"]


def record_problems(board: Board, data: Any) -> list[str]:
    """`KEY: what is wrong` of everything that is; [] for a valid record of the board."""
    return []
