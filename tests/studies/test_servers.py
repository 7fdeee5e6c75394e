"""Studies in a real PostgreSQL server, and behind Optuna's gRPC proxy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from killed_workers import arm, measure, open_study, suggest
from kills import check_next_trials_start, check_nothing_is_lost, run

from colaflex.errors import RunFailure, UserError
from colaflex.studies.storage.storages import open_storage
from colaflex.studies.work.limits import Limits
from colaflex.studies.work.worker import Worker

pytestmark = pytest.mark.timeout(600)

PASSWORD = "open sesame"
PROXY = """
import sys
from pathlib import Path
from optuna.storages import run_grpc_proxy_server
from colaflex.studies.storage.storages import open_storage
storage = open_storage(sys.argv[1], Path(sys.argv[2]))
run_grpc_proxy_server(storage, host="127.0.0.1", port=int(sys.argv[3]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def postgresql_binaries() -> Path:
    found = [Path(path) for path in [shutil.which("initdb")] if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server here: `apt-get install postgresql`")
    return found[-1].parent


@contextmanager
def postgresql() -> Iterator[str]:
    """A server of its own, which goes with the tests; it refuses to run as root."""
    binaries, port = postgresql_binaries(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="colaflex-postgresql-"))
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        who = {"user": "postgres", "group": "postgres", "extra_groups": []}
    (folder / "password").write_text(PASSWORD)
    if who:
        for path in (folder, folder / "password"):
            shutil.chown(path, "postgres", "postgres")
    data = str(folder / "data")
    make = [str(binaries / "initdb"), "-D", data, "-U", "colaflex", "--auth=scram-sha-256"]
    make += [f"--pwfile={folder}/password", "--encoding=UTF8", "--no-locale"]
    serve = [str(binaries / "postgres"), "-D", data, "-p", str(port), "-k", str(folder)]
    # Workers are killed, the server is not: what it has said it has, on whatever disk.
    serve += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
    subprocess.run(make, check=True, capture_output=True, cwd=folder, **who)
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(serve, stdout=log, stderr=log, cwd=folder, **who)
    try:
        ready = [str(binaries / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
        for _ in range(300):
            if subprocess.run(ready, capture_output=True).returncode == 0:
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"postgresql://colaflex:{quote(PASSWORD)}@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql() as url:
        yield url


@pytest.fixture
def database(server: str) -> str:
    """An empty database."""
    import psycopg

    name = f"study_{time.monotonic_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.rpartition('/')[0]}/{name}"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Callable[[str], tuple[str, subprocess.Popen[bytes]]]]:
    """Starts a proxy before a storage."""
    pytest.importorskip("grpc")
    running: list[subprocess.Popen[bytes]] = []

    def start(url: str) -> tuple[str, subprocess.Popen[bytes]]:
        port = free_port()
        command = [sys.executable, "-W", "ignore", "-c", PROXY, url, str(tmp_path), str(port)]
        running.append(subprocess.Popen(command))
        address = f"grpc://127.0.0.1:{port}"
        for tries in range(6):
            try:
                open_storage(address, tmp_path)
                break
            except UserError:
                assert tries < 5
        return address, running[-1]

    yield start
    for process in running:
        process.kill()
        process.wait()


def test_nothing_is_lost_in_postgresql(database: str, tmp_path: Path) -> None:
    kills = run(database, tmp_path, limit=80, kills=30)
    check_nothing_is_lost(database, tmp_path, limit=80)
    check_next_trials_start(tmp_path, kills)


def test_nothing_is_lost_through_the_proxy(
    database: str,
    proxy: Callable[[str], tuple[str, subprocess.Popen[bytes]]],
    tmp_path: Path,
) -> None:
    address, _ = proxy(database)
    kills = run(address, tmp_path, limit=80, kills=30)
    check_nothing_is_lost(address, tmp_path, limit=80)
    check_nothing_is_lost(database, tmp_path, limit=80)
    check_next_trials_start(tmp_path, kills)


def test_a_proxy_that_is_gone_ends_a_worker_with_a_reason(
    proxy: Callable[[str], tuple[str, subprocess.Popen[bytes]]], tmp_path: Path
) -> None:
    address, process = proxy("journal")
    study = open_study(address, tmp_path)
    limits = Limits(trials=2)
    assert Worker(study, arm(tmp_path), suggest, measure, limits).run() == "trials"
    process.kill()
    process.wait()
    with pytest.raises(RunFailure, match="storage of the study failed"):
        Worker(study, arm(tmp_path), suggest, measure, Limits(trials=4)).run()
    began = time.monotonic()
    with pytest.raises(UserError, match=r"nobody answers at grpc://127\.0\.0\.1"):
        open_storage(address, tmp_path)
    assert time.monotonic() - began < 10


def test_a_server_that_refuses_is_named_without_the_password(server: str, tmp_path: Path) -> None:
    wrong = server.replace(quote(PASSWORD), "wrong%20password")
    with pytest.raises(UserError, match="password authentication failed") as caught:
        open_storage(wrong, tmp_path)
    assert not re.search("wrong.*password authentication", str(caught.value))
    assert "colaflex:***@" in str(caught.value)
    missing = server.replace("/postgres", "/nothing")
    with pytest.raises(UserError, match='database "nothing" does not exist'):
        open_storage(missing, tmp_path)
