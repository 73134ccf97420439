"""A client as CLIENT LIST and CLIENT INFO show it: a line of `name=value`, in Redis's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvcc_kv.server.redis.failures import Failure, shown

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["client_line", "is_of_type"]

_TYPES = frozenset((b"normal", b"slave", b"replica", b"pubsub", b"master"))


def is_of_type(session: RedisSession | None, kind: bytes) -> bool:
    """Whether the client is of that type. Raises `Failure` for a type that there isn't."""
    name = kind.lower()
    if name not in _TYPES:
        raise Failure(f"ERR Unknown client type '{shown(kind)}'")
    return session is not None and name == (b"normal" if session.subscriptions is None else b"pubsub")


def client_line(session: RedisSession) -> bytes:
    """The client's line, with its newline. What there is no such thing of here is 0."""
    now = session.services.clock()
    listens = session.subscriptions
    told = {
        "id": session.id,
        "addr": session.address or "",
        "laddr": session.house.address,
        "fd": -1,
        "name": _text(session.name),
        "age": int(now - session.created_at),
        "idle": int(now - session.active_at),
        "flags": _flags(session),
        "db": 0,
        "sub": 0 if listens is None else len(listens.channels),
        "psub": 0 if listens is None else len(listens.patterns),
        "ssub": 0,
        "multi": -1 if session.queue is None else len(session.queue),
        "qbuf": session.received_bytes,
        "qbuf-free": 0,
        "argv-mem": 0,
        "multi-mem": 0,
        "rbs": 0,
        "rbp": 0,
        "obl": 0,
        "oll": 0,
        "omem": 0,
        "tot-mem": 0,
        "events": "r",
        "cmd": "NULL" if session.last is None else session.last.name,
        "user": "default",
        "redir": -1,
        "resp": session.proto,
        "lib-name": _text(session.library.get("lib-name", b"")),
        "lib-ver": _text(session.library.get("lib-ver", b"")),
    }
    return " ".join(f"{name}={value}" for name, value in told.items()).encode() + b"\n"


def _flags(session: RedisSession) -> str:
    flags = {
        "P": session.subscriptions is not None,
        "x": session.queue is not None,
        "d": session.watch.is_lost,
        "c": session.wants_to_close,
        "e": "e" in session.flags,
        "T": "T" in session.flags,
    }
    return "".join(flag for flag, is_set in flags.items() if is_set) or "N"


def _text(text: bytes) -> str:
    return text.decode("ascii", "replace")
