"""A disk that fails under a real server: system calls are made to fail, to wait, or to kill, by `strace -e inject=`.

What holds in every case: nothing is acknowledged that a restart doesn't find, reads go on, and the reason is told.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ..server.running import Client
from .processes import serving, starting

strace = shutil.which("strace")


@pytest.fixture(autouse=True)
def _needs_strace() -> None:
    assert strace is not None, "these tests need strace: apt-get install strace"


def injecting(*faults: str) -> list[str]:
    """The command that runs another one with faults: `fdatasync:error=EIO:when=3` fails the third call and no other."""
    assert strace is not None
    calls = ",".join({fault.partition(":")[0] for fault in faults})
    injections = [word for fault in faults for word in ("-e", f"inject={fault}")]
    return [strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", *injections]


def asked(client: Client, command: str) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(client.ask(command.encode()))
    return reply


def put_until_refused(client: Client, attempts: int = 50) -> tuple[list[str], dict[str, Any]]:
    """Keys that were acknowledged, and the first refusal."""
    acknowledged: list[str] = []
    for number in range(attempts):
        reply = asked(client, f"PUT k{number} {number}")
        if reply["status"] == "Error":
            return acknowledged, reply
        acknowledged.append(f"k{number}")
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(
    "fault",
    [
        "fdatasync:error=EIO:when=5",
        "fdatasync:error=ENOSPC:when=5",
        "pwrite64:error=EIO:when=6",
        "pwrite64:error=ENOSPC:when=6",
    ],
)
def test_a_failed_write_or_sync_ends_commits_and_nothing_else(fault: str, tmp_path: Path) -> None:
    with serving("--data-dir", "data", cwd=tmp_path, prefix=injecting(fault)) as server:
        writer, reader = server.connect(), server.connect()
        acknowledged, refusal = put_until_refused(writer)
        assert acknowledged
        assert refusal["result"]["code"] == "UNAVAILABLE" and refusal["result"]["retryable"] is False
        assert asked(reader, "PUT other 1")["result"]["code"] == "UNAVAILABLE", "no later sync is believed"
        found = [item["key"] for item in asked(reader, "SCAN")["result"]["items"]]
        assert sorted(found) == sorted(acknowledged), "reads go on, and show what was acknowledged"
        assert asked(reader, "STATS")["result"]["log_failure"]
        server.signal(signal.SIGTERM)
        server.ended()
        assert b"the log failed" in server.logged
    with serving("--data-dir", "data", cwd=tmp_path) as server:
        client = server.connect()
        for key in acknowledged:
            assert asked(client, f"GET {key}")["status"] == "Ok"
        assert asked(client, "GET other")["result"]["code"] == "KEY_NOT_FOUND"
        assert asked(client, "PUT other 1")["status"] == "Ok"


@pytest.mark.parametrize("fault", ["fdatasync:signal=KILL:when=7", "pwrite64:signal=KILL:when=9"])
def test_a_server_killed_while_it_writes_has_everything_it_acknowledged(fault: str, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    with serving("--data-dir", "data", cwd=tmp_path, prefix=injecting(fault)) as server:
        client = server.connect()
        for number in range(50):
            client.send(b"PUT k%d %d\n" % (number, number))
            try:
                client.reply()
            except (OSError, EOFError):
                break
            acknowledged.append(number)
        server.ended()
    assert 0 < len(acknowledged) < 50
    with serving("--data-dir", "data", cwd=tmp_path) as server:
        client = server.connect()
        for number in acknowledged:
            assert asked(client, f"GET k{number}")["result"]["value"] == str(number)


def test_readers_do_not_wait_for_a_slow_disk(tmp_path: Path) -> None:
    """Each sync takes a second; while one is under way, a hundred reads are answered, and see the state before it."""
    slow = injecting("fdatasync:delay_enter=1000000")
    with serving("--data-dir", "data", cwd=tmp_path, prefix=slow) as server:
        writer, reader = server.connect(), server.connect()
        asked(writer, "PUT a old")
        writer.send(b"PUT a new\nPING\n")
        for _ in range(100):
            assert asked(reader, "GET a")["result"]["value"] == "old"
        assert not writer.has_answer(), "the reply of the commit, and the one behind it, are still on their way"
        assert json.loads(writer.reply())["result"]["value"] == "new"
        assert asked(reader, "GET a")["result"]["value"] == "new"


@pytest.mark.parametrize("fault", ["rename:error=EIO:when=3", "fsync:error=EIO:when=5"])
def test_a_failed_checkpoint_leaves_the_old_one_and_the_next_succeeds(fault: str, tmp_path: Path) -> None:
    """Calls are counted for each thread by itself; the third checkpoint is the first to meet the fault."""
    with serving("--data-dir", "data", cwd=tmp_path, prefix=injecting(fault)) as server:
        client = server.connect()
        assert asked(client, "PUT a 1")["status"] == "Ok"
        assert [asked(client, "CHECKPOINT")["status"] for _ in range(2)] == ["Ok", "Ok"]
        before = (tmp_path / "data/checkpoint.json").read_bytes()
        refused = asked(client, "CHECKPOINT")
        assert refused["result"]["code"] == "UNAVAILABLE" and refused["result"]["retryable"] is True
        assert (tmp_path / "data/checkpoint.json").read_bytes() == before
        assert asked(client, "PUT b 2")["status"] == "Ok", "commits go on"
        assert asked(client, "CHECKPOINT")["result"] == {"checkpoint_ts": 2}
        assert b"checkpoint failed" in server.logged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MiB: one segment fits, with little beside it."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True)
    assert mounted.returncode == 0, f"this test mounts a tmpfs, and so needs root: {mounted.stderr}"
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_refuses_commits_and_loses_none(small_disk: Path, tmp_path: Path) -> None:
    options = ["--data-dir", str(small_disk / "data"), "--max-transaction-bytes", "2000000"]
    value = "x" * 1_000_000
    with serving(*options, cwd=tmp_path) as server:
        client = server.connect()
        acknowledged = []
        for number in range(40):
            reply = asked(client, f"PUT k{number} {value}")
            if reply["status"] == "Error":
                assert reply["result"]["code"] == "UNAVAILABLE" and reply["result"]["retryable"] is False
                break
            acknowledged.append(number)
        assert 0 < len(acknowledged) < 40
        assert asked(client, "GET k0")["result"]["value"] == value
        server.signal(signal.SIGTERM)
        server.ended()
    elsewhere = tmp_path / "moved"
    shutil.copytree(small_disk / "data", elsewhere)
    with serving("--data-dir", str(elsewhere), "--max-transaction-bytes", "2000000", cwd=tmp_path) as server:
        client = server.connect()
        for number in acknowledged:
            assert asked(client, f"GET k{number}")["result"]["value"] == value


def test_a_start_without_room_for_a_log_says_so(small_disk: Path, tmp_path: Path) -> None:
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))
    (small_disk / "data").mkdir()
    with starting("--port", "0", "--data-dir", str(small_disk / "data"), cwd=tmp_path) as server:
        assert server.ended() == 1
        assert server.said() == "", "it never listened"
        last = server.logged.decode().splitlines()[-1]
        assert last.startswith("mvcc-kv: ") and "No space left on device" in last
