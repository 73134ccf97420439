"""Winding down: what has come is finished, what was committed is kept, and nobody is waited for without end.

    stop  -> no new connections, and no pause any more
          -> each client's last line gets the silence that ends it
          -> each has its commands executed and its replies sent, for `stop_grace_s` at the most
          -> a last checkpoint, if there is anything new

A second `stop` cuts every step short.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from mvcc_kv.errors import Error
from mvcc_kv.server.deadlines import Deadlines
from mvcc_kv.server.disk import Disk
from mvcc_kv.server.logs import event
from mvcc_kv.server.loop import Loop
from mvcc_kv.server.peer import Peer
from mvcc_kv.server.settings import Settings

__all__ = ["WindingDown"]

_RECEIVES_MAX = 16


class WindingDown:
    """A server's last turns. `is_cut_short`: it was asked to stop once more."""

    def __init__(
        self,
        loop: Loop,
        disk: Disk,
        settings: Settings,
        deadlines: Deadlines,
        *,
        clock: Callable[[], float],
        is_cut_short: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._disk = disk
        self._settings = settings
        self._deadlines = deadlines
        self._clock = clock
        self._is_cut_short = is_cut_short

    def run(self) -> bool:
        """Do it; whether the last checkpoint, if any, was written."""
        loop, settings = self._loop, self._settings
        event(logging.INFO, "stopping", connections=len(loop.peers))
        loop.door.close()
        loop.wake_up.call()
        loop.turn()  # whatever has come is taken in
        # A line whose end silence must tell gets that silence; twice, as it may begin to count only now.
        self._turn_while(_is_unsettled, for_s=min(2 * settings.line_quiet_ms / 1000, settings.stop_grace_s))
        for peer in list(loop.peers):
            self._take_leave(peer)
        self._turn_while(_is_busy, for_s=settings.stop_grace_s)
        loop.drop_all()
        return not self._disk.keeps or not self._disk.has_news or self._checkpoint()

    def _take_leave(self, peer: Peer) -> None:
        """Take in what this client has sent so far, and no more after that."""
        for _ in range(_RECEIVES_MAX):
            if not peer.is_open or peer.has_ended or not self._loop.receive(peer):
                break
        if peer.is_open:
            peer.connection.stop()
            self._loop.advance(peer)

    def _turn_while(self, condition: Callable[[Peer], bool], *, for_s: float) -> None:
        """Serve on while the condition holds for any connection: for so long at most, or until a second `stop`."""
        until = self._clock() + for_s
        self._deadlines.add(until, lambda _: None)
        while not self._is_cut_short() and self._clock() < until and any(map(condition, self._loop.peers)):
            self._loop.turn()

    def _checkpoint(self) -> bool:
        outcomes: list[int | Error] = []
        self._disk.checkpoints.hurry()
        self._disk.checkpoints.request(outcomes.append)
        while not outcomes and not self._is_cut_short():
            self._loop.turn()
        return bool(outcomes) and isinstance(outcomes[0], int)


def _is_unsettled(peer: Peer) -> bool:
    return peer.has_quiet_timer or peer.connection.is_served


def _is_busy(peer: Peer) -> bool:
    return not peer.connection.is_done
