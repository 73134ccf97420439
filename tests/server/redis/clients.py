"""Redis's clients without sockets: sessions on a store whose wall clock the test moves; replies as Python values."""

from __future__ import annotations

from typing import Any

import hiredis

from mvcc_kv.engine import VersionedStore
from mvcc_kv.server.redis.handlers import RedisSession
from mvcc_kv.server.served import Services


class Place:
    """A store and what its sessions share. `now_us`: the wall clock."""

    def __init__(self, *, password: str | None = None) -> None:
        self.now_us = 1_795_000_000_000_000
        self.store = VersionedStore(time_us=lambda: self.now_us)
        self.services = Services(
            store=self.store,
            stats=self.store.stats,
            checkpoint=lambda answer: answer(self.store.commit_ts),
            clock=lambda: self.now_us / 1_000_000,
            password=password,
        )

    def client(self) -> Client:
        return Client(self)

    def pass_s(self, seconds: float) -> None:
        self.now_us += int(seconds * 1_000_000)


class Client:
    """Says commands and reads replies.

    `later`: those that came later; `pushed`: what was not asked for; `is_hung_up`: its connection was ended.
    """

    def __init__(self, place: Place) -> None:
        self.later: list[Any] = []
        self.pushed: list[Any] = []
        self.is_hung_up = False
        self.session = RedisSession(
            place.services,
            lambda reply: self.later.append(decoded(reply)),
            lambda said: self.pushed.append(decoded(said)),
            "127.0.0.1:50000",
            self._hang_up,
        )

    def _hang_up(self) -> None:
        self.is_hung_up = True

    def raw(self, *arguments: bytes | str | int | float) -> bytes | None:
        """The reply's bytes; None if it comes later."""
        return self.session.execute([_bytes(argument) for argument in arguments])

    def __call__(self, *arguments: bytes | str | int | float) -> Any:
        """The reply: bytes, int, None, a list, ...; an error reply is a `hiredis.ReplyError`."""
        reply = self.raw(*arguments)
        assert reply is not None, "a reply at once"
        return decoded(reply)

    def fails(self, *arguments: bytes | str | int | float) -> str:
        """The error reply's text."""
        reply = self(*arguments)
        assert isinstance(reply, hiredis.ReplyError), reply
        return str(reply)


def decoded(reply: bytes) -> Any:
    """The one reply that these bytes are."""
    reader = hiredis.Reader()
    reader.feed(reply)
    value = reader.gets()
    assert reader.gets() is False, "one reply, and nothing behind it"
    return value


def _bytes(argument: bytes | str | float) -> bytes:
    return argument if isinstance(argument, bytes) else str(argument).encode()
