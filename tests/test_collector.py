"""The collector is told what it need not look at, and looks at everything else."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.collector import give_back, paused, settled


class Circle:
    """Goes only when it is collected."""

    def __init__(self) -> None:
        self.itself = self


def is_tracked_among(container: object) -> bool:
    return any(it is container for it in gc.get_objects())


def test_nothing_is_collected_while_it_is_paused() -> None:
    collections = sum(it["collections"] for it in gc.get_stats())
    with paused():
        kept: list[list[int]] = [[] for _ in range(100_000)]
        assert sum(it["collections"] for it in gc.get_stats()) == collections
    assert gc.isenabled() and len(kept) == 100_000


def test_a_pause_leaves_the_collector_as_it_was() -> None:
    with paused():
        with paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(KeyError), paused():
        raise KeyError
    assert gc.isenabled()


def test_what_was_there_is_out_of_its_sight_and_what_comes_is_not() -> None:
    before = [object()]
    with settled():
        circle = weakref.ref(Circle())
        after = [object()]
        assert not is_tracked_among(before) and is_tracked_among(after)
        gc.collect()
        assert circle() is None
    assert is_tracked_among(before)


def test_memory_that_was_freed_is_given_back() -> None:
    """The index's tables grow so, and leave the smaller ones behind."""
    if platform.libc_ver()[0] != "glibc":
        assert give_back() is False
        return
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, timeout=60, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before - 5_000_000


GROW = """
from mvcc_kv.collector import give_back
from mvcc_kv.engine import VersionedStore

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

store = VersionedStore()
store.restore(1, {b"%d" % number: b"1" for number in range(400_000)})
before = resident_bytes()
give_back()
print(before, resident_bytes())
"""

SERVE = """
import gc, os, signal, sys, threading, time
from mvcc_kv.cli.serve import run
from mvcc_kv.server import Settings

def look():
    while signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        time.sleep(0.01)
    largest = max(len(it) for it in gc.get_objects() if isinstance(it, dict))
    print(gc.isenabled(), bool(gc.get_freeze_count()), largest, file=sys.stderr)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=look, daemon=True).start()
sys.exit(run(Settings(port=0), sys.argv[1]))
"""


def test_a_server_collects_but_not_what_it_has_loaded(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path / "data") as db, db.transaction() as tx:
        for number in range(50_000):
            tx[f"key:{number}"] = number
    done = subprocess.run(
        [sys.executable, "-c", SERVE, tmp_path / "data"], capture_output=True, text=True, timeout=60, check=True
    )
    is_enabled, is_frozen, largest = next(
        line for line in done.stderr.splitlines() if line.startswith(("True", "False"))
    ).split()
    assert (is_enabled, is_frozen) == ("True", "True")
    assert int(largest) < 50_000
