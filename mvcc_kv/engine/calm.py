"""A calm commit: one of which nobody is to be told, and so is nothing but a new head for each of its keys.

    the long way (home.py, section.py)            alone               in company

    validate, each key                            the same            the same
    close the transaction, collect                close it            the same
    log, marks, history, recent keys, expiry      there is nobody to tell: `is_calm`
    link: a head on top of the old one            the same            the same
    publish: who holds the old one? take it out   nobody: it goes     the newest snapshot, if it sees it; else it goes
    collect, open gates                           open gates          the same

That is what most commits of a program with a database of its own are, and alone it takes half of the time; in company,
beside the open transactions of others, which is how a server's clients commit, two thirds. Whatever is not as plain as
that goes the long way, which is the rule: the functions here then say None, and have done nothing. So conflicts are
found here, and told there.

To one that is alone nobody can lose, so nobody will ask what it was called: there a label changes nothing.

A thread that gets a key outside of transactions takes no lock, and looks at the head first, at `visible_ts` after. So
what was visible before stays below each new head until all of them are visible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

from mvcc_kv.engine.chains import Replaced
from mvcc_kv.engine.index import overwrite
from mvcc_kv.engine.section import CommitSection
from mvcc_kv.engine.snapshots import LiveSnapshots
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.engine.versions import Versions
from mvcc_kv.values import Expiring

__all__ = ["commit_calmly", "put_calmly", "write_calmly"]

_NONE_REPLACED: list[Replaced] = []  # by who has only read; never changed


def commit_calmly(section: CommitSection, transaction: Transaction) -> int | None:
    """The commit_ts of a transaction that is over now; None, and nothing done, if it must go the long way.

    Under the section's lock.
    """
    opened, versions = section.opened, section.versions
    if transaction.added or transaction.token is not None or transaction.ticket is not None:
        return None
    if section.log is not None or section.may_expire or not versions.is_calm:
        return None
    if not opened.has_only(transaction):
        return _commit_in_company(section, transaction)
    writes = transaction.writes
    replaced = _replaced(versions, writes, transaction.start_ts) if writes else _NONE_REPLACED
    if replaced is None:
        return None
    opened.end_only()
    if replaced:
        return _applied(section, replaced)
    section.commits_total += 1
    return transaction.start_ts


def _commit_in_company(section: CommitSection, transaction: Transaction) -> int | None:
    """The same where others are open, who may see what it supersedes and lose to it."""
    opened, versions, writes = section.opened, section.versions, transaction.writes
    if transaction.label is not None or opened.abandoned or opened.recent.wants_keys:
        return None
    if transaction.ended is not None:  # by another thread, while this one came here
        return None
    if not writes or not _are_plain_and_not_lost(writes, versions, transaction.start_ts):
        return None
    opened.end(transaction)
    if versions.ending:
        versions.collect()
    section.commit_ts = commit_ts = section.commit_ts + 1
    _put_on_top(versions, opened.snapshots, commit_ts, writes)
    section.commits_total += 1
    if section.pin_limit.bytes_max:
        section.bound_pins()
    if versions.ending:
        versions.collect()
    if section.gates:
        section.open_gates()
    return commit_ts


def put_calmly(section: CommitSection, key: bytes, value: bytes) -> int | None:
    """The commit_ts of a put outside of transactions, while none is open; None if it must go the long way."""
    versions = section.versions
    if section.log is not None or section.may_expire or not versions.is_calm or len(section.opened):
        return None
    head = versions.heads.get(key)
    if type(value) is Expiring or (head is not None and (head[1] is None or head[2] is not None)):
        return None
    return _applied(section, [(key, value, head)])


def write_calmly(section: CommitSection, writes: Mapping[bytes, bytes | None]) -> int | None:
    """The same of several puts at once."""
    versions = section.versions
    if section.log is not None or section.may_expire or not versions.is_calm or len(section.opened):
        return None
    replaced = _replaced(versions, writes, section.commit_ts)
    return _applied(section, replaced) if replaced else None


def _applied(section: CommitSection, replaced: list[Replaced]) -> int:
    """Values, visible at once, take the place of lone versions, which nobody sees any more from then on; their ts."""
    versions = section.versions
    heads = versions.heads
    section.commit_ts = commit_ts = section.commit_ts + 1
    section.commits_total += 1
    for key, value, below in replaced:
        if below is None:
            heads[key] = (commit_ts, value, None)
            versions.index.keys += 1
            versions.index.versions += 1
        else:
            overwrite(heads, key, (commit_ts, value, below))
    versions.visible_ts = commit_ts
    for key, value, below in replaced:
        if below is not None:
            overwrite(heads, key, (commit_ts, value, None))
    if section.gates:
        section.open_gates()
    return commit_ts


def _put_on_top(versions: Versions, live: LiveSnapshots, commit_ts: int, writes: Mapping[bytes, bytes]) -> None:
    """Values, visible at once, take the place of what is newest: which is held by a snapshot that sees it, or goes."""
    index, heads = versions.index, versions.heads
    unseen: list[Replaced] = []
    for key, value in writes.items():
        head = heads.get(key)
        if head is None:
            heads[key] = (commit_ts, value, None)
            index.keys += 1
            index.versions += 1
            continue
        overwrite(heads, key, (commit_ts, value, head))
        if live.hold_newest(head[0], key, len(head[1] or b"")):
            index.versions += 1
        else:
            unseen.append((key, value, head[2]))
    versions.visible_ts = commit_ts
    for key, value, rest in unseen:
        overwrite(heads, key, (commit_ts, value, rest))


def _are_plain_and_not_lost(
    writes: Mapping[bytes, bytes | None], versions: Versions, start_ts: int
) -> TypeGuard[Mapping[bytes, bytes]]:
    """Whether all are values that stay, none of them for a key that has changed since, or was deleted before."""
    head_of = versions.heads.get
    for key, value in writes.items():
        head = head_of(key)
        if head is not None and (head[0] > start_ts or head[1] is None):
            return False
        if value is None or type(value) is Expiring:
            return False
    return True


def _replaced(versions: Versions, writes: Mapping[bytes, bytes | None], start_ts: int) -> list[Replaced] | None:
    """The keys, their new values and their heads; None if one has changed since, or there is more to it than that."""
    head_of = versions.heads.get
    replaced: list[Replaced] = []
    for key, value in writes.items():
        head = head_of(key)
        if head is not None and (head[0] > start_ts or head[1] is None or head[2] is not None):
            return None
        if value is None or type(value) is Expiring:
            return None
        replaced.append((key, value, head))
    return replaced
