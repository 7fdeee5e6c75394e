"""A storage to be read only: nothing is made, mended, locked or changed.

Optuna has none: what it opens is made where it is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import BaseStorage

from colaflex.errors import UserError
from colaflex.studies.storage.journal import read_journal
from colaflex.studies.storage.storages import (
    BUSY,
    database_failure,
    journal_path,
    kind_of,
    open_storage,
    parsed_url,
    postgresql_url,
)

__all__ = ["NothingStored", "open_read_only"]

READABLE = "mode=ro"
AT_REST = "immutable=1"
"""Of a database that nobody writes to; another one is read through files beside it."""


class NothingStored(UserError):
    """No study was ever stored there."""


def open_read_only(url: str, folder: Path) -> BaseStorage:
    """Open a storage to read it.

    Args:
        url: as of `open_storage`.
        folder: of the study.

    Raises:
        NothingStored: there is none.
        UserError: it can't be read, or is none of ours.
    """
    match kind_of(url):
        case "journal":
            path = journal_path(url, folder)
            if not path.exists():
                raise NothingStored(f"there is no journal {path}")
            return read_journal(path)
        case "sqlite":
            return _sqlite(url)
        case "postgresql":
            address = postgresql_url(url)
            return _database(address.render_as_string(hide_password=False), address)
        case _:
            return open_storage(url, folder)


def _sqlite(text: str) -> BaseStorage:
    url = parsed_url(text)
    path = Path(url.database or "")
    if not url.database or not path.is_file():
        raise NothingStored(f"there is no database {url.database or 'in memory'}")
    way = READABLE if Path(f"{path}-wal").exists() else AT_REST
    return _database(
        f"sqlite:///file:{quote(str(path.resolve()))}?{way}&uri=true",
        url,
        {"connect_args": {"timeout": BUSY}},
    )


def _database(address: str, url: Any, arguments: dict[str, Any] | None = None) -> BaseStorage:
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = sqlalchemy.create_engine(address, **(arguments or {}))
        try:
            there = sqlalchemy.inspect(engine).has_table("studies")
        finally:
            engine.dispose()
        if there:
            storage = optuna.storages.RDBStorage(
                address, engine_kwargs=arguments, skip_table_creation=True
            )
            return optuna.storages.get_storage(storage)
    except (SQLAlchemyError, RuntimeError, ImportError) as error:
        raise database_failure(error, url) from None
    raise NothingStored(f"the database {url.render_as_string()} holds no studies")
