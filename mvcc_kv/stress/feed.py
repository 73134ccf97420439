"""A consumer of the change feed, which follows all commits of a run, is cut off now and then, sleeps, and goes on.

    base: one snapshot, at ts 40      41 42 43 --closed--  zzz  --again, from 43--  44 45 ...   ... final: one, at ts 97

It sleeps for longer than checkpoints and kills are apart: what it missed lies then before a checkpoint that a start
began with, and is kept for it alone.

What must hold in the end: the commits came in order and none twice; every transaction that was acknowledged with a
timestamp came, once, with its label; none that failed did; and the base with all commits up to 97 applied is the final
state. Where the server does not keep what a consumer missed (`--retain-seconds` is what makes it do so over a kill), it
says so; then the consumer begins anew from a snapshot, and what it missed is not asked for.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, cast

from mvcc_kv.api import Changes, Database
from mvcc_kv.errors import Error, SnapshotGoneError
from mvcc_kv.stress.client import Connect, Note
from mvcc_kv.stress.plan import Checked

__all__ = ["FeedFollower"]

_FEED = -2
_PAUSE_S = 0.1
_CATCH_UP_S = 30.0
_LOOK_UP_S = 0.2
_FOLLOWS_S = (0.3, 2.0)
_SLEEPS_S = (0.0, 3.0)


class _Feed(Protocol):
    """What `Database.changes` gives."""

    @property
    def ts(self) -> int: ...
    def __iter__(self) -> Iterator[Changes]: ...
    def close(self) -> None: ...


class FeedFollower:
    """Follows what `connect` leads to. `is_kept`: the server promises to keep what a consumer misses."""

    def __init__(self, connect: Connect, *, prefix: str, seed: int, is_kept: bool) -> None:
        self._connect = connect
        self._prefix = prefix
        self._chance = random.Random(seed)
        self._is_kept = is_kept
        self._stopped = threading.Event()
        self._following = threading.Event()
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stress feed", daemon=True)
        self._state: dict[str, Any] = {}
        self._until_ts: int | None = None
        self._final: dict[str, Any] | None = None
        self._ts = 0
        self.commits: list[tuple[int, str | None]] = []
        self.resyncs: list[tuple[int, int]] = []
        self.resumes = 0
        self.sleeps = 0
        self.problems: list[str] = []

    def start(self) -> None:
        """Read the base, and begin to follow."""
        with self._connect(_FEED) as db:
            self._ts, self._state = self._snapshot(db)
        self._thread.start()
        self._following.wait(_CATCH_UP_S)  # a server keeps commits for consumers from the first one's beginning on

    def finish(self) -> None:
        """Follow to the end: after this it has seen everything that is there now."""
        with self._connect(_FEED) as db:
            self._until_ts, self._final = self._snapshot(db)
        self._woken.set()
        self._thread.join(_CATCH_UP_S)
        if self._thread.is_alive():
            self.problems.append(f"the feed was at {self._ts}, and did not reach {self._until_ts} in {_CATCH_UP_S:g} s")
        self.close()

    def close(self) -> None:
        """End it, wherever it is."""
        self._stopped.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self, notes: Sequence[Note]) -> Checked:
        """What must hold; see above."""
        checked = Checked(
            counts={"feed commits": len(self.commits), "feed resumes": self.resumes, "feed sleeps": self.sleeps}
        )
        for problem in self.problems:
            checked.violated("feed", problem)
        if self.resyncs:
            checked.count("feed resyncs", len(self.resyncs))
            if self._is_kept:
                checked.violated("feed gap", f"commits were not kept for the feed: {self.resyncs}")
        self._check_order(checked)
        self._check_complete(notes, checked)
        if self._final is not None and self._final != self._state:
            different = [key for key in self._final.keys() | self._state.keys() if self._differs(key)]
            checked.violated("feed state", f"the feed leads to other values than the final ones of {different[:5]}")
        return checked

    def _differs(self, key: str) -> bool:
        assert self._final is not None
        return (key in self._final) != (key in self._state) or self._final.get(key) != self._state.get(key)

    def _check_order(self, checked: Checked) -> None:
        for (before, _), (after, _) in zip(self.commits, self.commits[1:], strict=False):
            if after <= before:
                checked.violated("feed order", f"commit {after} came after commit {before}")

    def _check_complete(self, notes: Sequence[Note], checked: Checked) -> None:
        came = dict(self.commits)
        for note in notes:
            if note.type == "ok" and note.commit_ts is not None and not self._is_excused(note.commit_ts):
                if note.commit_ts not in came:
                    checked.violated("feed gap", f"commit {note.commit_ts} of step {note.ticket} never came")
                elif came[note.commit_ts] != str(note.ticket):
                    label = came[note.commit_ts]
                    checked.violated("feed label", f"commit {note.commit_ts} of step {note.ticket} came as {label!r}")
        failed = {str(note.ticket) for note in notes if note.type == "fail"}
        for commit_ts, label in self.commits:
            if label in failed:
                checked.violated("aborted write", f"the feed told of commit {commit_ts} of step {label}, which failed")

    def _is_excused(self, commit_ts: int) -> bool:
        last = self._until_ts if self._until_ts is not None else self._ts
        return commit_ts > last or any(after < commit_ts <= until for after, until in self.resyncs)

    def _snapshot(self, db: Database) -> tuple[int, dict[str, Any]]:
        with db.transaction(read_only=True) as tx:
            return tx.start_ts, dict(tx.scan(prefix=self._prefix))

    def _run(self) -> None:
        while not self._stopped.is_set() and not self._is_done():
            try:
                self._follow()
            except SnapshotGoneError:
                self._resync()
            except Error:
                time.sleep(_PAUSE_S)
            except Exception:  # noqa: BLE001 (a thread's edge: told as a problem)
                self.problems.append(traceback.format_exc())
                return
            self.resumes += 1
            self._sleep()

    def _sleep(self) -> None:
        """Listen to nothing for a while, or until the end of the run."""
        self.sleeps += 1
        self._woken.wait(self._chance.uniform(*_SLEEPS_S))

    def _is_done(self) -> bool:
        return self._until_ts is not None and self._ts >= self._until_ts

    def _follow(self) -> None:
        """Follow until it is cut off, by chance or by the server."""
        until_s = time.monotonic() + self._chance.uniform(*_FOLLOWS_S)
        with self._connect(_FEED) as db:
            while time.monotonic() < until_s and not self._stopped.is_set() and not self._is_done():
                changes = db.changes(prefix=self._prefix, from_ts=self._ts, timeout_s=_LOOK_UP_S)
                feed = cast(_Feed, changes)
                self._following.set()
                try:
                    self._take(feed, until_s)
                finally:
                    feed.close()

    def _take(self, feed: _Feed, until_s: float) -> None:
        """Take in what comes, until nothing does."""
        for change in feed:
            self._ts = change.commit_ts
            self.commits.append((change.commit_ts, change.label))
            self._state |= change.puts
            for key in change.deletes:
                self._state.pop(key, None)
            if time.monotonic() >= until_s or self._is_done():
                return
        self._ts = max(self._ts, feed.ts)

    def _resync(self) -> None:
        """Begin anew from what is there now."""
        after = self._ts
        try:
            with self._connect(_FEED) as db:
                self._ts, self._state = self._snapshot(db)
        except Error:
            time.sleep(_PAUSE_S)
            return
        self.resyncs.append((after, self._ts))
