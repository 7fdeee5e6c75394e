"""The best point of a study as a spec that runs."""

from __future__ import annotations

from pathlib import Path

from colaflex.errors import UserError
from colaflex.files.writing import write_atomic
from colaflex.spec.spec import Spec
from colaflex.studies.objective import Point

__all__ = ["write_best"]

_MARK = "# The best point of a study"


def write_best(spec: Spec, point: Point, path: Path) -> None:
    """Write the spec of a point, all defaults written out.

    A file that an earlier call wrote is replaced, whole or not at all.

    Args:
        spec: with the values of the point, as of `Space.spec`.
        point: said at the head of the file.
        path: of the file.

    Raises:
        UserError: another file stands there, or none can be written.
    """
    values = [f"#   {key}: {value}" for key, value in point.items()]
    head = "\n".join([f"{_MARK}, set over the spec {spec.name!r}:", *map(_one_line, values)])
    try:
        if path.exists() and not _ours(path):
            raise UserError(
                f"{path}: another file stands here, which this would overwrite; choose another "
                "name, or remove it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, f"{head}\n{spec.to_yaml()}")
    except OSError as error:
        raise UserError(f"{path}: can't be written: {error.strerror or error}") from error


def _ours(path: Path) -> bool:
    """Whether a file was written here; a folder or what is no text was not."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MARK)) == _MARK.encode()


def _one_line(text: str) -> str:
    return " ".join(text.split("\n")).replace("\r", " ")
