"""The loop: one thread, all sockets, none of which is ever waited for.

A turn:  select -> what finished on the worker -> each ready connection: receive, run its commands, send
                -> connections that still have commands from earlier turns: one more helping each
                -> the turn's commits to the log
                -> a slice of a checkpoint, if one is being written; some of the versions that nobody sees any more
                -> timers

What a connection may do in a turn is bounded (bytes received, commands run), and so is what it may leave
unread; so one that floods, dawdles or vanishes costs the others nothing but its share of a turn.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.protocol.replies import error_reply
from mvcc_kv.server.checkpoints import CheckpointJob, Checkpoints, GrowthTrigger
from mvcc_kv.server.commits import INTERVAL_S, CommitLog, Commits
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.deadlines import Deadlines, Timer
from mvcc_kv.server.listeners import Listeners, address_name
from mvcc_kv.server.logs import event
from mvcc_kv.server.served import ServedStore, Services
from mvcc_kv.server.settings import Settings
from mvcc_kv.server.worker import Worker
from mvcc_kv.version import __version__

__all__ = ["Server"]

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_ACCEPTS_PER_TURN = 64
_ACCEPT_PAUSE_S = 0.1
_EXPIRE_S = 1.0
_RECEIVES_AT_STOP = 16


class _Peer:
    """A socket and its connection."""

    __slots__ = (
        "active_at",
        "connection",
        "events",
        "has_ended",
        "has_quiet_timer",
        "heartbeat_timer",
        "idle_timer",
        "is_open",
        "listens_since",
        "name",
        "socket",
        "transaction_timer",
    )

    def __init__(self, sock: socket.socket, name: str, connection: Connection, now: float) -> None:
        self.socket = sock
        self.name = name
        self.connection = connection
        self.events = _READ
        self.is_open = True
        self.has_ended = False
        self.has_quiet_timer = False
        self.heartbeat_timer: Timer | None = None
        self.idle_timer: Timer | None = None
        self.transaction_timer: Timer | None = None
        self.active_at = now  # when it last sent something, or took something that we had for it
        self.listens_since = now  # when it last sent something, or we began to listen again


class Server:
    """Serves a store over TCP until it is told to stop.

    `begin_checkpoint` starts a checkpoint of the store; None means that nothing is kept on disk.
    `log` is where the store hands its commits, and `tokens` what it is to keep of earlier ones; None: there is none.
    `clock` gives seconds and never goes back.
    """

    def __init__(
        self,
        store: ServedStore,
        settings: Settings,
        listeners: Listeners,
        *,
        begin_checkpoint: Callable[[], CheckpointJob] | None = None,
        checkpoint_ts: int | None = None,
        log: CommitLog | None = None,
        tokens: Callable[[], Iterable[tuple[str, int]]] = lambda: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._deadlines = Deadlines()
        self._listeners = listeners
        self._peers: dict[_Peer, None] = {}
        self._runnable: dict[_Peer, None] = {}
        self._has_garbage = False  # versions wait to be collected: turn on, even if nobody asks for anything
        self._stops_asked = 0
        self._wake_receiver, self._wake_sender = socket.socketpair()
        for sock in (self._wake_receiver, self._wake_sender):
            sock.setblocking(False)
        self._selector.register(self._wake_receiver, _READ, self._woken)
        self._worker = Worker("mvcc-kv-disk", self.wake)
        self._keeps_on_disk = begin_checkpoint is not None
        self._log_worker = Worker("mvcc-kv-log", self.wake)
        self._holding: dict[_Peer, None] = {}  # with replies that wait for a commit to become visible
        self._feeds: dict[_Peer, None] = {}
        self._fed_ts = 0  # the newest commit of which the feeds were told that there is one
        self._commits: Commits | None = None
        self._growth = GrowthTrigger(settings.checkpoint_log_bytes)
        self._has_rotated = True
        if log is None:
            self._checkpoints = Checkpoints(begin_checkpoint, self._worker, checkpoint_ts)
        else:
            self._commits = Commits(
                log,
                self._log_worker,
                fsync=settings.fsync,
                published=self._published,
                failed=self._log_failed,
                tokens=tokens,
            )
            self._checkpoints = Checkpoints(
                begin_checkpoint,
                self._worker,
                checkpoint_ts,
                prepare=partial(self._rotate, self._commits),
                written=self._commits.drop,
            )
        self._services = Services(
            store=store,
            stats=self.stats,
            checkpoint=self._checkpoints.request,
            clock=clock,
            max_transaction_bytes=settings.max_transaction_bytes,
            password=settings.password,
            deadlines=self._deadlines,
            changes_buffer_bytes=settings.changes_buffer_bytes,
        )
        self._now = self._started_at = clock()

    # From outside

    def stop(self) -> None:
        """Ask the loop to stop; from any thread, or from a signal's handler."""
        self._stops_asked += 1
        self.wake()

    @property
    def wake_descriptor(self) -> int:
        """What to write a byte to, to make the loop turn: for `signal.set_wakeup_fd`."""
        return self._wake_sender.fileno()

    def wake(self) -> None:
        """Make the loop turn; from any thread."""
        with contextlib.suppress(BlockingIOError, OSError):  # full: it will wake anyway; closed: it is over
            self._wake_sender.send(b"\0")

    def _let_go_of_the_past(self, now: float) -> None:
        """What is retained gets too old also when nothing is committed."""
        self._store.expire()
        self._deadlines.add(now + _EXPIRE_S, self._let_go_of_the_past)

    def serve(self) -> bool:
        """Run until `stop` is called, then wind down; whether the last checkpoint, if any, was written."""
        for sock in self._listeners.sockets:
            self._selector.register(sock, _READ, partial(self._accept, sock))
        self._arm_checkpoints()
        if self._settings.retain_seconds:
            self._let_go_of_the_past(self._clock())
        if self._commits is not None and self._settings.fsync == "interval":
            self._sync_by_time(self._clock())
        try:
            while not self._stops_asked:
                self._turn()
            return self._wind_down()
        finally:
            self._close()

    def stats(self) -> dict[str, Any]:
        """What STATS answers."""
        return {
            **self._store.stats(),
            "connections": len(self._peers),
            "feeds": len(self._feeds),
            "checkpoint_ts": self._checkpoints.checkpoint_ts or 0,
            "wal_bytes": 0 if self._commits is None else self._commits.used_bytes,
            "log_failure": None if self._commits is None else self._commits.failure,
            "uptime_s": round(self._clock() - self._started_at, 3),
            "version": __version__,
        }

    # A turn

    def _turn(self) -> None:
        now = self._clock()
        busy = self._runnable or self._checkpoints.has_slice or self._has_garbage
        events = self._selector.select(0 if busy else self._deadlines.wait_s(now))
        self._now = self._clock()
        for key, mask in events:
            if type(key.data) is not _Peer:
                key.data(mask)
        leftover, self._runnable = self._runnable, {}
        for key, mask in events:
            if type(key.data) is _Peer:
                leftover.pop(key.data, None)
                self._on_event(key.data, mask)
        for peer in leftover:
            self._advance(peer)
        if self._commits is not None:
            self._commits.flush()
        self._wake_feeds()
        self._checkpoints.step()
        self._has_garbage = self._store.has_garbage
        if self._has_garbage:
            self._store.collect()
        for action in self._deadlines.due(self._now):
            action(self._now)

    def _woken(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake_receiver.recv(4096):
                pass
        self._worker.deliver()
        self._log_worker.deliver()

    # Commits on their way to the disk

    def _published(self, ts: int) -> None:
        """Commits up to `ts` are where they have to be: let them be seen, and the replies leave that tell of them."""
        self._store.publish(ts)
        for peer in list(self._holding):
            peer.connection.release(ts)
            if not peer.connection.is_held:
                del self._holding[peer]
            self._runnable[peer] = None
        self._checkpoint_by_size()

    def _wake_feeds(self) -> None:
        """Commits have become visible: those who follow them have something to say in the next turn."""
        visible_ts = self._store.visible_ts
        if visible_ts == self._fed_ts:
            return
        self._fed_ts = visible_ts
        for peer in self._feeds:
            if peer.connection.can_run:
                self._runnable[peer] = None

    def _log_failed(self, error: UnavailableError) -> None:
        """No commit that is on its way will arrive, whether replies wait for it or a client has only seen it."""
        for peer in self._peers:
            peer.connection.refuse_held(error)
            self._runnable[peer] = None
        self._holding.clear()

    def _sync_by_time(self, now: float) -> None:
        if self._commits is not None:
            self._commits.sync()
            self._deadlines.add(now + INTERVAL_S, self._sync_by_time)

    # Connections

    def _accept(self, listener: socket.socket, _: int) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                self._accept_failed(listener, error)
                return
            self._welcome(sock, address_name(address))

    def _accept_failed(self, listener: socket.socket, error: OSError) -> None:
        """Out of descriptors, most likely: let clients wait in the backlog for a moment."""
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
            return
        event(logging.ERROR, "cannot accept", reason=str(error), hint="raise the limit of open files (ulimit -n)")
        self._selector.unregister(listener)

        def resume(_: float) -> None:
            if listener in self._listeners.sockets:
                self._selector.register(listener, _READ, partial(self._accept, listener))

        self._deadlines.add(self._now + _ACCEPT_PAUSE_S, resume)

    def _welcome(self, sock: socket.socket, name: str) -> None:
        sock.setblocking(False)
        connections_max = self._settings.max_connections
        if len(self._peers) >= connections_max:
            event(logging.WARNING, "connection refused", peer=name, max_connections=connections_max)
            error = UnavailableError(
                f"this server serves {connections_max} connections at most (--max-connections); try again later",
                retryable=True,
            )
            with contextlib.suppress(OSError):
                sock.send(error_reply(error))
            sock.close()
            return
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        peer = _Peer(sock, name, Connection(self._services, self._settings, name), self._now)
        peer.connection.on_answer = partial(self._answered, peer)
        self._peers[peer] = None
        self._selector.register(sock, _READ, peer)
        event(logging.DEBUG, "connected", peer=name)
        if self._settings.idle_timeout_s:
            self._arm_idle(peer)

    def _on_event(self, peer: _Peer, mask: int) -> None:
        if not peer.is_open:
            return
        if mask & _READ and peer.connection.can_receive:
            self._receive(peer)
        self._advance(peer)

    def _receive(self, peer: _Peer) -> bool:
        """Take in what the client sent, a bounded helping; whether there may be more."""
        size = self._settings.receive_bytes
        try:
            data = peer.socket.recv(size)
        except BlockingIOError:
            return False
        except OSError as error:
            self._drop(peer, "lost", reason=str(error))
            return False
        peer.listens_since = peer.active_at = self._now
        if not data:
            peer.has_ended = True
            peer.connection.end()
            return False
        peer.connection.receive(data, is_burst_end=len(data) < size)
        return len(data) == size

    def _advance(self, peer: _Peer) -> None:
        """Run what the client asked for, send what there is to say, and see what is to be waited for next."""
        if not peer.is_open:
            return
        connection = peer.connection
        if connection.can_run:
            self._expire(peer)
            try:
                connection.run()
            except Exception:  # noqa: BLE001 (the loop's edge: a bug in one command must not end the others)
                event(logging.ERROR, "internal error", peer=peer.name, exc_info=True)
                self._drop(peer, "closed after an internal error")
                return
            connection.release(self._store.visible_ts)  # a command may have had commits written
        if connection.output_bytes and not self._send(peer):
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
        elif peer in self._feeds:
            del self._feeds[peer]
        self._arm_timers(peer)
        self._watch(peer)

    def _answered(self, peer: _Peer) -> None:
        """A reply came that this connection was waiting for: it goes on in the next turn."""
        if peer.is_open:
            self._runnable[peer] = None
            if peer.connection.is_held:
                self._holding[peer] = None

    def _send(self, peer: _Peer) -> bool:
        """Send as much as the client has room for; whether the connection is still there."""
        connection = peer.connection
        data = connection.take_output()
        try:
            sent = peer.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._drop(peer, "lost", reason=str(error))
            return False
        if sent:
            peer.active_at = self._now
        if sent < len(data):
            connection.put_back(data[sent:])
        if connection.output_bytes > self._settings.output_max_bytes:
            facts = {"output_bytes": connection.output_bytes, "max_bytes": self._settings.output_max_bytes}
            self._drop(peer, "closed: it leaves too much unread", level=logging.WARNING, **facts)
            return False
        return True

    def _watch(self, peer: _Peer) -> None:
        """Ask the selector for what this connection can use now."""
        connection = peer.connection
        events = (_READ if connection.can_receive else 0) | (_WRITE if connection.output_bytes else 0)
        if events == peer.events:
            return
        if events & _READ and not peer.events & _READ:
            peer.listens_since = self._now
        if not events:
            self._selector.unregister(peer.socket)
        elif peer.events:
            self._selector.modify(peer.socket, events, peer)
        else:
            self._selector.register(peer.socket, events, peer)
        peer.events = events

    def _finish(self, peer: _Peer) -> None:
        """Close a connection that has said everything."""
        if peer.connection.session.speaks_http:
            self._drop(peer, "closed: it speaks HTTP", level=logging.WARNING)
        else:
            self._drop(peer, "closed")

    def _drop(self, peer: _Peer, why: str, *, level: int = logging.DEBUG, **facts: Any) -> None:
        if not peer.is_open:
            return
        peer.is_open = False
        self._peers.pop(peer, None)
        self._runnable.pop(peer, None)
        self._holding.pop(peer, None)
        self._feeds.pop(peer, None)
        for timer in (peer.idle_timer, peer.transaction_timer, peer.heartbeat_timer):
            if timer is not None:
                self._deadlines.cancel(timer)
        if peer.events:
            self._selector.unregister(peer.socket)
        peer.socket.close()
        peer.connection.close()
        event(level, f"connection {why}", peer=peer.name, **facts)

    # Timers

    def _arm_timers(self, peer: _Peer) -> None:
        settings = self._settings
        if peer.connection.wants_quiet and not peer.has_quiet_timer:
            peer.has_quiet_timer = True
            self._deadlines.add(self._now + settings.line_quiet_ms / 1000, partial(self._check_quiet, peer))
        if settings.transaction_timeout_s and peer.transaction_timer is None:
            begun_at = peer.connection.session.begun_at
            if begun_at is not None:
                at = begun_at + settings.transaction_timeout_s
                peer.transaction_timer = self._deadlines.add(at, partial(self._check_transaction, peer))
        if settings.feed_heartbeat_s and peer in self._feeds and peer.heartbeat_timer is None:
            self._arm_heartbeat(peer, self._now)

    def _check_quiet(self, peer: _Peer, now: float) -> None:
        peer.has_quiet_timer = False
        if not peer.is_open or not peer.connection.wants_quiet:
            return
        quiet_at = peer.listens_since + self._settings.line_quiet_ms / 1000
        if quiet_at > now:
            peer.has_quiet_timer = True
            self._deadlines.add(quiet_at, partial(self._check_quiet, peer))
            return
        peer.connection.quiet()
        if not peer.connection.can_receive:
            self._advance(peer)

    def _check_transaction(self, peer: _Peer, _: float) -> None:
        peer.transaction_timer = None
        self._expire(peer)
        self._arm_timers(peer)

    def _expire(self, peer: _Peer) -> None:
        """Roll a transaction back that is too old; also before a command that came in the same turn as its time."""
        timeout_s, begun_at = self._settings.transaction_timeout_s, peer.connection.session.begun_at
        if not timeout_s or begun_at is None or begun_at + timeout_s > self._now:
            return
        peer.connection.session.expire(timeout_s)
        event(logging.WARNING, "transaction timed out", peer=peer.name, timeout_s=timeout_s)

    def _arm_heartbeat(self, peer: _Peer, said_at: float) -> None:
        at = said_at + self._settings.feed_heartbeat_s
        peer.heartbeat_timer = self._deadlines.add(at, partial(self._check_heartbeat, peer))

    def _check_heartbeat(self, peer: _Peer, now: float) -> None:
        """Have a feed that was silent for long give a sign of life."""
        peer.heartbeat_timer = None
        feed = peer.connection.session.feed
        if feed is None:
            return
        if feed.said_at + self._settings.feed_heartbeat_s > now:
            self._arm_heartbeat(peer, feed.said_at)
            return
        feed.beat()
        if peer.connection.can_run:
            self._runnable[peer] = None
        self._arm_heartbeat(peer, now)

    def _arm_idle(self, peer: _Peer) -> None:
        idle_at = peer.active_at + self._settings.idle_timeout_s
        peer.idle_timer = self._deadlines.add(idle_at, partial(self._check_idle, peer))

    def _check_idle(self, peer: _Peer, now: float) -> None:
        peer.idle_timer = None
        is_listening = peer in self._feeds and not peer.connection.output_bytes
        if peer.connection.is_served or is_listening:
            peer.active_at = now
        if peer.active_at + self._settings.idle_timeout_s > now:
            self._arm_idle(peer)
        else:
            self._drop(peer, "closed: idle", level=logging.INFO, idle_timeout_s=self._settings.idle_timeout_s)

    def _arm_checkpoints(self) -> None:
        interval_s = self._settings.checkpoint_interval_s
        if self._keeps_on_disk and interval_s:
            self._deadlines.add(self._clock() + interval_s, self._checkpoint_by_time)

    def _checkpoint_by_time(self, _: float) -> None:
        self._arm_checkpoints()
        if self._has_news:
            self._checkpoints.request(lambda _: None)

    def _checkpoint_by_size(self) -> None:
        commits = self._commits
        if commits is None or self._checkpoints.is_busy or not self._growth.is_due(commits.segment_bytes, self._now):
            return

        def answer(outcome: int | Error) -> None:
            if isinstance(outcome, Error) or not self._has_rotated:
                self._growth.failed(commits.segment_bytes, self._now)

        self._checkpoints.request(answer)

    def _rotate(self, commits: Commits, then: Callable[[Error | None], None]) -> None:
        def rotated(error: Error | None) -> None:
            self._has_rotated = error is None
            then(error)

        commits.rotate(rotated)

    @property
    def _has_news(self) -> bool:
        """Whether the checkpoint on disk, if any, is older than the store."""
        return bool(self._checkpoints.checkpoint_ts != self._store.visible_ts)

    # The end

    def _wind_down(self) -> bool:
        """Stop accepting, finish what was received, write a checkpoint. A second `stop` cuts it short."""
        event(logging.INFO, "stopping", connections=len(self._peers))
        self._close_listeners()
        settings = self._settings
        self.wake()
        self._turn()  # whatever has come is taken in
        # A line whose end silence must tell gets that silence; twice, as it may begin to count only now.
        self._turn_while(self._is_unsettled, for_s=min(2 * settings.line_quiet_ms / 1000, settings.stop_grace_s))
        for peer in list(self._peers):
            self._take_leave(peer)
        self._turn_while(self._is_busy, for_s=settings.stop_grace_s)
        for peer in list(self._peers):
            self._drop(peer, "closed: the server stops")
        return not self._keeps_on_disk or not self._has_news or self._checkpoint_at_last()

    def _take_leave(self, peer: _Peer) -> None:
        """Take in what this client has sent so far, and no more after that."""
        for _ in range(_RECEIVES_AT_STOP):
            if not peer.is_open or peer.has_ended or not self._receive(peer):
                break
        if peer.is_open:
            peer.connection.stop()
            self._advance(peer)

    def _turn_while(self, condition: Callable[[_Peer], bool], *, for_s: float) -> None:
        """Serve on while the condition holds for any connection: for so long at most, or until a second `stop`."""
        until = self._clock() + for_s
        self._deadlines.add(until, lambda _: None)
        while self._stops_asked == 1 and self._clock() < until and any(map(condition, self._peers)):
            self._turn()

    def _is_unsettled(self, peer: _Peer) -> bool:
        return peer.has_quiet_timer or peer.connection.is_served

    def _is_busy(self, peer: _Peer) -> bool:
        return not peer.connection.is_done

    def _checkpoint_at_last(self) -> bool:
        outcomes: list[int | Error] = []
        self._checkpoints.request(outcomes.append)
        while not outcomes and self._stops_asked == 1:
            self._turn()
        return bool(outcomes) and isinstance(outcomes[0], int)

    def _close_listeners(self) -> None:
        for sock in self._listeners.sockets:
            with contextlib.suppress(KeyError):  # paused
                self._selector.unregister(sock)
        self._listeners.close()

    def _close(self) -> None:
        for peer in list(self._peers):
            self._drop(peer, "closed: the server stops")
        self._close_listeners()
        self._worker.close()
        self._log_worker.close()
        self._checkpoints.close()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()
        event(logging.INFO, "stopped")
