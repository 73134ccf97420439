"""A connection's timers: what happens when nothing else does.

    quiet         silence ends the line of a client that sends no newline
    transaction   one that is open for too long is rolled back
    heartbeat     a feed that had nothing to say gives a sign of life
    idle          who neither sends nor takes anything is disconnected
    stall         so is, soon, who takes nothing of too much output

There is one of each kind at the most, and none is moved: it looks whether its time has come, and is set anew if not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.logs import event
from mvcc_kv.server.peer import Peer
from mvcc_kv.server.settings import Settings

__all__ = ["STALL_S", "PeerTimers", "TransactionTimers"]

STALL_S = 1.0


class _Drop(Protocol):
    def __call__(self, peer: Peer, why: str, *, level: int, **facts: Any) -> None: ...


class TransactionTimers(Protocol):
    """What a round asks of `PeerTimers`. `has_limit`: whether a transaction may be open for so long only."""

    @property
    def has_limit(self) -> bool: ...
    def arm(self, peer: Peer, now: float) -> None: ...
    def expire(self, peer: Peer, now: float) -> None: ...


class PeerTimers:
    """Sets them, and does what is due.

    `has_limit`: as in `TransactionTimers`. `advance`: the peer's connection took something in. `resume`: it may have
    something to say in the next turn.
    """

    def __init__(
        self,
        settings: Settings,
        deadlines: Deadlines,
        *,
        advance: Callable[[Peer], None],
        resume: Callable[[Peer], None],
        drop: _Drop,
    ) -> None:
        self._settings = settings
        self._deadlines = deadlines
        self._advance = advance
        self._resume = resume
        self._drop = drop
        self.has_limit = bool(settings.transaction_timeout_s)

    def arm(self, peer: Peer, now: float) -> None:
        """Set what the peer's connection needs as it is now: the timers of its line and of its transaction."""
        settings = self._settings
        if peer.connection.wants_quiet and not peer.has_quiet_timer:
            self._arm_quiet(peer, now + settings.line_quiet_ms / 1000)
        if settings.transaction_timeout_s and peer.transaction_timer is None:
            begun_at = peer.connection.session.begun_at
            if begun_at is not None:
                at = begun_at + settings.transaction_timeout_s
                peer.transaction_timer = self._deadlines.add(at, partial(self._check_transaction, peer))

    def cancel(self, peer: Peer) -> None:
        """The peer is gone."""
        for timer in (peer.idle_timer, peer.transaction_timer, peer.heartbeat_timer, peer.stall_timer):
            if timer is not None:
                self._deadlines.cancel(timer)

    def _arm_quiet(self, peer: Peer, at: float) -> None:
        peer.has_quiet_timer = True
        self._deadlines.add(at, partial(self._check_quiet, peer))

    def _check_quiet(self, peer: Peer, now: float) -> None:
        peer.has_quiet_timer = False
        if not peer.is_open or not peer.connection.wants_quiet:
            return
        quiet_at = peer.listens_since + self._settings.line_quiet_ms / 1000
        if quiet_at > now:
            self._arm_quiet(peer, quiet_at)
            return
        peer.connection.quiet()
        if not peer.connection.can_receive:
            self._advance(peer)

    def _check_transaction(self, peer: Peer, now: float) -> None:
        peer.transaction_timer = None
        self.expire(peer, now)
        self.arm(peer, now)

    def expire(self, peer: Peer, now: float) -> None:
        """Roll a transaction back that is too old; also before a command that came in the same turn as its time."""
        timeout_s, begun_at = self._settings.transaction_timeout_s, peer.connection.session.begun_at
        if not timeout_s or begun_at is None or begun_at + timeout_s > now:
            return
        peer.connection.session.expire(timeout_s)
        event(logging.WARNING, "transaction timed out", peer=peer.name, timeout_s=timeout_s)

    def arm_heartbeat(self, peer: Peer, said_at: float) -> None:
        """The peer follows a feed, which said something then."""
        if self._settings.feed_heartbeat_s and peer.heartbeat_timer is None:
            at = said_at + self._settings.feed_heartbeat_s
            peer.heartbeat_timer = self._deadlines.add(at, partial(self._check_heartbeat, peer))

    def _check_heartbeat(self, peer: Peer, now: float) -> None:
        """Have a feed that was silent for long give a sign of life."""
        peer.heartbeat_timer = None
        feed = peer.connection.session.feed
        if feed is None:
            return
        if feed.said_at + self._settings.feed_heartbeat_s > now:
            self.arm_heartbeat(peer, feed.said_at)
            return
        feed.beat()
        if peer.connection.can_run:
            self._resume(peer)
        self.arm_heartbeat(peer, now)

    def arm_stall(self, peer: Peer) -> None:
        """The peer has more output than it may leave unread: all is well as long as it takes some of it."""
        if peer.stall_timer is None:
            peer.stall_timer = self._deadlines.add(peer.took_at + STALL_S, partial(self._check_stall, peer))

    def _check_stall(self, peer: Peer, now: float) -> None:
        peer.stall_timer = None
        if peer.connection.output_bytes <= self._settings.output_max_bytes:
            return
        if peer.took_at + STALL_S > now:
            self.arm_stall(peer)
        else:
            self.drop_overfull(peer)

    def drop_overfull(self, peer: Peer) -> None:
        """The peer leaves too much unread."""
        facts = {"output_bytes": peer.connection.output_bytes, "max_bytes": self._settings.output_max_bytes}
        self._drop(peer, "closed: it leaves too much unread", level=logging.WARNING, **facts)

    def arm_idle(self, peer: Peer) -> None:
        """The peer has just come."""
        if self._settings.idle_timeout_s:
            idle_at = peer.active_at + self._settings.idle_timeout_s
            peer.idle_timer = self._deadlines.add(idle_at, partial(self._check_idle, peer))

    def _check_idle(self, peer: Peer, now: float) -> None:
        peer.idle_timer = None
        is_listening = peer.connection.session.is_listening and not peer.connection.output_bytes
        if peer.connection.is_served or is_listening:
            peer.active_at = now
        if peer.active_at + self._settings.idle_timeout_s > now:
            self.arm_idle(peer)
        else:
            self._drop(peer, "closed: idle", level=logging.INFO, idle_timeout_s=self._settings.idle_timeout_s)
