"""The load of transactions: which keys, what is sent, and that updates which were lost are noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import hiredis
import pytest

from benches.servers import RunningServer, mvcc_kv_server
from benches.transactors.attempts import Done, Job, apart, choices, incremented, key_name
from benches.transactors.resp import STARTING, WATCHING, started, watched

ROOT = Path(__file__).parents[2]
JOB = Job("start", 0, 4, 10, 4, True, 0.05)


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with mvcc_kv_server() as running:
        yield running


def test_a_transaction_has_different_keys_in_order() -> None:
    picked = choices(JOB)
    assert all(len(set(keys)) == 4 and list(keys) == sorted(keys) for keys in picked)
    assert picked == choices(JOB)


def test_skewed_keys_are_taken_by_their_rank() -> None:
    taken = Counter(key for [key] in choices(replace(JOB, keys_each=1)))
    assert [key for key, _ in taken.most_common(3)] == [key_name(0), key_name(1), key_name(2)]


def test_a_value_keeps_its_size() -> None:
    assert incremented(b"0" * 32) == b"0" * 31 + b"1" and len(incremented(b"9")) == 32


def test_watch_takes_two_round_trips() -> None:
    attempt = watched([b"a"])
    assert next(attempt) == [b"*2\r\n$5\r\nWATCH\r\n$1\r\na\r\n", b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"]
    sent = attempt.send([b"OK", b"7"])
    assert [words.split(b"\r\n")[2] for words in sent] == [b"MULTI", b"SET", b"EXEC"] and b"0008\r\n" in sent[1]
    with pytest.raises(StopIteration) as ended:
        attempt.send([b"OK", b"QUEUED", None])
    assert ended.value.value is False


def test_apart_each_command_has_a_round_trip_but_for_multi() -> None:
    attempt = apart(watched([b"a"]))
    assert len(next(attempt)) == 1 and len(attempt.send([b"OK"])) == 1
    assert len(attempt.send([b"7"])) == 3
    with pytest.raises(StopIteration) as ended:
        attempt.send([b"OK", b"QUEUED", [b"OK"]])
    assert ended.value.value is True


def test_an_error_that_is_no_conflict_ends_the_load() -> None:
    attempt = started([b"a"])
    next(attempt)
    attempt.send([41, b"7"])
    with pytest.raises(RuntimeError, match="COMMIT was answered with ERR"):
        attempt.send([b"OK", hiredis.ReplyError("ERR no")])


@pytest.mark.parametrize("system", ["start", "watch", "line", "turns"])
def test_what_every_client_commits_is_there_afterwards(server: RunningServer, system: str) -> None:
    """The load generator sums the counters up itself: an update that is missing is an error."""
    job = replace(JOB, system=system, port=server.port)
    command = [sys.executable, "-m", "benches.transactors", json.dumps(asdict(job))]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    done = Done(**json.loads(process.stdout))
    total = (WATCHING if system == "watch" else STARTING).total(server.port, job.keys)
    assert done.commits > 0 and total == 4 * done.commits
