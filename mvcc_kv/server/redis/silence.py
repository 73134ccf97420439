"""What keeps a command, or the reply to it, back: a pause puts it off, and a client may want no reply.

Nearly no command meets either, so a session asks for this only where there is something to it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["Silence", "executed_specially"]

_SAID_ALWAYS = frozenset((b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe"))


class Silence(IntEnum):
    """What CLIENT REPLY made of them: said, the next one not, none, said from the one at hand on, all but that one."""

    NONE = 0
    SKIP = 1
    OFF = 2
    BROKEN = 3
    ONCE = 4


def executed_specially(session: RedisSession, arguments: list[bytes]) -> bytes | None:
    """As `execute` does it, where the reply may not be wanted, or everybody has to wait."""
    pause = session.house.pause
    if pause is not None and pause.holds(session, arguments):
        pause.put_off(session, arguments)
        return None
    was = session.silence
    if was is Silence.SKIP:
        session.silence = Silence.ONCE
    reply = session.execute(arguments, is_special=True)
    if session.silence is Silence.ONCE:
        session.silence = Silence.NONE
    if session.silence is Silence.BROKEN:
        session.silence = Silence.NONE
    elif was in (Silence.SKIP, Silence.OFF) and reply is not None and arguments[0].lower() not in _SAID_ALWAYS:
        return b""
    return reply
