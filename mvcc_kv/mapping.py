"""The mapping that a database, a transaction and its `snapshot` all are: said once, as the methods that it is made of.

    class StoreDatabase:             class StoreDatabaseTransaction:        class TransactionSnapshot:
        get = mapping.get                get = mapping.get                      get = mapping.get
        scan = mapping.scan              scan = mapping.scan                    scan = mapping.scan
        _cells() -> Store                _cells() -> StoreTransaction           _cells() -> the same, untracked

Each function here is a method of theirs; `self` is whoever can hand out cells to read. `_cells` is asked anew before
each request, and raises if the database was closed or the transaction is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from mvcc_kv.api import KeyRange, KeyVersion, Page, Version, VersionPage
from mvcc_kv.errors import BadRequestError, KeyNotFoundError
from mvcc_kv.values import decode_key, decode_time, decode_value, encode_key

__all__ = ["contains", "delitem", "get", "getitem", "history", "iterate", "keys", "scan", "ttl"]

FIRST_PAGE_ITEMS = 100  # who looks at the first few and stops should not have read, and depend on, a thousand
PAGE_ITEMS = 1000


class Cells(Protocol):
    """What a store and an open transaction of it have in common."""

    def get(self, key: bytes) -> bytes | None: ...
    def get_with_ttl(self, key: bytes) -> tuple[bytes, float | None] | None: ...
    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page: ...
    def history(self, key: bytes, *, limit: int, before_ts: int | None = None) -> VersionPage: ...


class _Read(Protocol):
    def _cells(self) -> Cells: ...


class _Written(Protocol):
    def delete(self, key: str) -> bool: ...


def getitem(self: _Read, key: str) -> Any:
    """The key's value. Raises `KeyNotFoundError`, which is a `KeyError`, if it has none."""
    text = self._cells().get(encode_key(key))
    if text is None:
        raise KeyNotFoundError(f"Key not found: {key!r}", key=key)
    return decode_value(text)


def ttl(self: _Read, key: str) -> float | None:
    """How many seconds the key will be there yet; None if it stays. Raises `KeyNotFoundError`, which is a `KeyError`.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> db.put("session", "abc", ttl_s=60)
    >>> 59 < db.ttl("session") <= 60
    True
    """
    found = self._cells().get_with_ttl(encode_key(key))
    if found is None:
        raise KeyNotFoundError(f"Key not found: {key!r}", key=key)
    return found[1]


def delitem(self: _Written, key: str) -> None:
    """As `delete`. Raises `KeyNotFoundError` if the key isn't there."""
    if not self.delete(key):
        raise KeyNotFoundError(f"Key not found: {key!r}", key=key)


def contains(self: _Read, key: object) -> bool:
    """Whether the key has a value."""
    return self._cells().get(encode_key(key)) is not None  # type: ignore[arg-type]  # encode_key refuses what is no str


def iterate(self: _Read) -> Iterator[str]:
    """All keys, as from `keys`."""
    return _keys(self._cells, KeyRange(), None, False)


def get(self: _Read, key: str, default: Any = None) -> Any:
    """The key's value, or `default` if it has none."""
    text = self._cells().get(encode_key(key))
    return default if text is None else decode_value(text)


def scan(
    self: _Read,
    *,
    prefix: str = "",
    start: str = "",
    end: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
) -> Iterator[tuple[str, Any]]:
    """The items with `start <= key < end` that begin with `prefix`, in the order of their keys' UTF-8.

    Lazy: a hundred items at first, a thousand a request then. In a transaction all are of its snapshot, with its own
    writes among them; one made while the scan runs is seen if it lies ahead by more than a request. Outside of one each
    request reads what is newest then.

    >>> import mvcc_kv
    >>> db = mvcc_kv.open(":memory:")
    >>> db["user:1"], db["user:2"], db["visits"] = "ann", "bob", 7
    >>> list(db.scan(prefix="user:", reverse=True))
    [('user:2', 'bob'), ('user:1', 'ann')]
    >>> list(db.scan(start="user:2", limit=5))
    [('user:2', 'bob'), ('visits', 7)]
    """
    wanted = _range(prefix, start, end, limit)
    self._cells()  # refused now, not at the first item
    items = _items(self._cells, wanted, limit, reverse, keys_only=False)
    return ((decode_key(key), decode_value(text)) for key, text in items)


def keys(
    self: _Read,
    *,
    prefix: str = "",
    start: str = "",
    end: str | None = None,
    limit: int | None = None,
    reverse: bool = False,
) -> Iterator[str]:
    """The keys of what `scan` would yield; their values needn't be sent."""
    wanted = _range(prefix, start, end, limit)
    self._cells()
    return _keys(self._cells, wanted, limit, reverse)


def history(self: _Read, key: str, *, limit: int | None = None) -> Iterator[Version]:
    """The key's versions, newest first, deletions among them: as far back as history is retained, and what others read.

    In a transaction those that its snapshot knows. Lazy, a thousand versions a request. `stats()["oldest_ts"]` is how
    far back it is complete.
    """
    _check_limit(limit)
    encoded = encode_key(key)
    self._cells()
    return map(_version, _versions(self._cells, encoded, limit))


def _range(prefix: str, start: str, end: str | None, limit: int | None) -> KeyRange:
    _check_limit(limit)
    return KeyRange(encode_key(prefix), encode_key(start), None if end is None else encode_key(end))


def _check_limit(limit: int | None) -> None:
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise BadRequestError(f"limit is a whole number from 0 on, or None for all, not {limit!r}")


def _keys(cells: Callable[[], Cells], wanted: KeyRange, limit: int | None, reverse: bool) -> Iterator[str]:
    return (decode_key(key) for key, _ in _items(cells, wanted, limit, reverse, keys_only=True))


def _items(
    cells: Callable[[], Cells], wanted: KeyRange, limit: int | None, reverse: bool, *, keys_only: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Page after page of the range. Pages may come short, even empty; only a `next` of None is the end."""
    left, most = limit, FIRST_PAGE_ITEMS
    while left is None or left > 0:
        at_once, most = most if left is None else min(left, most), PAGE_ITEMS
        page = cells().scan(wanted, limit=at_once, reverse=reverse, keys_only=keys_only)
        yield from page.items
        if page.next is None:
            return
        if left is not None:
            left -= len(page.items)
        wanted = wanted.resumed(page.next, reverse=reverse)


def _versions(cells: Callable[[], Cells], key: bytes, limit: int | None) -> Iterator[KeyVersion]:
    """Page after page of the key's versions."""
    left, before_ts = limit, None
    while left is None or left > 0:
        page = cells().history(key, limit=PAGE_ITEMS if left is None else min(left, PAGE_ITEMS), before_ts=before_ts)
        yield from page.versions
        before_ts = page.next
        if before_ts is None:
            return
        if left is not None:
            left -= len(page.versions)


def _version(version: KeyVersion) -> Version:
    return Version(
        commit_ts=version.commit_ts,
        value=None if version.value is None else decode_value(version.value),
        is_deleted=version.value is None,
        time=None if version.time_us is None else decode_time(version.time_us),
        label=version.label,
    )
