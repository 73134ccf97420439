"""Validation: has a transaction lost what it wrote, or read?

    start_ts 5          newest commit of ...            lost?
    writes a            a at 4                          no
    writes b            b at 7                          yes, to 7, though b was never read: blind writers clash
    adds 1 to c         c: PUT at 5, ADD at 7           no: ADDs go well together
    adds 1 to d         d: PUT at 6, ADD at 7           yes, to 6
    reads e             e at 7                          yes if serializable; also if e wasn't there, or isn't now
    scans f .. h        g at 7                          yes if serializable, whether g was among what it found or not
    writes i            i expired at 7, which was       no: it was as good as gone, and is
                        overdue when this one began

What was only read matters to those who write: a transaction that wrote nothing has run at its snapshot, alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from mvcc_kv.engine.chains import visible
from mvcc_kv.engine.clashes import RecentKeys
from mvcc_kv.engine.reads import ReadSet
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.engine.versions import Versions
from mvcc_kv.values import is_overdue

__all__ = ["clashes"]

_READS_REPORTED_MAX = 100


def clashes(transaction: Transaction, versions: Versions, recent: RecentKeys) -> dict[bytes, int]:
    """The keys that the transaction has lost, each with the commit that took it; a hundred of those only read."""
    start_ts = transaction.start_ts
    heads = versions.heads
    lost = {}
    for key in transaction.writes:
        head = heads.get(key)
        if head is not None and head[0] > start_ts:
            lost[key] = head[0]
    for key in transaction.added:
        written_ts = versions.marks.written_ts(key, heads.get(key))
        if written_ts > start_ts:
            lost[key] = written_ts
    if lost and transaction.overdue_us:
        lost = {key: ts for key, ts in lost.items() if not _was_overdue(key, transaction, versions)}
    reads = transaction.reads
    if transaction.is_serializable and reads is not None and transaction.has_written:
        changed = _changed_reads(reads, start_ts, versions, recent)
        if transaction.overdue_us:
            changed = ((key, ts) for key, ts in changed if not _was_overdue(key, transaction, versions))
        lost.update(islice(changed, _READS_REPORTED_MAX))
    return lost


def _was_overdue(key: bytes, transaction: Transaction, versions: Versions) -> bool:
    """Whether the key, which has a newer version now, is as it was to the transaction: not there.

    It was overdue when the transaction began, which saw none, and what came after was its expiry.
    """
    head = versions.heads[key]
    seen = visible(head, transaction.start_ts)
    return head[1] is None and seen is not None and is_overdue(seen[1], transaction.overdue_us)


def _changed_reads(
    reads: ReadSet, start_ts: int, versions: Versions, recent: RecentKeys
) -> Iterator[tuple[bytes, int]]:
    """What was read and has changed after `start_ts`, each with the commit that changed it."""
    heads = versions.heads
    for key in reads.keys:
        head = heads.get(key)
        if head is not None and head[0] > start_ts:
            yield key, head[0]
    for low, high in reads.ranges:
        for key in _changed_in(low, high, start_ts, versions, recent):
            yield key, heads[key][0]


def _changed_in(low: bytes, high: bytes, ts: int, versions: Versions, recent: RecentKeys) -> Iterable[bytes]:
    """The range's keys with a version after `ts`: looks at the range, or at what came after if that is less."""
    index = versions.index
    if not recent.covers(ts):
        return index.changed_after(ts, low, high) or ()
    found = index.changed_after(ts, low, high, keys_max=len(recent))
    if found is not None:
        return found
    return dict.fromkeys(key for key in recent.after(ts) if low <= key < high and key in versions.heads)
