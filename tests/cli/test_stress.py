"""`mvcc-kv stress`: exit statuses, the report, and what is wrong with options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine import VersionedStore
from mvcc_kv.stress.history import decode_events
from tests.contract.serving import serving

from .conftest import Run


class Forgetful(VersionedStore):
    """A store that answers some commits and keeps nothing of them."""

    forgotten = 0

    def begin(self, options: TransactionOptions = TransactionOptions(), *arguments: Any, **more: Any) -> Any:  # noqa: B008
        return _ForgetfulTransaction(self, super().begin(options, *arguments, **more))


class _ForgetfulTransaction:
    def __init__(self, store: Forgetful, tx: Any) -> None:
        self._store = store
        self._tx = tx

    def commit(self, *arguments: Any, **more: Any) -> int:
        self._store.forgotten += 1
        if self._store.forgotten % 10 == 0:
            self._tx.rollback()
            return cast(int, self._tx.start_ts)
        return cast(int, self._tx.commit(*arguments, **more))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)


def test_a_run_in_which_all_held_ends_with_0_and_a_report(run: Run, tmp_path: Path) -> None:
    out, err, status = run(
        "stress", "--embedded", "--in-memory", "--transactions", 1500, "--seed", 7, "--report", tmp_path / "report"
    )
    assert (status, err.count("\n") > 0) == (0, True), (out, err)
    assert "HELD  seed 7" in out
    assert "strong-snapshot-isolation holds" in out
    written = {path.name for path in (tmp_path / "report").iterdir()}
    pictures = {"throughput.png", "latency.png", "percentiles.png"}
    assert written >= {"history.jsonl", "summary.json", "report.html", *pictures}
    summary = json.loads((tmp_path / "report" / "summary.json").read_text())
    assert summary["status"] == "held" and summary["settings"]["seed"] == 7
    events = list(decode_events((tmp_path / "report" / "history.jsonl").read_bytes().splitlines()))
    assert [event.index for event in events] == list(range(len(events))) and len(events) >= 3000
    assert [event.time for event in events] == sorted(event.time for event in events)
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3 and 'src="http' not in page


def test_its_history_is_what_check_reads(run: Run, tmp_path: Path) -> None:
    run("stress", "--embedded", "--in-memory", "--transactions", 500, "--report", tmp_path, "--quiet", "--no-check")
    out, _, status = run("check", tmp_path / "history.jsonl", "--level", "strong-snapshot-isolation")
    assert status == 0, out


def test_the_same_seed_takes_the_same_steps(run: Run, tmp_path: Path) -> None:
    def asked(name: str) -> list[Any]:
        options = ["--embedded", "--in-memory", "--transactions", 300, "--seed", 5, "--quiet", "--min-commits", 1]
        run("stress", *options, "--workload", "all", "--clients", 1, "--report", tmp_path / name)
        lines = (tmp_path / name / "history.jsonl").read_bytes().splitlines()
        return [(it.f, it.value) for it in decode_events(lines) if it.type == "invoke" and it.f != "audit"]

    assert asked("one") == asked("two")


def test_a_run_in_which_too_little_happened_is_invalid(run: Run, tmp_path: Path) -> None:
    out, _, status = run("stress", "--embedded", "--in-memory", "--transactions", 20, "--report", tmp_path, "--quiet")
    assert status == 2
    assert "INVALID" in out and "at least 100 should have" in out


def test_one_client_meets_nobody_and_need_not(run: Run, tmp_path: Path) -> None:
    options = ["--embedded", "--in-memory", "--transactions", 300, "--clients", 1]
    out, _, status = run("stress", *options, "--report", tmp_path, "--quiet")
    assert status == 0, out


def test_a_violation_ends_with_1_and_is_told(run: Run, tmp_path: Path) -> None:
    with serving(Forgetful(), max_transaction_bytes=1 << 20) as address:
        options = ["--url", address, "--seconds", 3, "--no-feed", "--report", tmp_path, "--quiet", "--seed", 3]
        out, _, status = run("stress", *options, "--workload", "bank")
    assert status == 1, out
    assert "VIOLATED" in out and "lost write: stress-" in out


def test_a_server_that_runs_is_not_harmed_and_can_be_stressed_twice(run: Run, tmp_path: Path) -> None:
    store = VersionedStore()
    store.put(b"mine", b"1")
    with serving(store, max_transaction_bytes=1 << 20) as address:
        for _ in range(2):
            out, _, status = run(
                "stress", "--url", address, "--workload", "all", "--transactions", 1500, "--report", tmp_path, "--quiet"
            )
            assert status == 0, out
    assert store.get(b"mine") == b"1"


def test_a_limit_that_is_too_low_for_the_work_makes_it_invalid(run: Run, tmp_path: Path) -> None:
    with serving(max_transaction_bytes=200) as address:
        options = ["--url", address, "--transactions", 1000, "--keys", 2, "--report", tmp_path, "--quiet"]
        out, _, status = run("stress", *options)
    assert status == 2
    assert "fail LIMIT_EXCEEDED" in out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--workload", "nonsense"], "there is no workload 'nonsense'"),
        (["--workload", "bank=much"], "a weight is a number"),
        (["--embedded", "--nemesis", "kill"], "the fault 'kill' can't be done to embedded here"),
        (["--embedded", "--processes", "2"], "--processes needs a server"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(run: Run, tmp_path: Path, options: list[str], complaint: str) -> None:
    out, err, status = run("stress", "--report", tmp_path, *options)
    assert status != 0
    assert complaint in " ".join((out + err).split())
