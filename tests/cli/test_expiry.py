"""Keys that expire, on the command line: what is copied keeps its time, or says that it doesn't."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.engine import VersionedStore
from tests.cli.conftest import Run
from tests.contract.serving import serving


def now_us() -> int:
    return time.time_ns() // 1000


def ttl(directory: Path, key: str) -> float | None:
    with mvcc_kv.open(directory) as db:
        return db.ttl(key)


def test_put_takes_a_time_and_a_backup_of_a_server_keeps_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(VersionedStore(time_us=now_us)) as address:
        monkeypatch.setenv("MVCC_KV_URL", address)
        assert run("put", "--ttl", "1000", "a", "1") == ("", "", 0)
        assert run("put", "b", "2")[2] == 0
        assert "ttl_s" in run("put", "--ttl", "0", "c", "1")[1]
        assert run("backup", address, tmp_path / "backup.json")[2] == 0
        dumped = run("dump")
        assert json.loads(dumped[0]) == {"a": "1", "b": "2"}
        assert dumped[1].startswith("mvcc-kv: 1 of them expire, which a dump doesn't say")
    for number in (1, 2):
        assert run("restore", tmp_path / "backup.json", tmp_path / f"restored{number}")[2] == 0
        assert run("load", tmp_path / "backup.json", "--data-dir", tmp_path / f"loaded{number}")[2] == 0
        for directory in (tmp_path / f"restored{number}", tmp_path / f"loaded{number}"):
            assert 900 < (ttl(directory, "a") or 0) <= 1000
            assert ttl(directory, "b") is None
        run("backup", tmp_path / "loaded1", tmp_path / "backup2.json")


def test_a_checkpoint_loads_into_a_server_with_its_times(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mvcc_kv.open(tmp_path / "data") as db:
        db.put("a", 1, ttl_s=1000)
        db["b"] = 2
    for arguments in ([], ["--in-one-transaction"]):
        with serving(VersionedStore(time_us=now_us)) as address, mvcc_kv.connect(address) as db:
            monkeypatch.setenv("MVCC_KV_URL", address)
            assert run("load", tmp_path / "data" / "checkpoint.json", *arguments)[2] == 0
            assert 900 < (db.ttl("a") or 0) <= 1000
            assert db.ttl("b") is None


def test_verify_and_repair_keep_times(run: Run, tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path / "data") as db:
        db.put("a", 1, ttl_s=1000)
    assert run("verify", tmp_path / "data")[2] == 0
    log = next((tmp_path / "data").glob("log-*.wal"))
    log.write_bytes(b"damaged" + log.read_bytes()[7:])
    assert run("repair", tmp_path / "data", "--to", tmp_path / "moved")[2] == 0
    assert 900 < (ttl(tmp_path / "data", "a") or 0) <= 1000
