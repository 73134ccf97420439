"""SCAN and HISTORY: one reply's worth, of bounded size and bounded work; `next` tells the client where to go on."""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.api import KeyRange, KeyVersion, Page, VersionPage
from mvcc_kv.engine.index import ScanBounds

__all__ = ["bounded_history", "bounded_page"]

_LOOKS_MAX = 2_000
_REPLY_BYTES_MAX = 1024 * 1024
_ENGINE_PAGE_VERSIONS = 100


def bounded_page(scan: Callable[..., Page], keys: KeyRange, *, limit: int, reverse: bool) -> tuple[Page, int]:
    """Up to `limit` items, about a mebibyte, and 2,000 keys looked at, whichever comes first; and how many were."""
    bounds = ScanBounds(_LOOKS_MAX, _REPLY_BYTES_MAX)
    page = scan(keys, limit=limit, reverse=reverse, bounds=bounds)
    while page.next is not None and len(page.items) < limit and bounds.has_room:  # own deletions may leave gaps
        rest = keys.resumed(page.next, reverse=reverse)
        more = scan(rest, limit=limit - len(page.items), reverse=reverse, bounds=bounds)
        page = Page([*page.items, *more.items], more.next)
    return page, bounds.looked_at


def bounded_history(history: Callable[..., VersionPage], *, limit: int, before_ts: int | None) -> VersionPage:
    """Up to `limit` versions and about a mebibyte, whichever comes first."""
    versions: list[KeyVersion] = []
    size_bytes = 0
    while True:
        page = history(limit=min(limit - len(versions), _ENGINE_PAGE_VERSIONS), before_ts=before_ts)
        for version in page.versions:
            if size_bytes >= _REPLY_BYTES_MAX:
                return VersionPage(versions, versions[-1].commit_ts, page.oldest_ts)
            versions.append(version)
            size_bytes += len(version.value or b"")
        before_ts = page.next
        if before_ts is None or len(versions) >= limit:
            return VersionPage(versions, before_ts, page.oldest_ts)
