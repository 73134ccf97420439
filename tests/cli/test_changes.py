"""`mvcc-kv changes`: commits as lines of JSON, as they happen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import mvcc_kv
from mvcc_kv.engine import VersionedStore
from tests.cli.conftest import Run
from tests.contract.serving import serving


@contextmanager
def following(address: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "mvcc_kv", "changes", "--url", address, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "100"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_it_prints_what_was_and_what_comes_until_it_is_interrupted() -> None:
    store = VersionedStore()
    store.keep_changes(1 << 20)
    store.put(b"user:1", b"1.0")
    store.put(b"visits", b"1")
    with serving(store) as address, following(address, "--prefix", "user:", "--from", "0") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'{"commit_ts": 1, "changes": [{"key": "user:1", "value": 1.0}]}\n'
        with mvcc_kv.connect(address) as db:
            db["user:2"] = "Zoë"
            del db["user:1"]
        assert json.loads(process.stdout.readline())["changes"] == [{"key": "user:2", "value": "Zoë"}]
        assert process.stdout.readline() == b'{"commit_ts": 4, "changes": [{"key": "user:1", "deleted": true}]}\n'
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (out, err, process.returncode) == (b"", b"", 0)


def test_what_was_not_kept_is_one_line(run: Run, server: str) -> None:
    with mvcc_kv.connect(server) as db:
        db["a"] = 1
    out, err, status = run("changes", "--from", "0")
    assert (out, status, err.count("\n")) == ("", 1, 1)
    assert "not kept any more" in err


def test_a_script_and_a_shell_are_told_to_use_it(run: Run, server: str) -> None:
    out, _, _ = run("shell", stdin="CHANGES\nPING\n")
    refusal, pong = map(json.loads, out.splitlines())
    assert "`mvcc-kv changes`" in refusal["message"] and pong["result"] == "PONG"
