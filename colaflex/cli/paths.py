"""Paths among the arguments of commands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import click

from colaflex.errors import UserError
from colaflex.files.reading import user_path

__all__ = ["FOLDER", "PATH"]

Given: TypeAlias = str | os.PathLike[str]


class UserPath(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """A path as users write it, `~` for the home folder."""

    name = "path"

    def convert(
        self,
        value: Given,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The path; a UserError becomes click's own, which names the option."""
        try:
            return user_path(value)
        except UserError as error:
            self.fail(str(error), param, ctx)


class UserFolder(UserPath):
    """The path of a folder that is there."""

    name = "directory"

    def convert(
        self,
        value: Given,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """The path, which has to be a folder's."""
        path = super().convert(value, param, ctx)
        if not path.is_dir():
            self.fail(f"{path}: there is no such folder", param, ctx)
        return path


PATH, FOLDER = UserPath(), UserFolder()
