"""The benchmarks run: every row is there, and somebody answered. How fast is not a test's business."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from benches.etcd import RANGE_PATH, Http2, put_all_message, range_items

ROOT = Path(__file__).parent.parent


needs_peers = pytest.mark.skipif(
    not (shutil.which("etcd") and shutil.which("redis-server")), reason="apt-get install etcd-server redis-server"
)


def _quick(results: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benches", *parts, "--quick", "--results", str(results)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def _run(results: Path, *parts: str) -> tuple[dict[str, Any], str]:
    """The figures and the output of a quick run of these parts; nothing but the figures stays behind."""
    process = _quick(results, *parts)
    assert process.returncode == 0, process.stderr
    [written] = results.iterdir()
    assert str(written) in process.stdout
    return json.loads(written.read_text()), process.stdout


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _run(tmp_path_factory.mktemp("results"), "durability", "latency", "recovery", "saving")[0]


@pytest.fixture(scope="module")
def has_redis(figures: dict[str, Any]) -> bool:
    return "redis-server" not in figures["missing"]


@pytest.fixture(scope="module")
def has_slow_disk(figures: dict[str, Any]) -> bool:
    return "strace" not in figures["missing"]


def test_a_quick_run_measures_every_workload_on_every_server(tmp_path: Path) -> None:
    figures, _ = _run(tmp_path, "commands")
    assert figures["machine"].keys() >= {"cpu", "cores", "python", "pgo"}
    rows = figures["commands"]["rows"]
    workloads = {(row["verb"], row["depth"], row["connections"]) for row in rows}
    assert workloads == set(product(["GET", "PUT"], [1, 16, 64], [1, 50])) and len(rows) == 12
    for row in rows:
        assert row["commands_per_second"].keys() >= {"mvcc-kv", "echo"}
        assert all(count > 0 for count in row["commands_per_second"].values())
        assert row["ratio_to_echo"] > 0


def test_only_what_is_named_is_measured(figures: dict[str, Any]) -> None:
    assert figures.keys() == {"at", "machine", "missing", "durability", "latency", "recovery", "saving"}


def test_durable_sets_are_counted_at_one_client_and_at_fifty(figures: dict[str, Any], has_redis: bool) -> None:
    rows = figures["durability"]["rows"]
    assert {(row["verb"], row["depth"], row["connections"]) for row in rows} == set(product(["PUT"], [1, 16], [1, 50]))
    for row in rows:
        assert row["commands_per_second"]["mvcc-kv"] > 0 and row["disk_syncs_per_second"] > 0
        assert ("ratio_to_redis" in row) == has_redis


def test_readers_are_watched_alone_and_beside_writers(
    figures: dict[str, Any], has_redis: bool, has_slow_disk: bool
) -> None:
    rows = figures["latency"]["rows"]
    assert [row["writers"] > 0 for row in rows] == [False, True]
    for row in rows:
        assert ("mvcc-kv" in row["servers"]) == has_slow_disk
        assert ("redis-server" in row["servers"]) == (has_slow_disk and has_redis)
        for it in row["servers"].values():
            assert 0 < it["p50_ms"] <= it["p99_ms"] <= it["max_ms"]
            assert row["writers"] > 0 or it["writes_per_second"] == 0


def test_recovery_is_timed_from_every_form(figures: dict[str, Any], has_redis: bool) -> None:
    rows = figures["recovery"]["rows"]
    assert [(row["mvcc-kv"]["from"], row["redis-server"]["from"]) for row in rows] == [
        ("nothing", "nothing"),
        ("checkpoint", "RDB"),
        ("log", "AOF"),
    ]
    for row in rows:
        assert row["mvcc-kv"]["seconds"] > 0
        assert (row["redis-server"]["seconds"] is not None) == has_redis
    assert all(row["mvcc-kv"]["bytes"] > 2000 * (16 + 32) for row in rows[1:])


def test_attempts_are_counted_in_turn_and_without_everywhere(tmp_path: Path) -> None:
    figures, _ = _run(tmp_path, "contention")
    rows = figures["contention"]["rows"]
    fronts = ["in memory", "on disk", "threads", "processes", "redis-py threads", "redis-py processes"]
    assert [(row["counters"], row["where"]) for row in rows] == list(product([1, 10, 0], fronts))
    for row in rows:
        is_redis = row["where"].startswith("redis-py")
        for it in [row] if is_redis else [row, row["without_turns"]]:
            if is_redis and {"redis-server", "redis-py"} & set(figures["missing"]):
                assert it["attempts_mean"] is None
            else:
                assert 1 <= it["attempts_mean"] <= it["attempts_worst"] and it["attempts_p99"] >= 1
                assert row["counters"] or it["attempts_worst"] == 1


def test_readers_are_watched_while_a_checkpoint_is_written(figures: dict[str, Any], has_redis: bool) -> None:
    rows = {(row["server"], row["save"]): row for row in figures["saving"]["rows"]}
    servers = {"mvcc-kv": ["nothing", "CHECKPOINT"], "redis-server": ["nothing", "BGSAVE", "SAVE"]}
    assert rows.keys() == {(server, save) for server, saves in servers.items() for save in saves}
    for (server, _), row in rows.items():
        assert (row["seconds"] is not None) == (server == "mvcc-kv" or has_redis)
        assert row["max_ms"] is None or row["max_ms"] >= row["p50_ms"]


def test_a_program_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    results = tmp_path / "results"
    figures, output = _run(results, "durability", "latency")
    assert figures["missing"] == ["redis-server", "strace", "etcd"]
    assert (
        "redis-server is not installed, strace is not installed, etcd is not installed" in output and "absent" in output
    )
    assert figures["latency"]["rows"][1]["servers"] == {}
    assert figures["durability"]["rows"][0]["commands_per_second"]["mvcc-kv"] > 0


def test_reading_behind_and_committing_beside_snapshots_are_compared(tmp_path: Path) -> None:
    rows = _run(tmp_path, "snapshots")[0]["snapshots"]["rows"]
    assert [row["compared_with"] for row in rows] == ["newest"] * 4 + ["1 live"] * 4
    for row in rows:
        assert row["ratio"] > 0 and len(row["rounds"]["here"]) == len(row["rounds"]["compared"]) == 1
    assert [row["kept"] for row in rows[:2]] == ["2 versions", "1,001 versions"]


def test_both_levels_run_every_workload(tmp_path: Path) -> None:
    rows = _run(tmp_path, "isolation")[0]["isolation"]["rows"]
    assert [row["interleaved"] for row in rows] == [1, 4, 4] * 2
    for row in rows:
        assert row["commits_per_second"].keys() == row["aborted_share"].keys() == {"snapshot", "serializable"}
        assert all(count > 0 for count in row["commits_per_second"].values())
        assert row["interleaved"] > 1 or set(row["aborted_share"].values()) == {0.0}


@needs_peers
def test_scans_are_counted_beside_every_peer(tmp_path: Path) -> None:
    rows = _run(tmp_path, "scans")[0]["scans"]["rows"]
    assert [row["connections"] for row in rows] == [1, 16]
    for row in rows:
        assert row["commands_per_second"].keys() == {"mvcc-kv", "redis-scan", "redis-lex", "etcd"}
        assert all(count > 0 for count in row["commands_per_second"].values())
        assert all(row[f"ratio_to_{peer}"] > 0 for peer in ("redis-scan", "redis-lex", "etcd"))


def test_a_part_that_needs_its_peers_names_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    process = _quick(tmp_path / "results", "snapshots", "scans")
    assert process.returncode == 1 and process.stdout == ""
    assert process.stderr.startswith("scans needs its peers: apt-get install redis-server etcd-server; or name other")
    assert not (tmp_path / "results").exists()


def test_an_answer_of_etcds_is_put_together_from_frames_in_any_pieces() -> None:
    http2 = Http2()
    http2.call(RANGE_PATH, b"")
    pair = b"\x0a\x01a\x10\x96\x01\x2a\x01b"  # key a, create_revision 150, value b
    message = b"\x12" + bytes([len(pair)]) + pair + b"\x20\x01"
    data = b"\0" + len(message).to_bytes(4, "big") + message
    ping = b"\0\0\x08\x06\0\0\0\0\0pingpong"
    frames = [ping, len(data).to_bytes(3, "big") + b"\0\0\0\0\0\x01" + data, b"\0\0\0\x01\x05\0\0\0\x01"]
    heard = [http2.hear(bytes([byte])) for byte in b"".join(frames)]
    assert b"".join(sent for _, sent in heard) == ping.replace(b"\x06\0", b"\x06\x01", 1)
    answer = heard[-1][0]
    assert answer == message and all(it is None for it, _ in heard[:-1])
    assert range_items(answer) == [(b"a", b"b")]


def test_an_answer_without_a_message_is_an_error() -> None:
    http2 = Http2()
    assert http2.call(RANGE_PATH, put_all_message([(b"a", b"b")]))
    with pytest.raises(RuntimeError, match="etcd answered with an error"):
        http2.hear(b"\0\0\0\x01\x05\0\0\0\x01")


def test_the_checker_judges_histories_of_each_size(tmp_path: Path) -> None:
    figures, output = _run(tmp_path, "checker")
    rows = figures["checker"]["rows"]
    assert [(row["transactions"], row["processes"]) for row in rows] == [(2000, 10), (2000, 50)]
    assert all(row["transactions_per_second"] > 0 and row["peak_bytes"] > 0 for row in rows)
    assert "The isolation checker" in output
