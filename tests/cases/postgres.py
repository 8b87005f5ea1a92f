"""A real PostgreSQL on loopback for the tests, started as an unprivileged user; skips where it is not installed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def _programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _user() -> str | None:
    """PostgreSQL refuses to run as root; Debian's package brings a user for it."""
    return "postgres" if os.geteuid() == 0 else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Callable[..., None]]:
    """Gives a function that runs SQL statements, and has the server's `url` without a database."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: make system")
    folder = Path(tempfile.mkdtemp(prefix="glioscope-postgres-"))
    user = _user()
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)

    def run(*command: str) -> None:
        ran = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0, ran.stderr

    data, port = str(folder / "data"), _free_port()
    control = str(programs / "pg_ctl")
    run(str(programs / "initdb"), "-D", data, "-A", "trust", "-U", "glioscope", "--no-sync")
    options = f"-h 127.0.0.1 -p {port} -k {folder} -c shared_buffers=16MB -c max_connections=60"
    try:
        run(control, "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")

        def execute(statement: str) -> None:
            psql = str(programs / "psql")
            run(psql, "-h", "127.0.0.1", "-p", str(port), "-U", "glioscope", "-qc", statement, "postgres")

        execute.url = f"postgresql://glioscope@127.0.0.1:{port}"  # type: ignore[attr-defined]
        yield execute
    finally:
        subprocess.run([control, "-D", data, "-m", "immediate", "stop"], user=user, cwd="/", capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server) -> str:
    """URL of an empty database."""
    name = f"t{uuid.uuid4().hex[:12]}"
    postgres_server(f"CREATE DATABASE {name}")
    return f"{postgres_server.url}/{name}"
