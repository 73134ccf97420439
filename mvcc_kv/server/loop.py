"""The loop: one thread, all sockets, none of which is ever waited for.

A turn:  wait; receive from all that are plain -> what finished on the workers -> a round of these: run, send to all
                -> the others: receive, run, send
                -> connections that still have commands from earlier turns: one more helping each
                -> keys whose time is up
                -> the turn's commits to the log, when nobody speaks any more or a few turns later
                -> a slice of a checkpoint, if one is being written; some of the versions that nobody sees any more
                -> timers

What a connection may do in a turn is bounded (bytes received, commands run), and so is what it may leave
unread; so one that floods, dawdles or vanishes costs the others nothing but its share of a turn.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import socket
from collections.abc import Collection
from functools import partial
from typing import Any

from mvcc_kv.errors import UnavailableError
from mvcc_kv.server import wire
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.disk import Disk
from mvcc_kv.server.door import Door
from mvcc_kv.server.expiry import ExpiryTimer
from mvcc_kv.server.listeners import Listeners
from mvcc_kv.server.logs import event
from mvcc_kv.server.peer import Peer
from mvcc_kv.server.polling import BusyPolling
from mvcc_kv.server.refusing import Refusing
from mvcc_kv.server.rounds import Rounds
from mvcc_kv.server.served import Services
from mvcc_kv.server.settings import Settings
from mvcc_kv.server.timers import PeerTimers
from mvcc_kv.server.wakeup import WakeUp

__all__ = ["Loop"]

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_SENDS_MAX = 4  # in a turn, for one connection
_GATHER_TURNS_MAX = 4  # some tenths of a millisecond


class Loop:
    """Turns when it is told to. `now`: when its turn began, by the clock."""

    def __init__(
        self, services: Services, settings: Settings, listeners: Listeners, disk: Disk, wake_up: WakeUp
    ) -> None:
        self._services = services
        self._store = services.store
        self._settings = settings
        self._disk = disk
        self._has_log = disk.has_log
        self._clock = services.clock
        self._deadlines = services.deadlines
        self._selector = selectors.DefaultSelector()
        self._timers = PeerTimers(
            settings, services.deadlines, advance=self.advance, resume=self._resume, drop=self._drop
        )
        self.door = Door(listeners, self._selector, services.deadlines, welcome=self._welcome, now=lambda: self.now)
        self._refusing = Refusing(
            self._selector,
            services.deadlines,
            connections_max=settings.max_connections,
            quiet_s=settings.line_quiet_ms / 1000,
            now=lambda: self.now,
        )
        self._rounds = Rounds(services, keep=self._keep_unsent, timers=self._timers)
        self._hear = wire.ear(self._selector, settings.receive_bytes)
        self._polling = BusyPolling(settings.busy_poll_us / 1e6)
        self._expiry = ExpiryTimer(services.store, services.deadlines)
        self._runnable: dict[Peer, None] = {}
        self._holding: dict[Peer, None] = {}  # with replies that wait for a commit to become visible
        self._feeds: dict[Peer, None] = {}
        self._gathering = 0  # turns that commits have waited for others to go to the log with them
        self._fed_ts = 0  # the newest commit of which the feeds were told that there is one
        self._has_garbage = False  # versions wait to be collected: turn on, even if nobody asks for anything
        self._unpinned = 0  # transactions of which the logs tell that too much was pinned
        self._peers: dict[int, Peer] = {}  # by descriptor
        self.now = services.clock()
        self.wake_up = wake_up
        self._selector.register(wake_up.receiver, _READ, self._woken)

    @property
    def peers(self) -> Collection[Peer]:
        """Those who are connected."""
        return self._peers.values()

    def stats(self) -> dict[str, int]:
        """What STATS says of it."""
        return {"connections": len(self._peers), "feeds": len(self._feeds)}

    def close(self) -> None:
        """Hang up."""
        self.drop_all()
        self.door.close()
        self._refusing.close()
        self._selector.close()

    # A turn

    def turn(self) -> None:
        """Wait until there is something to do, and do it."""
        heard = self._listen()
        self._serve(heard)
        if self._expiry.has_more or self._store.next_expiry_us is not None:
            self._expiry.sweep(self.now)
        if self._has_log:
            self._gathering = self._gathering + 1 if self._may_gather(heard) else 0
            if not self._gathering:
                self._disk.flush()
        if self._feeds:
            self._wake_feeds()
        if self._disk.checkpoints.has_slice:
            self._disk.checkpoints.step()
        if self._store.unpinned_total != self._unpinned:
            self._tell_of_the_unpinned()
        self._has_garbage = self._store.has_garbage
        if self._has_garbage:
            self._store.collect()
        if self._deadlines.next_at <= self.now:
            for action in self._deadlines.due(self.now):
                action(self.now)

    def _listen(self) -> wire.Heard:
        """What has happened; if there is nothing else to do, wait until something does."""
        now, disk = self._clock(), self._disk
        busy = self._runnable or disk.checkpoints.has_slice or self._has_garbage or self._expiry.has_more
        if busy or self._gathering:
            heard = self._hear(self._rounds.plain, 0.0, 0.0)
            self.now = self._clock()
            return heard
        poll_s = 0.0 if disk.is_busy else self._polling.spell_s
        heard = self._hear(self._rounds.plain, self._deadlines.wait_s(now), poll_s)
        self.now = self._clock()
        self._polling.heard(self.now - now, was_awake=poll_s > 0)
        return heard

    def _may_gather(self, heard: wire.Heard) -> bool:
        """Whether the turn's commits wait a turn for those of others, who are just speaking: the fuller each flush is,
        the fewer there are. Not if all who are connected wait for the disk, and a few turns at most.
        """
        if self._gathering == _GATHER_TURNS_MAX or not self._disk.has_batch or not (heard.plain or heard.events):
            return False
        return len(self._holding) + self._rounds.waiting < len(self._peers)

    def _tell_of_the_unpinned(self) -> None:
        ended, self._unpinned = self._store.unpinned_total - self._unpinned, self._store.unpinned_total
        event(logging.WARNING, "ended the oldest snapshots: too much was pinned", transactions=ended)

    def _serve(self, heard: wire.Heard) -> None:
        """Execute what was heard, and what is left of earlier turns: a helping of each connection's."""
        leftover, self._runnable = self._runnable, {}
        ready = self._serve_others(heard.events, leftover) if heard.events else []
        for peer, data in heard.ended:
            self._take_in(peer, data)
            ready.append(peer)
        if heard.plain:
            if heard.events or heard.ended:
                ready += self._set_apart(heard)
            ready += self._rounds.run(heard.plain, heard.said, self.now)
        if ready:
            self._advance_all(ready)
        for peer in leftover:
            self.advance(peer)

    def _set_apart(self, heard: wire.Heard) -> list[Peer]:
        """Who was plain when heard, and is not any more, because of what others had done since: each goes on by itself.

        Others may have killed it, or paused everybody.
        """
        plain = self._rounds.plain
        apart = [at for at, peer in enumerate(heard.plain) if peer.descriptor not in plain]
        peers = [heard.plain[at] for at in apart]
        for at in apart:
            self._take_in(heard.plain[at], heard.said[at])
        for at in reversed(apart):
            del heard.plain[at], heard.said[at]
        return peers

    def _serve_others(self, events: list[tuple[int, int]], leftover: dict[Peer, None]) -> list[Peer]:
        """Call who is to be called, and take in what those sent who are not plain; who may have something to run now.

        `leftover`: who would be served in any case, but once is enough.
        """
        readable: list[Peer] = []
        for descriptor, mask in events:
            peer = self._peers.get(descriptor)
            if peer is None:
                key = self._selector.get_map().get(descriptor)
                if key is not None:  # or it was closed just now, by what is called before it
                    key.data(mask)
                continue
            leftover.pop(peer, None)
            mask &= peer.events  # what is amiss is told as everything
            if mask == _READ:
                readable.append(peer)
            else:
                self._on_event(peer, mask)
        listened_to = [peer for peer in readable if peer.can_receive]
        received = wire.receive([peer.socket for peer in listened_to], self._settings.receive_bytes)
        for peer, data in zip(listened_to, received, strict=True):
            self._take_in(peer, data)
        return readable

    def _advance_all(self, peers: list[Peer]) -> None:
        """As `advance` with each of these, but what they are told is sent in one go."""
        peers = [peer for peer in peers if self._run(peer)]
        self._send_answers([peer for peer in peers if peer.events == _READ and peer.connection.is_answered])
        for peer in peers:
            if peer.is_open:
                self._settle(peer, is_writable=False)

    def _send_answers(self, peers: list[Peer]) -> None:
        """Send to each of these all that there is for it."""
        self._rounds.send(peers, [peer.connection.take_output() for peer in peers], self.now)

    def _keep_unsent(self, peer: Peer, data: bytes, count: int) -> None:
        """The client took only so many bytes, or, negative, sending failed with that error."""
        if count < 0 and -count not in wire.NOT_NOW:
            self._drop(peer, "lost", reason=os.strerror(-count))
            return
        self._rounds.leave(peer)
        peer.connection.put_back(data[max(count, 0) :])
        self._runnable[peer] = None
        if peer.connection.is_held:
            self._holding[peer] = None

    def _woken(self, _: int) -> None:
        self.wake_up.heard()
        self._disk.deliver()

    def _resume(self, peer: Peer) -> None:
        self._runnable[peer] = None

    # Commits on their way to the disk

    def release(self, visible_ts: int) -> None:
        """Commits up to `visible_ts` are visible: the replies that tell of them leave."""
        self._rounds.release(visible_ts, self.now)
        answered: list[Peer] = []
        for peer in list(self._holding):
            connection = peer.connection
            connection.release(visible_ts)
            if not connection.is_held:
                del self._holding[peer]
            if peer.events == _READ and connection.is_answered:
                answered.append(peer)
            else:
                self._runnable[peer] = None
        self._send_answers(answered)
        for peer in answered:
            if peer.is_open:
                self._settle(peer, is_writable=False)

    def refuse_held(self, error: UnavailableError) -> None:
        """No commit that is on its way will arrive, whether replies wait for it or a client has only seen it."""
        self._rounds.disband()
        for peer in self._peers.values():
            peer.connection.refuse_held(error)
            self._runnable[peer] = None
        self._holding.clear()

    def _wake_feeds(self) -> None:
        """Commits have become visible: those who follow them have something to say in the next turn."""
        visible_ts = self._store.visible_ts
        if visible_ts == self._fed_ts:
            return
        self._fed_ts = visible_ts
        for peer in self._feeds:
            if peer.connection.can_run:
                self._runnable[peer] = None

    # Connections

    def _welcome(self, sock: socket.socket, name: str) -> None:
        sock.setblocking(False)
        if len(self._peers) >= self._settings.max_connections:
            event(logging.WARNING, "connection refused", peer=name, max_connections=self._settings.max_connections)
            self._refusing.refuse(sock)
            return
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = Peer(sock, name, Connection(self._services, self._settings, name), self.now)
        peer.connection.on_answer = partial(self._answered, peer)
        self._peers[peer.descriptor] = peer
        self._selector.register(sock, _READ, peer)
        event(logging.DEBUG, "connected", peer=name)
        self._timers.arm_idle(peer)

    def _on_event(self, peer: Peer, mask: int) -> None:
        if mask & _READ and peer.can_receive:
            self.receive(peer)
        self.advance(peer, is_writable=bool(mask & _WRITE))

    def receive(self, peer: Peer) -> bool:
        """Take in what the client sent, a bounded helping; whether there may be more."""
        size = self._settings.receive_bytes
        return self._take_in(peer, wire.receive([peer.socket], size)[0]) == size

    def _take_in(self, peer: Peer, data: wire.Received) -> int:
        """Take in what was received, if it is not why nothing was; how many bytes it was."""
        if not peer.is_open:
            return 0
        if isinstance(data, int):
            if data not in wire.NOT_NOW:
                self._drop(peer, "lost", reason=os.strerror(data))
            return 0
        peer.listens_since = peer.active_at = self.now
        if data:
            peer.connection.receive(data, is_burst_end=len(data) < self._settings.receive_bytes)
        else:
            peer.has_ended = True
            peer.connection.end()
        return len(data)

    def advance(self, peer: Peer, *, is_writable: bool = False) -> None:
        """Run what the client asked for, send what there is to say, and see what is to be waited for next.

        A client that had no room gets nothing more until the selector says that it `is_writable`.
        """
        if self._run(peer):
            self._settle(peer, is_writable=is_writable)

    def _run(self, peer: Peer) -> bool:
        """Run what the client asked for; whether the connection is still there."""
        if not peer.is_open:
            return False
        self._rounds.leave(peer)
        connection = peer.connection
        if not connection.can_run:
            return True
        self._timers.expire(peer, self.now)
        try:
            connection.run()
        except Exception:  # noqa: BLE001 (the loop's edge: a bug in one command must not end the others)
            event(logging.ERROR, "internal error", peer=peer.name, exc_info=True)
            self._drop(peer, "closed after an internal error")
            return False
        if connection.is_held:
            connection.release(self._store.visible_ts)  # a command may have had commits written
        return True

    def _settle(self, peer: Peer, *, is_writable: bool) -> None:
        """Send what there is to say, and see what is to be waited for next."""
        connection = peer.connection
        if peer.events == _READ and connection.is_silent:  # by far the most
            if self._feeds:
                self._feeds.pop(peer, None)
            if peer.transaction_timer is None:
                self._timers.arm(peer, self.now)
            if connection.is_plain:
                self._rounds.join(peer)
            return
        if connection.output_bytes:
            has_room = is_writable or not peer.events & _WRITE
            if not (self._send(peer) if has_room else self._bound_output(peer)):
                return
        if connection.is_done:
            self._finish(peer)
            return
        if connection.can_run:
            self._runnable[peer] = None
        if connection.is_held:
            self._holding[peer] = None
        if connection.session.feed is not None:
            self._feeds[peer] = None
            self._timers.arm_heartbeat(peer, self.now)
        elif peer in self._feeds:
            del self._feeds[peer]
        self._timers.arm(peer, self.now)
        self._watch(peer)
        if peer.events == _READ and connection.is_plain:
            self._rounds.join(peer)

    def _answered(self, peer: Peer) -> None:
        """A reply came that this connection was waiting for: it goes on in the next turn."""
        if peer.is_open:
            self._rounds.leave(peer)
            peer.active_at = self.now  # until now it waited for us
            self._runnable[peer] = None
            if peer.connection.is_held:
                self._holding[peer] = None

    def _send(self, peer: Peer) -> bool:
        """Send as much as the client has room for, within bounds; whether the connection is still there."""
        connection = peer.connection
        for _ in range(_SENDS_MAX):
            data = connection.take_output()
            try:
                sent = peer.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._drop(peer, "lost", reason=str(error))
                return False
            if sent:
                peer.active_at = peer.took_at = self.now
            if sent < len(data):
                connection.put_back(data[sent:])
                break
            if not connection.output_bytes:
                return True
        return self._bound_output(peer)

    def _bound_output(self, peer: Peer) -> bool:
        """Whether the connection may keep what its client has no room for.

        What was asked for is bounded: one reply behind the high mark. If it is too much all the same, the client may
        take its time with it, but not stop. What was not asked for has no other bound than this.
        """
        connection = peer.connection
        if connection.output_bytes <= self._settings.output_max_bytes:
            return True
        if connection.has_been_pushed:
            self._timers.drop_overfull(peer)
            return False
        self._timers.arm_stall(peer)
        return True

    def _watch(self, peer: Peer) -> None:
        """Ask the selector for what this connection can use now."""
        connection = peer.connection
        events = (_READ if connection.can_receive else 0) | (_WRITE if connection.output_bytes else 0)
        if events == peer.events:
            return
        if events & _READ and not peer.events & _READ:
            peer.listens_since = self.now
        if not events:
            self._selector.unregister(peer.socket)
        elif peer.events:
            self._selector.modify(peer.socket, events, peer)
        else:
            self._selector.register(peer.socket, events, peer)
        peer.events = events

    def _finish(self, peer: Peer) -> None:
        """Close a connection that has said everything."""
        if peer.connection.session.speaks_http:
            self._drop(peer, "closed: it speaks HTTP", level=logging.WARNING)
        else:
            self._drop(peer, "closed")

    def _drop(self, peer: Peer, why: str, *, level: int = logging.DEBUG, **facts: Any) -> None:
        if not peer.is_open:
            return
        peer.is_open = False
        self._rounds.leave(peer)
        del self._peers[peer.descriptor]
        self._runnable.pop(peer, None)
        self._holding.pop(peer, None)
        self._feeds.pop(peer, None)
        self._timers.cancel(peer)
        if peer.events:
            self._selector.unregister(peer.socket)
        peer.socket.close()
        peer.connection.close()
        event(level, f"connection {why}", peer=peer.name, **facts)

    def drop_all(self) -> None:
        """Disconnect everybody."""
        for peer in list(self.peers):
            self._drop(peer, "closed: the server stops")
