"""Who listens to which channel.

SUBSCRIBE news      channels   news -> {1, 7}        PUBLISH news hi  -> 1, 7
PSUBSCRIBE n*       patterns   n*   -> {3}                            -> 3
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.globbing import Matches, matcher

if TYPE_CHECKING:
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["Exchange", "Listeners", "Subscriptions"]

Listeners = dict[bytes, "dict[RedisSession, None]"]


@dataclass(slots=True)
class Subscriptions:
    """What one client listens to, in the order in which it said so."""

    channels: dict[bytes, None] = field(default_factory=dict)
    patterns: dict[bytes, None] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.channels) + len(self.patterns)


class Exchange:
    """All channels and patterns that somebody listens to."""

    def __init__(self) -> None:
        self.channels: Listeners = {}
        self.patterns: Listeners = {}
        self._matchers: dict[bytes, Matches] = {}

    def forget(self, session: RedisSession, subscriptions: Subscriptions) -> None:
        """The client listens no more."""
        for channel in subscriptions.channels:
            drop(self.channels, channel, session)
        for pattern in subscriptions.patterns:
            drop(self.patterns, pattern, session)

    def publish(self, channel: bytes, message: bytes) -> int:
        """Tell all who listen; how many times it was told."""
        told = 0
        said = [resp.bulk(b"message"), resp.bulk(channel), resp.bulk(message)]
        for session in list(self.channels.get(channel, ())):
            session.push(resp.push(said, session.proto))
            told += 1
        for pattern, sessions in list(self.patterns.items()):
            if self._matcher(pattern)(channel):
                said = [resp.bulk(b"pmessage"), resp.bulk(pattern), resp.bulk(channel), resp.bulk(message)]
                for session in list(sessions):
                    session.push(resp.push(said, session.proto))
                    told += 1
        return told

    def _matcher(self, pattern: bytes) -> Matches:
        """Made once, and kept at least as long as somebody listens."""
        found = self._matchers.get(pattern)
        if found is None:
            if len(self._matchers) >= 2 * len(self.patterns):
                self._matchers.clear()
            found = self._matchers[pattern] = matcher(pattern)
        return found


def drop(listeners: Listeners, name: bytes, session: RedisSession) -> None:
    """The client doesn't listen to this any more."""
    sessions = listeners.get(name)
    if sessions is not None:
        sessions.pop(session, None)
        if not sessions:
            del listeners[name]
