"""Replies, byte for byte in the original's spacing: one line each, `status` first.

    {"status": "Ok", "result": {"key": "key1", "value": "value1"}}
    {"status": "Error", "result": {"code": "KEY_NOT_FOUND", "retryable": false}, "message": "Key not found"}

Keys and values are laid in as the text that the store holds; only what is rare goes through an encoder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mvcc_kv.api import CommittedWrites, KeyVersion, OpenTransaction, Page, VersionPage
from mvcc_kv.errors import Error
from mvcc_kv.values import Expiring, encode_time, json_string

__all__ = [
    "COMMITTED",
    "PONG",
    "ROLLED_BACK",
    "STARTED",
    "TRANSACTIONS_MAX",
    "addend_reply",
    "backup_reply",
    "changes_reply",
    "changes_text",
    "error_reply",
    "expiring_reply",
    "history_reply",
    "key_reply",
    "noticed",
    "page_reply",
    "pair_reply",
    "result_reply",
    "transactions_reply",
]

# TRANSACTIONS lists at most so many, the oldest snapshots, and says how many there are.
TRANSACTIONS_MAX = 1_000

_encode = json.JSONEncoder(ensure_ascii=False).encode  # its default spacing is the original's


def result_reply(result: Any) -> bytes:
    """The reply whose result is any JSON value.

    >>> result_reply({"commit_ts": 42})
    b'{"status": "Ok", "result": {"commit_ts": 42}}\\n'
    """
    return b'{"status": "Ok", "result": %b}\n' % _encode(result).encode()


STARTED = result_reply("Transaction started")
COMMITTED = result_reply("Transaction commited")  # spelt so in the original; frozen
ROLLED_BACK = result_reply("Transaction rolled back")
PONG = result_reply("PONG")


def expiring_reply(key: bytes, value: bytes, ttl_s: float | None) -> bytes:
    """The reply to PUT with a time, and to GET that asks for it; None: the key stays.

    >>> expiring_reply(b"key1", b"1", 2.5)
    b'{"status": "Ok", "result": {"key": "key1", "value": 1, "ttl_s": 2.5}}\\n'
    """
    ttl = _encode(ttl_s).encode()
    return b'{"status": "Ok", "result": {"key": %b, "value": %b, "ttl_s": %b}}\n' % (json_string(key), value, ttl)


def pair_reply(key: bytes, value: bytes) -> bytes:
    """The reply to PUT and GET, and to ADD where the sum is known.

    >>> pair_reply(b"key1", b'"value1"')
    b'{"status": "Ok", "result": {"key": "key1", "value": "value1"}}\\n'
    """
    return b'{"status": "Ok", "result": {"key": %b, "value": %b}}\n' % (json_string(key), value)


def key_reply(key: bytes) -> bytes:
    """The reply to DEL."""
    return b'{"status": "Ok", "result": {"key": %b}}\n' % json_string(key)


def addend_reply(key: bytes, by: bytes) -> bytes:
    """The reply to ADD in a transaction, where the sum is known only at the commit."""
    return b'{"status": "Ok", "result": {"key": %b, "by": %b}}\n' % (json_string(key), by)


def page_reply(page: Page, *, keys_only: bool) -> bytes:
    """The reply to SCAN."""
    if keys_only:
        items = b", ".join(b'{"key": %b}' % json_string(key) for key, _ in page.items)
    else:
        items = b", ".join(b'{"key": %b, "value": %b}' % (json_string(key), value) for key, value in page.items)
    following = b"null" if page.next is None else json_string(page.next)
    return b'{"status": "Ok", "result": {"items": [%b], "next": %b}}\n' % (items, following)


def history_reply(key: bytes, page: VersionPage) -> bytes:
    """The reply to HISTORY.

    >>> history_reply(b"a", VersionPage([KeyVersion(5, b"1", 0, "x"), KeyVersion(4, None)], None, 3))
    b'{"status": "Ok", "result": {"key": "a", "versions": [{"commit_ts": 5, "time": "1970-01-01T00:00:00.000000Z", \
"label": "x", "value": 1}, {"commit_ts": 4, "deleted": true}], "next": null, "oldest_ts": 3}}\\n'
    """
    versions = b", ".join(map(_version, page.versions))
    following = b"null" if page.next is None else b"%d" % page.next
    return b'{"status": "Ok", "result": {"key": %b, "versions": [%b], "next": %b, "oldest_ts": %d}}\n' % (
        json_string(key),
        versions,
        following,
        page.oldest_ts,
    )


def _version(version: KeyVersion) -> bytes:
    known = b""
    if version.time_us is not None:
        known += b', "time": "%b"' % encode_time(version.time_us).encode()
    if version.label is not None:
        known += b', "label": %b' % _encode(version.label).encode()
    held = b'"deleted": true' if version.value is None else b'"value": %b' % version.value
    return b'{"commit_ts": %d%b, %b}' % (version.commit_ts, known, held)


def transactions_reply(transactions: Sequence[OpenTransaction]) -> bytes:
    """The reply to TRANSACTIONS; those come with the oldest snapshot first."""
    listed = [
        {
            "transaction": it.id,
            "age_s": round(it.age_s, 3),
            "start_ts": it.start_ts,
            "isolation": it.isolation,
            "read_only": it.read_only,
            "label": it.label,
            "client": it.client,
            "keys_written": it.keys_written,
            "read_set_bytes": it.read_set_bytes,
            "pinned_bytes": it.pinned_bytes,
        }
        for it in transactions[:TRANSACTIONS_MAX]
    ]
    return result_reply({"transactions": listed, "total": len(transactions)})


def noticed(reply: bytes, notice: str) -> bytes:
    """The reply of an Ok, with a word for people in it.

    >>> noticed(key_reply(b"a"), "hurry")
    b'{"status": "Ok", "result": {"key": "a"}, "message": "hurry"}\\n'
    """
    return b'%b, "message": %b}\n' % (reply.removesuffix(b"}\n"), _encode(notice).encode())


def backup_reply(commit_ts: int, page: Page, *, may_expire: bool = False) -> bytes:
    """One of the replies to BACKUP; the last one's `next` is null.

    `may_expire`: whether some of the items, here or in others of the replies, may be there until some moment only.

    >>> backup_reply(42, Page([(b"a", b"1")], None))
    b'{"status": "Ok", "result": {"commit_ts": 42, "items": [{"key": "a", "value": 1}], "next": null}}\\n'
    """
    items = b", ".join([b'{"key": %b, "value": %b}' % (json_string(key), value) for key, value in page.items])
    following = b"null" if page.next is None else json_string(page.next)
    known = b', "may_expire": true' + _expires(page.items) if may_expire else b""
    return b'{"status": "Ok", "result": {"commit_ts": %d, "items": [%b]%b, "next": %b}}\n' % (
        commit_ts,
        items,
        known,
        following,
    )


def _expires(items: Iterable[tuple[bytes, bytes | None]]) -> bytes:
    """The member that tells until when those of the items are there that go by themselves; nothing if none does."""
    found = [
        b'%b: "%b"' % (json_string(key), encode_time(value.expires_us).encode())
        for key, value in items
        if isinstance(value, Expiring)
    ]
    return b', "expires": {%b}' % b", ".join(found) if found else b""


def changes_reply(commit: CommittedWrites) -> bytes:
    """One of the lines that CHANGES answers with: a commit."""
    return b'{"status": "Ok", "result": %b}\n' % changes_text(commit)


def changes_text(commit: CommittedWrites) -> bytes:
    """A commit as JSON. Its time is left out where it is not known, its label where it had none.

    And `expires`, the times until which keys are there, where all of them stay.

    >>> changes_text(CommittedWrites(58, 1_795_425_757_123_456, None, ((b"a", b"1.0"), (b"b", None))))
    b'{"commit_ts": 58, "time": "2026-11-23T09:22:37.123456Z", \
"changes": [{"key": "a", "value": 1.0}, {"key": "b", "deleted": true}]}'
    """
    known = b', "time": "%b"' % encode_time(commit.time_us).encode() if commit.time_us else b""
    if commit.label is not None:
        known += b', "label": %b' % _encode(commit.label).encode()
    changes, expires = b", ".join(map(_change, commit.writes)), _expires(commit.writes)
    return b'{"commit_ts": %d%b, "changes": [%b]%b}' % (commit.commit_ts, known, changes, expires)


def _change(write: tuple[bytes, bytes | None]) -> bytes:
    key, value = write
    held = b'"deleted": true' if value is None else b'"value": %b' % value
    return b'{"key": %b, %b}' % (json_string(key), held)


def error_reply(error: Error) -> bytes:
    """The reply that tells of an error: its code, whether to retry, the evidence, and the message for people."""
    result, message = _encode(error.to_result()), _encode(error.message)
    # A message may quote what was sent; half a character of it must not make the reply unsendable.
    return f'{{"status": "Error", "result": {result}, "message": {message}}}\n'.encode(errors="replace")
