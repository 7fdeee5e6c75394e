"""Optuna's storages by URL: a journal file, a database, or a proxy before either.

What is ours is what is said where they can't be opened, or answer no more.
"""

from __future__ import annotations

import importlib.util
import random
import re
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage

from colaflex import hints
from colaflex.errors import RunFailure, UserError
from colaflex.files.reading import inside
from colaflex.runtime.failures import is_request, reason
from colaflex.studies.storage.journal import open_journal

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Engine

__all__ = [
    "JOURNAL",
    "database_failure",
    "journal_path",
    "kind_of",
    "open_storage",
    "parsed_url",
    "postgresql_url",
    "storage_answers",
    "storage_failure",
    "without_password",
]

JOURNAL = "journal.log"
"""Name of the journal in the folder of a study."""
PATIENCE = 5
"""Seconds that a server has to answer."""
BUSY = 60
"""Seconds that a worker waits for others that write to the same SQLite file."""
TRIES = 5
Kind = Literal["journal", "sqlite", "postgresql", "grpc"]
KINDS: tuple[Kind, ...] = ("journal", "sqlite", "postgresql", "grpc")
PASSWORD = re.compile(r"(://[^:/@]*:).*@")
PASSWORDS = re.compile(r"([?&][^=&]*pass[^=&]*=)[^&]*", re.IGNORECASE)
FORMS = "`journal`, `journal:PATH`, `sqlite:///FILE`, `postgresql://…` or `grpc://HOST:PORT`"


def open_storage(url: str, folder: Path) -> BaseStorage:
    """Open a storage, or make it.

    Args:
        url: `journal` (in the folder), `journal:PATH`, `sqlite:///FILE`,
            `postgresql://USER:PASSWORD@HOST/DATABASE`, or `grpc://HOST:PORT`.
        folder: of the study.

    Raises:
        UserError: another kind, a server that does not answer, or a missing package.
    """
    match kind_of(url):
        case "journal":
            return open_journal(journal_path(url, folder))
        case "sqlite":
            return _sqlite(url)
        case "postgresql":
            arguments = {"connect_args": {"connect_timeout": PATIENCE}, "pool_pre_ping": True}
            return _database(postgresql_url(url), arguments)
        case _:
            return _grpc(url)


def kind_of(url: str) -> Kind:
    """What keeps the trials; raises UserError for what is none of them."""
    kind = url.partition(":")[0]
    plain = kind.partition("+")[0]
    if plain in ("postgresql", "postgres"):
        return "postgresql"
    for known in KINDS:
        if kind == known:
            return known
    near = hints.nearest(kind, KINDS)
    clause = f"; did you mean {near!r}?" if near else ""
    raise UserError(f"unknown kind of storage {kind!r}{clause}; give {FORMS}")


def journal_path(url: str, folder: Path) -> Path:
    """The file of a journal; raises UserError where that in a folder is a link out of it."""
    named = url.partition(":")[2]
    return Path(named) if named else inside(folder, JOURNAL)


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return PASSWORDS.sub(r"\1***", PASSWORD.sub(r"\1***@", url))


def _sqlite(text: str) -> BaseStorage:
    url = parsed_url(text)
    if not url.database:
        raise UserError(f"the storage {text} names no file; give sqlite:///FILE")
    if url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the storage {text} can't be made: {error}") from None
    return _database(url, {"connect_args": {"timeout": BUSY}}, _write_ahead)


def _write_ahead(engine: Engine) -> None:
    """Commits that wait for the disk once in a while: a power cut may cost the last, not the file.

    Each value of a trial is a commit of its own.
    """
    from sqlalchemy import event

    def on_connect(connection: sqlite3.Connection, record: object) -> None:
        with suppress(sqlite3.OperationalError):  # others are just writing
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(engine, "connect", on_connect)
    engine.dispose()


