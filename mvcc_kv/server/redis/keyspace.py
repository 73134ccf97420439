"""What a command reads and writes, wherever it runs.

    GET a                     Reading   the newest visible state; waits for nobody
    INCR a                    Writing   the newest state, visible or not; what it puts is one commit, at its end
    MULTI ... EXEC            Writing   where only keys that are named are looked at; or else
                              Within    a transaction begun at the newest state, which nobody can come in between
    START ... INCR a ...      Within    the client's own transaction: its snapshot and its own writes

A writing command that read what is not on disk yet tells of it: its reply waits for that, as it does for its own write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from mvcc_kv.api import KeyRange, Page
from mvcc_kv.server.redis.counting import Lookups
from mvcc_kv.server.redis.failures import Failure
from mvcc_kv.server.served import ServedStore, ServedTransaction

__all__ = ["EVERYTHING", "Reading", "Space", "Within", "Writing"]

EVERYTHING = KeyRange()
_PAGE_KEYS = 1_000


class Space(Protocol):
    """The keys as a command sees them. Values are JSON texts, `Expiring` ones where the key has an expiry."""

    @property
    def now_us(self) -> int: ...
    def get(self, key: bytes, /) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> bool:
        """Delete the key; whether it was there."""
        ...

    def page(self, keys: KeyRange, limit: int, *, reverse: bool = False) -> Page: ...
    def count(self) -> int:
        """How many keys there are."""
        ...

    def key_at(self, share: float) -> bytes | None:
        """The key at that part, 0 <= share < 1, of all places that keys have; None if there is no key at this one."""
        ...

    def clear(self) -> int:
        """Delete every key; how many there were. It is the only thing that a command writes."""
        ...


class Reading:
    """The newest visible state, or what this client, who knows of `seen_ts`, has seen of what comes after it."""

    __slots__ = ("_lookups", "_store", "seen_ts")

    def __init__(self, store: ServedStore, seen_ts: int, lookups: Lookups) -> None:
        self._store = store
        self.seen_ts = seen_ts
        self._lookups = lookups

    @property
    def now_us(self) -> int:
        return self._store.now_us()

    def get(self, key: bytes) -> bytes | None:
        value = self._store.get(key, self.seen_ts)
        if value is None:
            self._lookups.misses += 1
        else:
            self._lookups.hits += 1
        return value

    def put(self, key: bytes, value: bytes) -> None:
        raise AssertionError("a command that writes is marked as one")

    def delete(self, key: bytes) -> bool:
        raise AssertionError("a command that writes is marked as one")

    def page(self, keys: KeyRange, limit: int, *, reverse: bool = False) -> Page:
        return self._store.scan(keys, limit=limit, reverse=reverse, seen_ts=self.seen_ts)

    def count(self) -> int:
        return self._store.keys_total

    def key_at(self, share: float) -> bytes | None:
        return _there(self, self._store.key_in(int(share * self._store.places)))

    def clear(self) -> int:
        raise AssertionError("a command that writes is marked as one")


class Writing:
    """The newest state; what is put and deleted is applied at once, by `commit`. `begin` has it written nothing yet."""

    __slots__ = ("_clears", "_store", "_writes")

    def __init__(self, store: ServedStore) -> None:
        self._store = store
        self._writes: dict[bytes, bytes | None] = {}
        self._clears = False

    def begin(self) -> None:
        """Forget what was written."""
        self._clears = False
        if self._writes:
            self._writes = {}

    @property
    def has_written(self) -> bool:
        """Whether there is something to commit."""
        return self._clears or bool(self._writes)

    @property
    def now_us(self) -> int:
        return self._store.now_us()

    def get(self, key: bytes) -> bytes | None:
        return self._writes[key] if key in self._writes else self._store.newest(key)

    def put(self, key: bytes, value: bytes) -> None:
        if not key.isascii():
            _must_be_text(key)
        self._writes[key] = value

    def delete(self, key: bytes) -> bool:
        is_stored = self._store.newest(key) is not None
        if key not in self._writes:
            if is_stored:
                self._writes[key] = None
            return is_stored
        if self._writes[key] is None:
            return False
        if is_stored:
            self._writes[key] = None
        else:
            del self._writes[key]
        return True

    def page(self, keys: KeyRange, limit: int, *, reverse: bool = False) -> Page:
        assert not self._writes, "a command looks for keys before it writes any"
        return self._store.scan(keys, limit=limit, reverse=reverse, seen_ts=self._store.commit_ts)

    def count(self) -> int:
        return self._store.keys_total

    def key_at(self, share: float) -> bytes | None:
        return _there(self, self._store.key_in(int(share * self._store.places)))

    def clear(self) -> int:
        count = self._store.keys_total
        self._clears = count > 0
        return count

    def commit(self, label: str | None = None) -> None:
        """Apply it. `label`: what the commit is called."""
        if self._clears:
            assert not self._writes, "nothing else is written"
            self._store.clear()
        elif self._writes:
            self._store.write(self._writes, label)


class Within:
    """A transaction's snapshot, with its own writes."""

    __slots__ = ("_store", "_transaction", "get")

    def __init__(self, store: ServedStore, transaction: ServedTransaction) -> None:
        self._store = store
        self._transaction = transaction
        self.get: Callable[[bytes], bytes | None] = transaction.get

    @property
    def now_us(self) -> int:
        return self._store.now_us()

    def put(self, key: bytes, value: bytes) -> None:
        if not key.isascii():
            _must_be_text(key)
        self._transaction.put(key, value)

    def delete(self, key: bytes) -> bool:
        return self._transaction.delete(key)

    def page(self, keys: KeyRange, limit: int, *, reverse: bool = False) -> Page:
        return self._transaction.scan(keys, limit=limit, reverse=reverse)

    def count(self) -> int:
        """Counted one by one: a snapshot's size is written nowhere."""
        return sum(1 for _ in _keys(self))

    def key_at(self, share: float) -> bytes | None:
        places, own = self._store.places, self._transaction.writes
        place = int(share * (places + len(own)))
        if place >= places:
            return _there(self, next(islice(own, place - places, None)))
        key = self._store.key_in(place)
        return None if key in own else _there(self, key)

    def clear(self) -> int:
        keys = list(_keys(self))
        for key in keys:
            self._transaction.delete(key)
        return len(keys)


def _keys(space: Space) -> Iterator[bytes]:
    """Every key, in order."""
    rest = EVERYTHING
    while True:
        page = space.page(rest, _PAGE_KEYS)
        yield from (key for key, _ in page.items)
        if page.next is None:
            return
        rest = rest.resumed(page.next, reverse=False)


def _there(space: Space, key: bytes | None) -> bytes | None:
    """The key, if it is there to be seen."""
    return None if key is None or space.get(key) is None else key


def _must_be_text(key: bytes) -> None:
    try:
        key.decode()
    except UnicodeDecodeError:
        raise Failure("ERR a key must be UTF-8 text here (values may be any bytes); encode it, in base64 say") from None
