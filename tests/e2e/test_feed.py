"""The change feed of a real server: consumers that are killed at random under load and resumed, and restarts."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ..server.running import Client
from .processes import Process, serving

KEYS = [f"{room}:{n}" for room in ("kitchen", "hall") for n in range(15)]
WRITERS = 3
STEPS = 400
LAST = "kitchen:last"


class Consumer:
    """Follows the feed through one short-lived connection after the other, and keeps what it was told."""

    def __init__(self, connect: Callable[[], Client], prefix: str, seed: int) -> None:
        self.commits: list[dict[str, Any]] = []
        self.state: dict[str, Any] = {}
        self.ts = 0
        self.lives = 0
        self._connect = connect
        self._prefix = prefix
        self._random = random.Random(seed)
        self._client = self._begin()

    def follow(self) -> None:
        """Until the last commit was told."""
        while LAST not in self.state:
            for _ in range(self._random.randrange(60)):
                self._take(self._client.result())
                if LAST in self.state:
                    break
            self._die()
            self._client = self._begin()
        self._client.close()

    def _begin(self) -> Client:
        self.lives += 1
        client = self._connect()
        began = client.asked(b'CHANGES {"prefix": "%b", "from": %d}' % (self._prefix.encode(), self.ts))
        assert began == {"ts": self.ts}
        return client

    def _die(self) -> None:
        """Whatever is on its way to us is lost."""
        self._random.choice([self._client.close, self._client.reset])()

    def _take(self, line: dict[str, Any]) -> None:
        if "ts" in line:
            assert line["ts"] >= self.ts
            self.ts = line["ts"]
            return
        self.ts = line["commit_ts"]
        self.commits.append(line)
        for change in line["changes"]:
            if "deleted" in change:
                del self.state[change["key"]]
            else:
                self.state[change["key"]] = change["value"]


def write_at_random(client: Client, seed: int) -> None:
    """Autocommits, transactions that may conflict, snapshots that stay for a while, and checkpoints."""
    chosen = random.Random(seed)
    for step in range(STEPS):
        kind = chosen.random()
        if kind < 0.5:
            client.ask(b'PUT {"key": "%b", "value": [%d, %d]}' % (chosen.choice(KEYS).encode(), seed, step))
        elif kind < 0.65:
            client.ask(b"DEL %b" % chosen.choice(KEYS).encode())
        elif kind < 0.67:
            assert "checkpoint_ts" in client.asked(b"CHECKPOINT")
        else:
            client.ask(b'START {"label": "w%d"}' % seed)
            for key in chosen.sample(KEYS, chosen.randrange(1, 5)):
                client.ask(b"GET %b" % key.encode())
                client.ask(b"PUT %b %d" % (key.encode(), step) if chosen.random() < 0.8 else b"DEL %b" % key.encode())
            client.ask(b"COMMIT" if chosen.random() < 0.9 else b"ROLLBACK")


def hold_snapshots(client: Client, seed: int) -> None:
    """Somebody who reads old snapshots for a while, so that there is something to collect behind the commits."""
    chosen = random.Random(seed)
    for _ in range(STEPS // 10):
        client.ask(b'START {"read_only": true}')
        for _ in range(chosen.randrange(30)):
            client.ask(b"GET %b" % chosen.choice(KEYS).encode())
        client.ask(b"COMMIT")


@pytest.mark.parametrize("seed", range(3))
def test_a_consumer_that_is_killed_and_resumed_at_random_is_told_every_commit_once(tmp_path: Path, seed: int) -> None:
    print("seed", seed)
    options = ("--data-dir", "data", "--checkpoint-log-bytes", "20000", "--feed-heartbeat-s", "0.05")
    with serving(*options, cwd=tmp_path) as server, ThreadPoolExecutor(WRITERS + 4) as threads:
        consumers = [Consumer(server.connect, prefix, seed + at) for at, prefix in enumerate(["", "kitchen:", ""])]
        following = [threads.submit(consumer.follow) for consumer in consumers]
        at_work = [threads.submit(write_at_random, server.connect(), seed * 10 + n) for n in range(WRITERS)]
        at_work.append(threads.submit(hold_snapshots, server.connect(), seed))
        for task in at_work:
            task.result()
        writer = server.connect()
        writer.ask(b"PUT %b 1" % LAST.encode())
        for task in following:
            task.result()
        newest_ts = writer.asked(b"STATS")["commit_ts"]
        state = {item["key"]: item["value"] for item in writer.asked(b"SCAN")["items"]}
    everything, kitchen, everything_again = consumers
    assert min(consumer.lives for consumer in consumers) > 5
    assert [commit["commit_ts"] for commit in everything.commits] == list(range(1, newest_ts + 1))
    assert everything.state == state
    assert everything_again.commits == everything.commits
    assert kitchen.commits == [part for commit in everything.commits if (part := of_kitchen(commit))["changes"]]
    assert kitchen.state == {key: value for key, value in state.items() if key.startswith("kitchen:")}
    assert server.logged.count(b"checkpoint written") > 2


def of_kitchen(commit: dict[str, Any]) -> dict[str, Any]:
    return {**commit, "changes": [it for it in commit["changes"] if it["key"].startswith("kitchen:")]}


# Across a restart


def restarted(server: Process) -> None:
    server.signal(signal.SIGTERM)
    assert server.ended() == 0


def test_without_retention_a_restart_forgets_and_says_so(tmp_path: Path) -> None:
    with serving("--data-dir", "data", cwd=tmp_path) as server:
        feed, writer = server.connect(), server.connect()
        assert feed.asked(b"CHANGES") == {"ts": 0}
        writer.ask(b"PUT a 1")
        writer.ask(b"PUT a 2")
        assert [feed.result()["commit_ts"] for _ in range(2)] == [1, 2]
        restarted(server)
    with serving("--data-dir", "data", cwd=tmp_path) as server:
        late, punctual, writer = server.connect(), server.connect(), server.connect()
        gone = late.asked(b'CHANGES {"from": 1}')
        assert (gone["code"], gone["oldest_ts"]) == ("SNAPSHOT_GONE", 2)
        assert punctual.asked(b'CHANGES {"from": 2}') == {"ts": 2}
        writer.ask(b"PUT a 3")
        assert punctual.result()["commit_ts"] == 3
        restarted(server)


def test_nobody_was_told_of_a_commit_that_a_crash_takes_away(tmp_path: Path) -> None:
    with serving("--data-dir", "data", cwd=tmp_path) as server:
        feed, writer = server.connect(), server.connect()
        assert feed.asked(b"CHANGES") == {"ts": 0}
        writer.send(b"\n".join(b"PUT k%d %d" % (n, n) for n in range(1_000)))
        told = [feed.result()["commit_ts"] for _ in range(100)]
        server.signal(signal.SIGKILL)
        told += [json.loads(line)["result"]["commit_ts"] for line in whole_lines(feed)]
        server.ended()
    assert told == list(range(1, len(told) + 1))
    with serving("--data-dir", "data", cwd=tmp_path) as server:
        assert server.connect().asked(b"STATS")["commit_ts"] >= told[-1]


def whole_lines(client: Client) -> list[bytes]:
    """What was still on its way to the client when the server was killed."""
    try:
        return client.rest().split(b"\n")[:-1]
    except ConnectionResetError:
        return []
