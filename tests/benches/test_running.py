"""The benchmarks run: every row is there, and somebody answered. How fast is not a test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from benches.programs import find_program

ROOT = Path(__file__).parents[2]
TINY = ["--seconds", "0.05", "--rounds", "1", "--keys", "2000"]

needs_peers = pytest.mark.skipif(
    not (find_program("etcd") and find_program("redis-server")), reason="apt-get install etcd-server redis-server"
)

needs_redis_benchmark = pytest.mark.skipif(not find_program("redis-benchmark"), reason="apt-get install redis-tools")


def _quick(results: Path, *parts: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benches.run", "--only", ",".join(parts), *TINY, "--results", str(results)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def _run(results: Path, *parts: str) -> tuple[dict[str, Any], str]:
    """The figures of these parts and the output of a tiny run; nothing but the figures and the report stays behind."""
    process = _quick(results, *parts)
    assert process.returncode == 0, process.stderr
    [written] = results.glob("*.json")
    left = sorted(path.name for path in results.iterdir() if path.suffix != ".svg")
    assert left == [written.name, "benchmarks.md"]
    assert all(str(path) in process.stdout for path in results.iterdir())
    taken = json.loads(written.read_text())
    return {**taken, **taken["parts"]}, process.stdout


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _run(tmp_path_factory.mktemp("results"), "slow-disk", "recovery", "saving")[0]


@pytest.fixture(scope="module")
def has_redis(figures: dict[str, Any]) -> bool:
    return "redis-server" not in figures["missing"]


@pytest.fixture(scope="module")
def has_slow_disk(figures: dict[str, Any]) -> bool:
    return "strace" not in figures["missing"]


@needs_redis_benchmark
def test_redis_benchmark_counts_every_workload_on_every_server(tmp_path: Path) -> None:
    figures, output = _run(tmp_path, "commands", "durability")
    assert figures["machine"].keys() >= {"cpu", "cores", "python", "pgo", "interpreter"}
    for part in ("commands", "durability"):
        rows = figures[part]["rows"]
        workloads = {(row["verb"], row["depth"], row["connections"]) for row in rows}
        assert workloads == set(product(["SET", "GET", "INCR"], [1, 16, 64], [1, 50])) and len(rows) == 18
        for row in rows:
            assert row["commands_per_second"].keys() == {"mvcc-kv", "redis-server"}
            assert all(count > 0 for count in row["commands_per_second"].values())
    assert [len(figures[part]["comparisons"]) for part in ("commands", "durability")] == [18, 2]
    assert "Reached: " in output


def test_only_what_is_named_is_measured(figures: dict[str, Any]) -> None:
    assert figures["parts"].keys() == {"slow-disk", "recovery", "saving"}


@pytest.mark.parametrize("only", ["slow-disc", "commands,slow-disc"])
def test_a_part_that_is_none_is_refused(tmp_path: Path, only: str) -> None:
    process = _quick(tmp_path / "results", only)
    assert process.returncode == 1 and process.stderr.startswith("there is no slow-disc; there are commands, ")
    assert not (tmp_path / "results").exists()


def test_waits_are_counted_from_when_a_command_was_due(tmp_path: Path) -> None:
    rows = _run(tmp_path, "latency")[0]["latency"]["rows"]
    assert [row["rate"] for row in rows] == [1_000, 5_000, 15_000]
    for row in rows:
        it = row["servers"]["mvcc-kv"]
        assert 0 < it["p50_ms"] <= it["p99_ms"] <= it["p999_ms"] <= it["max_ms"] and it["kept"] > 0


def test_memory_is_measured_written_and_loaded(tmp_path: Path) -> None:
    rows = _run(tmp_path, "memory")[0]["memory"]["rows"]
    assert [row["way"] for row in rows] == ["written", "loaded"]
    assert all(row["bytes_per_key"]["mvcc-kv"] is not None for row in rows)


def test_costs_are_measured_at_every_size(tmp_path: Path) -> None:
    rows = _run(tmp_path, "growth")[0]["growth"]["rows"]
    assert {row["grows_with"] for row in rows} == {"keys", "versions", "snapshots", "write set"}
    assert all(row["us"] > 0 for row in rows) and {row["growth"] for row in rows if row["size"] == 1} == {1.0}


def test_embedded_transactions_are_counted_beside_every_library_that_is_there(tmp_path: Path) -> None:
    rows = _run(tmp_path, "embedded")[0]["embedded"]["rows"]
    which = [(row["kept"], row["library"]) for row in rows if row["library"] in ("mvcc-kv", "sqlite3")]
    assert which == list(product(["in memory", "on disk"], ["mvcc-kv", "sqlite3"]))
    assert all(row["commits_per_second"] > 0 for row in rows)


def test_readers_are_watched_alone_and_beside_writers(
    figures: dict[str, Any], has_redis: bool, has_slow_disk: bool
) -> None:
    rows = figures["slow-disk"]["rows"]
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
    figures, output = _run(results, "slow-disk", "recovery")
    assert set(figures["missing"]) >= {"redis-server", "redis-benchmark", "strace", "etcd"}
    assert "redis-server is not installed" in output and "strace is not installed" in output and "absent" in output
    assert figures["slow-disk"]["rows"][1]["servers"] == {}
    assert figures["recovery"]["rows"][0]["mvcc-kv"]["seconds"] > 0


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
    assert process.stderr.startswith("scans needs its peers: apt-get install redis-server etcd-server; or --only ")
    assert not (tmp_path / "results").exists()


def test_the_checker_judges_histories_of_each_size(tmp_path: Path) -> None:
    figures, output = _run(tmp_path, "checker")
    rows = figures["checker"]["rows"]
    assert [(row["transactions"], row["processes"]) for row in rows] == [(2000, 10), (2000, 50)]
    assert all(row["transactions_per_second"] > 0 and row["peak_bytes"] > 0 for row in rows)
    assert "The isolation checker" in output