def postgresql_url(text: str) -> URL:
    """The URL of a PostgreSQL server; raises UserError where it is none, or psycopg is missing."""
    if importlib.util.find_spec("psycopg") is None:
        raise UserError(
            "a PostgreSQL storage needs psycopg; install it with `pip install colaflex[postgres]`"
        )
    return parsed_url(text).set(drivername="postgresql+psycopg")


def parsed_url(text: str) -> URL:
    """The URL of a database; raises UserError where it is none."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(text)
    except (ArgumentError, ValueError):
        # The text may hold a password.
        kind = text.partition(":")[0]
        raise UserError(f"the storage {kind}:… is not a valid URL; give {FORMS}") from None


def _database(
    url: URL, arguments: dict[str, Any], prepare: Callable[[Engine], None] | None = None
) -> BaseStorage:
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

    for left in reversed(range(TRIES)):
        try:
            storage = optuna.storages.RDBStorage(
                url.render_as_string(hide_password=False), engine_kwargs=arguments
            )
        except (IntegrityError, OperationalError, ProgrammingError) as error:
            # Two workers that start at once may both make the tables, or fill them.
            message = str(error.orig)
            race = isinstance(error, IntegrityError) or "already exists" in message
            if left and race:
                time.sleep(random.uniform(0.1, 0.5))
                continue
            raise database_failure(error, url) from None
        except (SQLAlchemyError, RuntimeError, ImportError) as error:
            raise database_failure(error, url) from None
        else:
            if prepare is not None:
                prepare(storage.engine)
            return optuna.storages.get_storage(storage)
    raise AssertionError


def database_failure(error: Exception, url: URL) -> UserError:
    """What is to be said of a database that can't be opened: in one line, without passwords."""
    why = " ".join(str(getattr(error, "orig", None) or error).split())
    hidden = [str(value) for key, value in url.query.items() if "pass" in key.lower()]
    for password in filter(None, (url.password, *hidden)):
        why = why.replace(password, "***")
    shown = without_password(url.render_as_string())
    return UserError(f"the storage {shown} can't be opened: {why}")


def _grpc(text: str) -> BaseStorage:
    if importlib.util.find_spec("grpc") is None:
        raise UserError(
            "a storage behind gRPC needs grpcio; install it with `pip install colaflex[grpc]`"
        )
    parts = urlsplit(text)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise UserError("the address of a gRPC proxy has the form grpc://HOST:PORT")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        storage = optuna.storages.GrpcStorageProxy(host=host, port=port)
    try:
        storage.wait_server_ready(timeout=PATIENCE)
    except ConnectionError:
        storage.close()
        raise UserError(
            f"nobody answers at grpc://{host}:{port}; start the proxy there with "
            "`optuna.storages.run_grpc_proxy_server`"
        ) from None
    return storage


@contextmanager
def storage_answers() -> Iterator[None]:
    """Raises RunFailure where a storage does not answer any more, or a file can't be written."""
    try:
        yield
    except BrokenPipeError:  # of whoever reads what we print
        raise
    except OSError as error:
        why = f"{error.filename or 'a file of the study'}: {reason(error)}"
        if is_request(error):
            raise UserError(why) from error
        raise RunFailure(f"{why}; nothing is lost: the same command goes on") from error
    except Exception as error:
        cause = storage_failure(error)
        if cause is None:
            raise
        raise RunFailure(f"the storage of the study failed: {cause}") from error


def storage_failure(error: BaseException) -> str | None:
    """What a server said that does not answer, or not as it should; None for other exceptions."""
    # What was not imported can't have been raised.
    kinds = [("sqlalchemy.exc", "SQLAlchemyError"), ("grpc", "RpcError")]
    known = [getattr(sys.modules[module], name) for module, name in kinds if module in sys.modules]
    if not isinstance(error, (optuna.exceptions.StorageInternalError, *known)):
        return None
    details = getattr(error, "details", None)
    text = details() if callable(details) else None
    return str(text or error.__cause__ or error).strip().partition("\n")[0]
