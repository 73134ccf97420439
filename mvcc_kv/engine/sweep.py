"""The sweep: keys whose time is up go in a commit of their own, before anybody else gets his turn.

Which keys those are, and the rule that it keeps, is told in `expiry.py`. Every room asks `section.may_expire` first, so
that a store where no key expires pays a look and no more:

    if section.may_expire:
        sweep.first()
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from mvcc_kv.engine.expiry import EXPIRED_AT_ONCE, EXPIRED_BYTES_AT_ONCE
from mvcc_kv.engine.section import CommitSection
from mvcc_kv.errors import UnavailableError

__all__ = ["Sweep"]


class Sweep:
    """Takes overdue keys away. Called without the lock."""

    def __init__(self, section: CommitSection) -> None:
        self.expired_total = 0
        self._section = section
        self._expiries = section.versions.expiries

    @property
    def next_us(self) -> int | None:
        """When the next key expires, microseconds since 1970; None if none does."""
        return self._expiries.next_us

    def first(self) -> None:
        """What is due goes before anybody looks."""
        next_us = self._expiries.next_us
        if next_us is not None and next_us <= self._section.time_us():
            self.due()

    def due(self, limit: int = EXPIRED_AT_ONCE) -> bool:
        """Delete the keys whose time is up, at most `limit`, in a commit of its own; whether more are due.

        If the log takes no commits, nothing happens: the keys stay overdue, which nobody sees.
        """
        with self._section.lock:
            commit_ts, is_more = self._expire(limit)
        if commit_ts is not None:
            with suppress(UnavailableError):  # nobody waits for the disk: who reads goes by the clock
                self._section.settled(commit_ts, waits=False)
        return is_more

    def _expire(self, limit: int) -> tuple[int | None, bool]:
        """The commit that took keys away, if one did, and whether more are due. Under the lock."""
        section, expiries, now_us = self._section, self._expiries, self._section.time_us()
        if section.has_failed:
            return None, False
        keys: dict[bytes, None] = dict.fromkeys(self._overdue(now_us, limit))
        try:
            commit_ts = section.apply(keys) if keys else None
        except BaseException as error:
            expiries.put_back(keys)
            if isinstance(error, UnavailableError):
                return None, False
            raise
        self.expired_total += len(keys)
        return commit_ts, expiries.next_us is not None and expiries.next_us <= now_us

    def _overdue(self, now_us: int, limit: int) -> Iterator[bytes]:
        """Keys whose time is up, as many as one commit may take away."""
        bytes_left = EXPIRED_BYTES_AT_ONCE
        for key in islice(self._expiries.due(now_us), limit):
            yield key
            bytes_left -= len(key) + len(self._section.versions.newest(key) or b"")
            if bytes_left <= 0:
                return
