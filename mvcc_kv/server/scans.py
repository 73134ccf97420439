"""SCAN: one reply's worth of a range, of bounded size and bounded work.

Engine pages are small, so that no call takes long; a reply is put together from several, until it has the
items asked for, or is large enough, or has looked at enough. `next` tells the client where to go on.
"""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.api import KeyRange, Page

__all__ = ["bounded_page"]

_ENGINE_PAGE_KEYS = 100
_PAGES_MAX = 20
_REPLY_BYTES_MAX = 1024 * 1024


def bounded_page(scan: Callable[..., Page], keys: KeyRange, *, limit: int, reverse: bool) -> Page:
    """Up to `limit` items, about a mebibyte, and 2,000 keys looked at, whichever comes first."""
    items: list[tuple[bytes, bytes]] = []
    size_bytes = 0
    following: bytes | None = None
    for _ in range(_PAGES_MAX):
        page = scan(keys, limit=min(limit - len(items), _ENGINE_PAGE_KEYS), reverse=reverse)
        for item in page.items:
            if size_bytes >= _REPLY_BYTES_MAX:
                return Page(items, items[-1][0] if reverse else item[0])
            items.append(item)
            size_bytes += len(item[0]) + len(item[1])
        following = page.next
        if following is None or len(items) >= limit:
            break
        keys = keys.resumed(following, reverse=reverse)
    return Page(items, following)
