"""CLIENT PAUSE: commands wait until it is over, one of each client; the rest stays with its connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvcc_kv.server.redis.commands import COMMANDS

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["Pause", "pause", "unpause"]


class Pause:
    """`ends_at`: by the clock. `is_for_all`: also for commands that write nothing."""

    def __init__(self, ends_at: float, *, is_for_all: bool) -> None:
        self.ends_at = ends_at
        self.is_for_all = is_for_all
        self._waiting: list[tuple[RedisSession, list[bytes]]] = []

    def holds(self, session: RedisSession, arguments: list[bytes]) -> bool:
        """Whether the command has to wait."""
        if session.queue is not None and arguments[0].lower() != b"exec":
            return False
        return self.is_for_all or _may_write(session, arguments[0].lower())

    def put_off(self, session: RedisSession, arguments: list[bytes]) -> None:
        """Execute the command when the pause is over."""
        self._waiting.append((session, arguments))

    def end(self) -> None:
        """Execute what waits."""
        waiting, self._waiting = self._waiting, []
        for session, arguments in waiting:
            session.resume(arguments)


def _may_write(session: RedisSession, name: bytes) -> bool:
    if name == b"exec":
        return any(command.writes for command, _ in session.queue or ())
    command = COMMANDS.get(name)
    return name == b"commit" or (command is not None and not command.flags.isdisjoint(("write", "may_replicate")))


def pause(session: RedisSession, for_s: float, *, is_for_all: bool) -> None:
    """Begin a pause, or make the one that there is longer and stricter; but a server that stops waits for nothing."""
    house, services = session.house, session.services
    if house.is_stopping:
        return
    ends_at = services.clock() + for_s
    if house.pause is None:
        house.pause = Pause(ends_at, is_for_all=is_for_all)
    else:
        house.pause.ends_at = max(ends_at, house.pause.ends_at)
        house.pause.is_for_all |= is_for_all
    under_way = house.pause

    def check(now: float) -> None:
        if house.pause is under_way and now >= under_way.ends_at:
            unpause(session)

    services.deadlines.add(ends_at, check)


def unpause(session: RedisSession) -> None:
    """Go on, if there is a pause."""
    session.house.end_pause()
