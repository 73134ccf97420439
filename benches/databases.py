"""PostgreSQL and ZEO, as servers to measure: private ones, on loopback, on the servers' core, gone at the end.

PostgreSQL has the settings that initdb gives it. It won't run as root, so where we are root it runs as the user that
Debian's package brings, and its directory is that user's.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benches.programs import find_program
from benches.servers import RunningServer, as_user, await_listener, free_port, running

__all__ = ["POSTGRESQL_USER", "postgresql_server", "zeo_server"]

POSTGRESQL_USER = "bench"
_DEBIANS_USER = "postgres"


@contextmanager
def postgresql_server(directory: Path) -> Iterator[RunningServer | None]:
    """A private PostgreSQL cluster; None where it is not installed, or no client for it."""
    initdb, postgres = find_program("initdb"), find_program("postgres")
    if initdb is None or postgres is None or importlib.util.find_spec("psycopg") is None:
        yield None
        return
    user = _DEBIANS_USER if os.geteuid() == 0 else None
    with _directory_of(user, directory) as data:
        made = ["--pgdata", data, "--username", POSTGRESQL_USER, "--auth", "trust", "--encoding", "UTF8"]
        subprocess.run([initdb, *made, "--locale", "C"], check=True, capture_output=True, cwd="/", **as_user(user))
        port = free_port()
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-p", f"{port}"]
        with running([postgres, "-D", data, *settings], user=user) as process:
            try:
                await_listener(port, process)
                yield RunningServer("postgresql", "postgresql", port, process.pid)
            finally:
                process.send_signal(signal.SIGQUIT)  # all of its processes, at once
                process.wait()


@contextmanager
def _directory_of(user: str | None, directory: Path) -> Iterator[str]:
    """A new directory that belongs to the user: beside the other servers' if the user can get there."""
    parent = directory if user is None or _can_enter(user, directory) else Path(tempfile.gettempdir())
    made = tempfile.mkdtemp(prefix="postgresql-", dir=parent)
    try:
        if user is not None:
            shutil.chown(made, user)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _can_enter(user: str, directory: Path) -> bool:
    return subprocess.run(["test", "-x", str(directory)], **as_user(user)).returncode == 0


@contextmanager
def zeo_server(directory: Path, *, in_memory: bool) -> Iterator[RunningServer | None]:
    """A private ZEO server with a MappingStorage or a FileStorage, which syncs; None where it is not installed."""
    if importlib.util.find_spec("ZEO") is None:
        yield None
        return
    port = free_port()
    storage = "<mappingstorage/>" if in_memory else f"<filestorage>\n path {directory / 'Data.fs'}\n</filestorage>"
    config = directory / "zeo.conf"
    config.write_text(f"<zeo>\n address 127.0.0.1:{port}\n</zeo>\n{storage}\n")
    with running([sys.executable, "-m", "ZEO.runzeo", "-C", str(config)]) as process:
        await_listener(port, process)
        yield RunningServer("zeo", "zeo", port, process.pid)
