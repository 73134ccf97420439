"""SCAN and HISTORY: one reply's worth, of bounded size and bounded work.

Engine pages are small, so that no call takes long; a reply is put together from several, until it has the
items asked for, or is large enough, or has looked at enough. `next` tells the client where to go on.
"""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.api import KeyRange, KeyVersion, Page, VersionPage

__all__ = ["bounded_history", "bounded_page"]

_ENGINE_PAGE_KEYS = 100
_PAGES_MAX = 20
_REPLY_BYTES_MAX = 1024 * 1024


def bounded_page(scan: Callable[..., Page], keys: KeyRange, *, limit: int, reverse: bool) -> tuple[Page, int]:
    """Up to `limit` items, about a mebibyte, and 2,000 keys looked at, whichever comes first; and how many were."""
    items: list[tuple[bytes, bytes]] = []
    size_bytes = looked_at = 0
    following: bytes | None = None
    for _ in range(_PAGES_MAX):
        page_keys = min(limit - len(items), _ENGINE_PAGE_KEYS)
        page = scan(keys, limit=page_keys, reverse=reverse)
        looked_at += page_keys if page.next is not None else len(page.items)
        for item in page.items:
            if size_bytes >= _REPLY_BYTES_MAX:
                return Page(items, items[-1][0] if reverse else item[0]), looked_at
            items.append(item)
            size_bytes += len(item[0]) + len(item[1])
        following = page.next
        if following is None or len(items) >= limit:
            break
        keys = keys.resumed(following, reverse=reverse)
    return Page(items, following), looked_at


def bounded_history(history: Callable[..., VersionPage], *, limit: int, before_ts: int | None) -> VersionPage:
    """Up to `limit` versions and about a mebibyte, whichever comes first."""
    versions: list[KeyVersion] = []
    size_bytes = 0
    while True:
        page = history(limit=min(limit - len(versions), _ENGINE_PAGE_KEYS), before_ts=before_ts)
        for version in page.versions:
            if size_bytes >= _REPLY_BYTES_MAX:
                return VersionPage(versions, versions[-1].commit_ts, page.oldest_ts)
            versions.append(version)
            size_bytes += len(version.value or b"")
        before_ts = page.next
        if before_ts is None or len(versions) >= limit:
            return VersionPage(versions, before_ts, page.oldest_ts)
