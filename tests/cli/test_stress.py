"""`mvcc-kv stress`: exit statuses, the report, and what is wrong with options."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from mvcc_kv.api import TransactionOptions
from mvcc_kv.cli.stress import _refusing
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
        (["--workload", "bank=0,queue=1"], "a weight is a number above nought"),
        (["--nemesis", "nope"], "there is no fault 'nope'"),
        (["--embedded", "--nemesis", "kill"], "the fault 'kill' can't be done here"),
        (["--in-memory", "--nemesis", "kill"], "the fault 'kill' can't be done here"),
        (["--url", "127.0.0.1:1", "--embedded"], "--embedded means nothing with --url"),
        (["--fsync", "maybe"], "'maybe' is not one of"),
        (["--seconds", "inf"], "Invalid value for '--seconds'"),
        (["--seconds", "nan"], "Invalid value for '--seconds'"),
        (["--pause-ms", "inf"], "Invalid value for '--pause-ms'"),
        (["--rate", "inf"], "--rate is a finite number"),
        (["--url", "127.0.0.1:1"], "can't connect to 127.0.0.1:1:"),
        (["--url", "127.0.0.1:1", "--nemesis", "cut"], "can't connect to 127.0.0.1:1:"),
        (["--url", "a:b"], "an address is host"),
        (["--url", "a:b", "--nemesis", "cut"], "an address is host"),
        (["--embedded", "--data-dir", "/proc/nope"], "/proc/nope"),
    ],
)
def test_what_cannot_be_run_ends_with_2_a_reason_and_no_folder(
    run: Run, tmp_path: Path, options: list[str], complaint: str
) -> None:
    out, err, status = run("stress", "--quiet", "--report", tmp_path / "report", *options)
    assert status == 2
    assert complaint in " ".join((out + err).split()) and "Traceback" not in err
    assert not (tmp_path / "report").exists()


def test_a_report_that_cannot_be_written_ends_with_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", "/proc/nope"):
        _, err, status = run("stress", "--embedded", "--in-memory", "--quiet", "--report", folder)
        assert (status, err.count("\n")) == (2, 1), err
    assert (tmp_path / "file").read_text() == "mine"


def test_a_server_that_does_not_start_ends_with_2_and_leaves_its_log(run: Run, tmp_path: Path) -> None:
    _, err, status = run("stress", "--serve-option=--nonsense", "--report", tmp_path / "report")
    assert status == 2 and "the server did not start: status 2" in err
    [log] = (tmp_path / "report").iterdir()
    assert log.name == "server.log" and "--nonsense" in log.read_text()


def test_a_failure_of_the_harness_is_no_violation(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, _refusing():
        raise ZeroDivisionError("a bug of ours")
    assert ended.value.code == 2
    assert "ZeroDivisionError: a bug of ours" in capsys.readouterr().err


def test_the_password_is_nowhere_in_the_report(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(password="hush-hush", max_transaction_bytes=1 << 20) as address:
        options = ["--url", address, "--transactions", "300", "--quiet", "--report", str(tmp_path)]
        arguments = ["stress", *options, "--password", "hush-hush"]
        monkeypatch.setattr(sys, "argv", ["mvcc-kv", *arguments])
        out, _, status = run(*arguments)
        assert status == 0, out
        _, err, status = run("stress", "--url", address, "--password", "wrong", "--report", tmp_path / "other")
        assert status == 2 and "password" in err
    assert "--password" in json.loads((tmp_path / "summary.json").read_text())["settings"]["command"]
    assert [path.name for path in tmp_path.iterdir() if b"hush-hush" in path.read_bytes()] == []


def test_a_workload_that_nothing_came_of_makes_it_invalid(run: Run, tmp_path: Path) -> None:
    options = ["--embedded", "--in-memory", "--transactions", 400, "--seed", 1, "--quiet", "--report", tmp_path]
    out, _, status = run("stress", "--workload", "bank,queue=0.0000001", *options)
    assert status == 2
    assert "no step of queue committed, so nothing was tested by it" in out


def test_a_report_takes_the_place_of_an_earlier_one_and_of_nothing_else(run: Run, tmp_path: Path) -> None:
    earlier = {"history-register.jsonl", "history-list-append.jsonl", "server.log", "latency.png", "summary.json"}
    for name in (*earlier, "mine.jsonl", "history-mine.jsonl"):
        (tmp_path / name).write_text("old")
    run("stress", "--embedded", "--in-memory", "--workload", "bank", "--transactions", 10, "--report", tmp_path)
    old = {path.name for path in tmp_path.iterdir() if path.read_bytes() == b"old"}
    assert old == {"mine.jsonl", "history-mine.jsonl"}
    assert not (tmp_path / "history-register.jsonl").exists()


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        _, err, status = run("stress", "--url", address, "--timeout-s", 0.1, "--report", tmp_path / "report")
    assert status == 2
    assert "no answer within 0.1 s" in err
