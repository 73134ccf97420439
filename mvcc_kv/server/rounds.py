"""Rounds: what many plain connections have sent is executed in one go, in the quick lane.

    turn     ready: A B C D E ...
    round      receive from all   A "GET a"   B "SET b 1"   C "HGETALL h"   D "GET d" (inside a transaction)
               the lane           A $1 x      B +OK         C -             $1 y, of its snapshot
               send to all        A, D, and B if its commit is on disk; else that reply is held
                                                            C: its session goes on where the lane stopped

A connection is *plain* if its next command is nothing but a command: no state of its own, or of the server, changes
what it does, but a transaction that START began, which the lane knows. Nearly all are, nearly always. See `quick.py`
for what the lane executes.

One whose only reply is held *waits*, and is plain again when that has been sent. Should it say something before, or be
told something else, it goes on by itself (`leave`), with its reply where any other would be held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter

from mvcc_kv.server import wire
from mvcc_kv.server.peer import Peer
from mvcc_kv.server.redis import quick
from mvcc_kv.server.redis.house import QUICK_S
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.transactions import EXEC_LABEL
from mvcc_kv.server.served import Services
from mvcc_kv.server.timers import TransactionTimers

__all__ = ["Rounds"]

_OUT_BYTES_MAX = 256 * 1024  # of one connection; where it is more, its session goes on
_NOBODY: dict[int, Peer] = {}


class Rounds:
    """Executes what plain connections have sent. `keep(peer, data, count)`: of what was said to a peer, it took only
    `count` bytes; or, negative, sending failed with that error. `timers`: of their transactions.
    """

    def __init__(
        self, services: Services, *, keep: Callable[[Peer, bytes, int], None], timers: TransactionTimers
    ) -> None:
        self._store = services.store
        self._house = services.redis
        self._keep = keep
        self._timers = timers
        self._plain: dict[int, Peer] = {}  # by descriptor
        self._waiting: deque[tuple[int, Peer]] = deque()  # for which commit, in order; some have left since

    @property
    def plain(self) -> dict[int, Peer]:
        """Who is plain, by descriptor: nobody while clients are paused, or every command is to be timed."""
        house = self._house
        return self._plain if house.pause is None and house.slow_s >= QUICK_S else _NOBODY

    @property
    def waiting(self) -> int:
        """How many wait for a commit to become visible; those who have left since among them."""
        return len(self._waiting)

    def join(self, peer: Peer) -> None:
        """This one is plain from now on."""
        self._plain[peer.descriptor] = peer

    def leave(self, peer: Peer) -> None:
        """This one goes on by itself."""
        self._plain.pop(peer.descriptor, None)
        if peer.waits_for is not None:
            peer.connection.hold(*peer.waits_for)
            peer.waits_for = None

    def disband(self) -> None:
        """All go on by themselves."""
        for peer in [*self._plain.values(), *(peer for _, peer in self._waiting)]:
            self.leave(peer)
        self._waiting.clear()

    def run(self, peers: Sequence[Peer], received: Sequence[bytes], now: float) -> list[Peer]:
        """Execute what each has sent, and reply; who has more to do, which is its connection's now."""
        began_s = perf_counter()
        has_limit = self._timers.has_limit
        bursts: list[quick.Burst] = []
        for peer, data in zip(peers, received, strict=True):
            session: RedisSession = peer.connection.session  # type: ignore[assignment]  # nobody else's is plain
            session.active_at = peer.listens_since = peer.active_at = now
            if has_limit and session.opened is not None:
                self._timers.expire(peer, now)
            bursts.append((data, session.proto, session.watch.in_lane, session.seat))
        outcome = self._store.run_lane(partial(quick.run, bursts, _OUT_BYTES_MAX), EXEC_LABEL)
        took_s = perf_counter() - began_s
        if has_limit and outcome.starts:
            self._arm(peers, now)
        unfinished = self._set_aside(peers, received, outcome) if outcome.rest else []
        self.send(peers, outcome.replies, now)
        self._house.count_lane(outcome, took_s)  # nobody waits for this
        return unfinished

    def _arm(self, peers: Sequence[Peer], now: float) -> None:
        """Somebody has begun a transaction: it may take so long. A timer is not moved, so nearly all have theirs."""
        for peer in peers:
            if peer.transaction_timer is None:
                self._timers.arm(peer, now)

    def _set_aside(self, peers: Sequence[Peer], received: Sequence[bytes], outcome: quick.Outcome) -> list[Peer]:
        """Replies that have to wait, and commands that are not for the lane; who has some."""
        unfinished: list[Peer] = []
        replies = outcome.replies
        for at, used_bytes, free_bytes, commit_ts in outcome.rest:
            peer = peers[at]
            if commit_ts:
                said = replies[at]
                peer.waits_for = said[free_bytes:], commit_ts
                replies[at] = said[:free_bytes]
                self._plain.pop(peer.descriptor, None)
                self._waiting.append((commit_ts, peer))
            if used_bytes < len(received[at]):
                self.leave(peer)
                peer.connection.go_on(received[at][used_bytes:])
                unfinished.append(peer)
        return unfinished

    def release(self, visible_ts: int, now: float) -> None:
        """Commits up to `visible_ts` are visible: who waits for one is told."""
        waiting = self._waiting
        peers: list[Peer] = []
        said: list[bytes] = []
        while waiting and waiting[0][0] <= visible_ts:
            peer = waiting.popleft()[1]
            if peer.waits_for is not None:
                peers.append(peer)
                said.append(peer.waits_for[0])
                peer.waits_for = None
                self._plain[peer.descriptor] = peer
        self.send(peers, said, now)

    def send(self, peers: Sequence[Peer], said: list[bytes], now: float) -> None:
        """Send to each of these what is for it; they have no other output, and the selector waits for no room."""
        if b"" in said:
            told = [at for at, data in enumerate(said) if data]
            peers, said = [peers[at] for at in told], [said[at] for at in told]
        for peer in peers:
            peer.active_at = peer.took_at = now
        for at, count in wire.send([peer.socket for peer in peers], said):
            self._keep(peers[at], said[at], count)
