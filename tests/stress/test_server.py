"""A server that is put to the test: its process does as it is told, and an end that nobody asked for is a complaint."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.cli.stress_wiring import Connector
from mvcc_kv.errors import UnavailableError
from mvcc_kv.stress.server import ServerTarget

connect_to = partial(Connector, password=None, timeout_s=10.0, commit_timeout_s=5.0)


def started(tmp_path: Path, *options: str) -> ServerTarget:
    def command(port: int) -> list[str]:
        place = ["--port", str(port), "--data-dir", str(tmp_path / "data")]
        return [sys.executable, "-m", "mvcc_kv", "serve", *place, "--log-level", "warning", *options]

    return ServerTarget(command, connect_to, tmp_path / "server.log")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[ServerTarget]:
    target = started(tmp_path)
    yield target
    target.stop()


def test_it_comes_back_where_it_was_with_what_it_had(target: ServerTarget) -> None:
    for end in (target.kill, target.stop):
        with mvcc_kv.connect(target.address) as db:
            db["k"] = db.get("k", 0) + 1
        end()
        with pytest.raises(UnavailableError):
            mvcc_kv.connect(target.address)
        target.restart()
    with mvcc_kv.connect(target.address) as db:
        assert db["k"] == 2
    assert target.complaints() == []


def test_paused_it_says_nothing_until_it_is_resumed(target: ServerTarget) -> None:
    with mvcc_kv.connect(target.address, timeout_s=0.3) as db:
        target.pause()
        with pytest.raises(UnavailableError, match="no answer"):
            db.get("k")
        target.resume()
        assert db.get("k") is None


def test_a_paused_one_can_be_stopped(target: ServerTarget) -> None:
    target.pause()
    target.stop()
    assert target.complaints() == []


def test_a_full_disk_ends_commits_until_it_is_started_again(target: ServerTarget) -> None:
    with mvcc_kv.connect(target.address, commit_timeout_s=0) as db:
        db["k"] = 1
        target.fill_disk()
        with pytest.raises(mvcc_kv.Error):
            db["k"] = 2
        assert db["k"] == 1
    target.kill()
    target.restart()
    with mvcc_kv.connect(target.address) as db:
        assert db["k"] in (1, 2)
        db["k"] = 3
    assert target.complaints() == []


def test_an_end_that_nobody_asked_for_is_a_complaint(target: ServerTarget) -> None:
    os.kill(target.pid, signal.SIGKILL)
    os.waitid(os.P_PID, target.pid, os.WEXITED | os.WNOWAIT)
    [complaint] = target.complaints()
    assert complaint.startswith("the server ended by itself, with status -9")


def test_a_server_that_does_not_start_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="did not start: status 2"):
        started(tmp_path, "--nonsense")
