"""Embedded use writes checkpoints by itself when its log has grown."""

from __future__ import annotations

from pathlib import Path
from threading import enumerate as threads

from mvcc_kv.durability import open_directory
from mvcc_kv.engine import VersionedStore


def test_a_log_that_has_grown_is_replaced_by_a_checkpoint(tmp_path: Path) -> None:
    store, keeper = open_directory(tmp_path / "data", VersionedStore, checkpoint_log_bytes=10_000)
    for number in range(200):
        store.put(b"key", b'"%0100d"' % number)
    for thread in threads():
        if thread.name == "mvcc-kv-checkpoint":
            thread.join()
    assert (tmp_path / "data" / "checkpoint.json").exists()
    segments = sorted((tmp_path / "data").glob("log-*.wal"))
    assert segments[0].name != "log-00000000000000000001.wal", "what the checkpoint holds is gone from the log"
    keeper.close()
    again, keeper = open_directory(tmp_path / "data", VersionedStore)
    assert again.get(b"key") == b'"%0100d"' % 199
    keeper.close()
