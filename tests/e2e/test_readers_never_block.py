"""Readers never block, and see one snapshot, whatever writers do.

writer   START  PUT every key ..................................................  (never commits)
mover           START PUT PUT COMMIT   START PUT PUT COMMIT   START PUT PUT COMMIT ...
reader                START  GET GET GET SCAN GET ...  the same sum, always ...
"""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread

from .processes import Process, serving

KEYS = [f"account:{n:02d}" for n in range(20)]
TOTAL = 100 * len(KEYS)


def put(key: str, value: int) -> bytes:
    return f'PUT {{"key": "{key}", "value": {value}}}'.encode()


def move_until(server: Process, is_over: Event, moved: list[int]) -> None:
    """Commit transfers between accounts, one after the other; the sum stays."""
    client = server.connect()
    amounts = dict.fromkeys(KEYS, 100)
    while not is_over.is_set():
        n = len(moved)
        source, target = KEYS[n % 20], KEYS[(n * 7 + 3) % 20]
        if source != target:
            amounts[source] -= 1
            amounts[target] += 1
        client.send(b"\n".join([b"START", put(source, amounts[source]), put(target, amounts[target]), b"COMMIT {}\n"]))
        replies = [client.result() for _ in range(4)]
        moved.append(replies[3]["commit_ts"])
    client.close()


def test_a_third_reads_on_while_one_holds_every_key_and_another_commits(tmp_path: Path) -> None:
    with serving("--in-memory", "--max-transaction-bytes", "100000", cwd=tmp_path) as server:
        holder, reader, fresh = (server.connect() for _ in range(3))
        for key in KEYS:
            holder.ask(put(key, 100))
        holder.ask(b"START")
        for key in KEYS:
            assert holder.asked(put(key, -1))["value"] == -1

        is_over, moved = Event(), list[int]()
        mover = Thread(target=move_until, args=(server, is_over, moved))
        mover.start()
        try:
            start_ts = reader.asked(b"START {}")["start_ts"]
            first = [reader.asked(b"GET " + key.encode())["value"] for key in KEYS]
            assert sum(first) == TOTAL
            latest = 0
            for _ in range(40):
                assert [reader.asked(b"GET " + key.encode())["value"] for key in KEYS] == first
                page = reader.asked(b'SCAN {"prefix": "account:"}')
                assert [item["value"] for item in page["items"]] == first
                newest = fresh.asked(b'SCAN {"prefix": "account:"}')["items"]
                assert sum(item["value"] for item in newest) == TOTAL, "one SCAN is one snapshot too"
                stats = fresh.asked(b"STATS")
                assert stats["commit_ts"] >= latest and stats["oldest_start_ts"] == len(KEYS)
                latest = stats["commit_ts"]
            while len(moved) < 100:
                assert sum(reader.asked(b"GET " + key.encode())["value"] for key in KEYS) == TOTAL
        finally:
            is_over.set()
            mover.join()

        assert max(moved) > start_ts + 50, "the mover was not held up either"
        assert reader.asked(b"COMMIT {}") == {"commit_ts": start_ts}
        conflict = json.loads(holder.ask(b"COMMIT"))["result"]
        assert conflict["code"] == "CONFLICT"
        assert sorted(conflict["keys"]) == KEYS and conflict["start_ts"] == len(KEYS)
        assert max(winner["commit_ts"] for winner in conflict["winners"].values()) == max(moved)
        total = sum(item["value"] for item in fresh.asked(b'SCAN {"prefix": "account:"}')["items"])
        assert total == TOTAL
        stats = fresh.asked(b"STATS")
        assert (stats["active_transactions"], stats["versions"]) == (0, len(KEYS))
