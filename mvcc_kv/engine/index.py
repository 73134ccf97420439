"""The ordered index: each key's version chain, by its head.

Only a *new* key costs an ordered insert; a version on top of another is dict's own business. A head is taken by readers
without a lock, so it is put in place last, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, ItemsView, Iterator, Mapping
from itertools import islice, repeat
from typing import TypeAlias, cast

from sortedcontainers import SortedDict

from mvcc_kv.api import KeyRange, Page
from mvcc_kv.engine.chains import Version, versions, visible, without, without_all
from mvcc_kv.values import is_overdue

__all__ = ["LOOKS_MAX", "ScanBounds", "Seen", "VersionIndex", "overwrite"]

Seen: TypeAlias = "Callable[[bytes, Version], bytes | None]"
"""The value that a snapshot sees of the key with that head, which is newer than the snapshot."""

LOOKS_MAX = 1_000  # keys that one page looks at, unless it is to have more items: some 200 microseconds


class ScanBounds:
    """What pages may cost beside their items: keys looked at, of which some have no value, and bytes.

    Each page takes its part of them; `looked_at` says how many keys it was. The last one may pass the bytes by an item.
    """

    __slots__ = ("bytes_left", "looked_at", "looks_max")

    def __init__(self, looks_max: int = LOOKS_MAX, bytes_max: int | None = None) -> None:
        self.looks_max = looks_max
        self.bytes_left = bytes_max
        self.looked_at = 0

    @property
    def has_room(self) -> bool:
        """Whether there may be another page."""
        return self.looked_at < self.looks_max and (self.bytes_left is None or self.bytes_left > 0)

    def cut(self, page: Page, reverse: bool) -> Page:
        """The page as far as the bytes reach."""
        if self.bytes_left is None:
            return page
        items = page.items
        for at, (key, value) in enumerate(items, 1):
            self.bytes_left -= len(key) + len(value)
            if self.bytes_left <= 0 and at < len(items):
                return Page(items[:at], items[at - 1][0] if reverse else items[at][0])
        return page


# Overwriting is dict's own business; only a new key costs SortedDict's ordered insert.
overwrite = cast("Callable[[SortedDict[bytes, Version], bytes, Version], None]", dict.__setitem__)

_items = cast("Callable[[SortedDict[bytes, Version]], ItemsView[bytes, Version]]", dict.items)  # in no order


class VersionIndex:
    """Heads by key, in order; how many keys have a value, and how many versions there are."""

    def __init__(self) -> None:
        self.heads: SortedDict[bytes, Version] = SortedDict()
        self.keys = 0
        self.versions = 0

    def fill(self, commit_ts: int, items: Mapping[bytes, bytes]) -> None:
        """Give an empty index a version of each item; it costs least if they ascend by key.

        The nodes are made by `zip`: a million of them in 0.2 s, where a loop over the items takes three times as long.
        """
        self.heads.update(zip(items, zip(repeat(commit_ts), items.values(), repeat(None)), strict=False))
        self.keys = self.versions = len(items)

    def link(self, commit_ts: int, key: bytes, value: bytes | None) -> Version | None:
        """Put a version on top of the key's chain; the version below it, if it is there for somebody to see."""
        head = self.heads.get(key)
        if head is None:
            if value is not None:
                self.heads[key] = (commit_ts, value, None)
                self.versions += 1
                self.keys += 1
            return None
        self.keys += (value is not None) - (head[1] is not None)
        if head[1] is None and head[2] is None:  # a lone tombstone tells readers no more than nothing does
            overwrite(self.heads, key, (commit_ts, value, None))
            return None
        overwrite(self.heads, key, (commit_ts, value, head))
        self.versions += 1
        return head

    def with_value(self) -> list[bytes]:
        """The keys that have a value, visible or not; in no order."""
        return [key for key, head in _items(self.heads) if head[1] is not None]

    def link_deletions(self, commit_ts: int, keys: Collection[bytes]) -> list[Version]:
        """Put a tombstone on top of each of these, which are all the keys with a value; what is below them."""
        heads = self.heads
        below = list(map(heads.__getitem__, keys))
        dict.update(heads, zip(keys, zip(repeat(commit_ts), repeat(None), below), strict=False))
        self.versions += len(below)
        self.keys = 0
        return below

    def take_out(self, commit_ts: int, key: bytes) -> Version:
        """Take a superseded version out of its chain; what the head is then."""
        rest = without(self.heads[key], commit_ts)
        assert rest is not None, "a superseded version has a newer one above it"
        self.versions -= 1
        overwrite(self.heads, key, rest)
        return rest

    def take_out_all(self, timestamps: set[int], key: bytes) -> Version:
        """Take several superseded versions out of the key's chain, walking it once; what the head is then."""
        rest = without_all(self.heads[key], timestamps)
        self.versions -= len(timestamps)
        overwrite(self.heads, key, rest)
        return rest

    def clear(self) -> None:
        """Take every key out of the index."""
        self.heads.clear()
        self.keys = self.versions = 0

    def drop(self, key: bytes) -> None:
        """Take a lone tombstone's key out of the index."""
        del self.heads[key]
        self.versions -= 1

    def key_in(self, place: int) -> bytes | None:
        """The key in that place, from 0 on; None if there are not so many."""
        return self.heads.keys()[place] if place < len(self.heads) else None

    def changed_after(self, ts: int, low: bytes, high: bytes, keys_max: int | None = None) -> Iterator[bytes] | None:
        """The keys of the range with a version after `ts`; None if that takes looking at more than `keys_max`."""
        heads = self.heads
        found = []
        for count, key in enumerate(heads.irange(low, high, (True, False))):
            if count == keys_max:
                return None
            if heads[key][0] > ts:
                found.append(key)
        return iter(found)

    def page(
        self,
        ts: int,
        seen: Seen,
        keys: KeyRange,
        limit: int,
        reverse: bool,
        bounds: ScanBounds | None,
        overdue_us: int = 0,
    ) -> Page:
        """Up to `limit` items that a snapshot at `ts` sees; the page ends sooner where its bounds say so.

        What is there until `overdue_us` or sooner is left out.
        """
        bounds = bounds or ScanBounds(looks_max=max(limit, LOOKS_MAX))
        if keys.high is not None and keys.low >= keys.high:
            return Page([], None)
        heads = self.heads
        ahead = heads.irange(keys.low, keys.high, (True, False), reverse)
        items: list[tuple[bytes, bytes]] = []
        while True:
            wanted = min(limit - len(items), bounds.looks_max - bounds.looked_at)
            found = list(islice(ahead, wanted))
            bounds.looked_at += len(found)
            taken = len(items)
            for key in found:
                head = heads[key]
                value = head[1] if head[0] <= ts else seen(key, head)
                if value is not None:
                    items.append((key, value))
            if overdue_us:
                items[taken:] = [item for item in items[taken:] if not is_overdue(item[1], overdue_us)]
            if len(found) < wanted:
                return bounds.cut(Page(items, None), reverse)
            if len(items) == limit or bounds.looked_at >= bounds.looks_max:
                behind = next(ahead, None)
                following = None if behind is None else found[-1] if reverse else behind
                return bounds.cut(Page(items, following), reverse)

    def chains(self) -> dict[bytes, list[Version]]:
        """Every chain, newest first, for checks and pictures."""
        return {key: list(versions(head)) for key, head in self.heads.items()}


def seen_at(ts: int) -> Seen:
    """What a live snapshot at `ts` sees, in the chain itself."""

    def seen(_: bytes, head: Version) -> bytes | None:
        version = visible(head[2], ts)
        return None if version is None else version[1]

    return seen
