"""Writes outside of transactions: each takes the commit section as it is, is a commit of its own, and never conflicts.

With a `token` a write is applied once at most: who repeats it, since the answer was lost, is told what it did.
"""

from __future__ import annotations

from collections.abc import Mapping

from mvcc_kv.engine.calm import put_calmly, write_calmly
from mvcc_kv.engine.section import CommitSection
from mvcc_kv.engine.sweep import Sweep
from mvcc_kv.values import add_to, expiring

__all__ = ["DirectWrites"]


class DirectWrites:
    """The writes that `VersionedStore` hands out as its own methods."""

    def __init__(self, section: CommitSection, sweep: Sweep) -> None:
        self._section = section
        self._sweep = sweep

    def put(self, key: bytes, value: bytes, token: str | None = None, *, ttl_s: float | None = None) -> None:
        """Write one key in a transaction of its own; never conflicts. With a `token` it is applied once at most.

        With `ttl_s` the key is there for so many seconds from now; so it is, without, until its time if the value is
        an `Expiring` one.
        """
        section = self._section
        if section.may_expire:
            self._sweep.first()
        if ttl_s is not None:
            value = expiring(value, ttl_s, section.time_us())
        with section.lock:
            if token is None and put_calmly(section, key, value) is not None:
                return
            known_ts = None if token is None else section.outcomes.applied(token)
            commit_ts = section.apply({key: value}, token=token) if known_ts is None else known_ts
        section.settled(commit_ts)

    def write(self, writes: Mapping[bytes, bytes | None], label: str | None = None) -> int:
        """Put, and delete where the value is None, all at once; the commit_ts. Never conflicts.

        What is deleted must be there, or have been there until its time was up. What was read for it with `newest`
        still holds if nobody wrote since: that is for the caller to know, who has the store for himself.
        """
        section = self._section
        with section.lock:
            if (calm_ts := write_calmly(section, writes)) is not None:
                return calm_ts
            if None in writes.values():
                newest = section.versions.newest
                writes = {key: value for key, value in writes.items() if value is not None or newest(key) is not None}
            commit_ts = section.apply(writes, label) if writes else section.commit_ts
        return section.settled(commit_ts)

    def clear(self) -> int:
        """Delete every key in a transaction of its own; how many there were. Never conflicts.

        Costs a tenth of deleting each: where nobody sees what was before, it goes as a whole, and else by and by.
        """
        section = self._section
        if section.may_expire:
            self._sweep.first()
        with section.lock:
            writes = dict.fromkeys(section.versions.keys_with_value())
            commit_ts = section.apply(writes, clears=True) if writes else section.commit_ts
        section.settled(commit_ts)
        return len(writes)

    def delete(self, key: bytes, token: str | None = None) -> bool:
        """Delete one key in a transaction of its own; whether it was there. With a `token`, once at most."""
        section = self._section
        if section.may_expire:
            self._sweep.first()
        with section.lock:
            known_ts = None if token is None else section.outcomes.applied(token)
            is_there = known_ts is not None or section.newest(key) is not None
            is_due = is_there and known_ts is None
            commit_ts = section.apply({key: None}, token=token) if is_due else section.commit_ts
        section.settled(commit_ts)
        return is_there

    def add(self, key: bytes, by: bytes, token: str | None = None) -> bytes:
        """Add to a key's number in a transaction of its own; what it is then. Never conflicts.

        With a `token` it is applied once at most; to a repetition the answer is what the key is by now.
        A key that expires does so all the same. Raises `BadRequestError` for what is no number.
        """
        section = self._section
        if section.may_expire:
            self._sweep.first()
        with section.lock:
            known_ts = None if token is None else section.outcomes.applied(token)
            if known_ts is None:
                total = add_to(section.newest(key), by)
                commit_ts = section.apply({key: total}, token=token, added=(key,))
            else:
                commit_ts, total = known_ts, section.newest(key) or b"null"
        section.settled(commit_ts)
        return total
