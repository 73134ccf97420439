"""Which keys there are: KEYS, SCAN, RANDOMKEY.

Keys are in order, so a pattern that begins with a text looks only at the keys that do:

    SCAN 0 MATCH user:*:name COUNT 100       the first hundred of user:..., those among them that match

A page of SCAN holds at most `COUNT_MAX` keys, however many it was asked for. Its cursor stands for the key where it
goes on, see `cursors.py`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from mvcc_kv.api import KeyRange
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.globbing import Matches, literal_prefix, matcher
from mvcc_kv.server.redis.keyspace import EVERYTHING
from mvcc_kv.server.redis.session import RedisSession

__all__: list[str] = []

COUNT_MAX = 10_000
COUNT = 10
PAGE_KEYS = 1_000
DRAWS_MAX = 100
_CURSOR = re.compile(rb"[+-]?[0-9]+\Z|\Z")
_INVALID_CURSOR = "ERR invalid cursor"


@command("keys", 2, "readonly", summary="Returns all key names that match a pattern.")
def keys(session: RedisSession, arguments: list[bytes]) -> bytes:
    wanted, matches = _chosen(arguments[1])
    return resp.array([resp.bulk(key) for key in _walk(session, wanted) if matches(key)])


def _chosen(pattern: bytes) -> tuple[KeyRange, Matches]:
    """The range that holds all keys of a pattern, and which of its keys they are."""
    if pattern == b"*":
        return EVERYTHING, _every
    prefix, is_all = literal_prefix(pattern)
    return KeyRange(prefix, end=prefix + b"\0" if is_all else None), matcher(pattern)


def _every(_: bytes) -> bool:
    return True


def _walk(session: RedisSession, wanted: KeyRange) -> Iterator[bytes]:
    """The keys of the range, in order."""
    while True:
        page = session.space.page(wanted, PAGE_KEYS)
        session.effort += len(page.items)
        for key, _ in page.items:
            yield key
        if page.next is None:
            return
        wanted = wanted.resumed(page.next, reverse=False)


@command("scan", -2, "readonly touches_arbitrary_keys", since="2.8.0", summary="Iterates over the key names.")
def scan(session: RedisSession, arguments: list[bytes]) -> bytes:
    start = _place(session, arguments[1])
    count, pattern, kind = _scan_options(arguments[2:])
    wanted, matches = _chosen(pattern)
    if kind != b"string":
        return _page(0, [])
    page = session.space.page(KeyRange(wanted.prefix, start, wanted.end), min(count, COUNT_MAX))
    session.effort = len(page.items)
    cursor = 0 if page.next is None else session.house.cursors.keep(page.next)
    return _page(cursor, [key for key, _ in page.items if matches(key)])


def _place(session: RedisSession, text: bytes) -> bytes:
    """The key where the scan goes on. Raises Redis's failure for what is no number, or not known any more."""
    if _CURSOR.match(text) is None:
        raise Failure(_INVALID_CURSOR)
    cursor = int(text[:40] or b"0")
    if cursor == 0:
        return b""
    key = session.house.cursors.find(cursor)
    if key is None:
        raise Failure(_INVALID_CURSOR)
    return key


def _scan_options(words: list[bytes]) -> tuple[int, bytes, bytes]:
    """`[COUNT n] [MATCH pattern] [TYPE type]`: those three, the type in lower case."""
    count, pattern, kind = COUNT, b"*", b"string"
    for at in range(0, len(words), 2):
        option, value = words[at].upper(), words[at + 1 : at + 2]
        if option == b"COUNT" and value:
            count = integer(value[0])
            if count < 1:
                raise Failure(SYNTAX)
        elif option == b"MATCH" and value:
            pattern = value[0]
        elif option == b"TYPE" and value:
            kind = value[0].lower()
        else:
            raise Failure(SYNTAX)
    return count, pattern, kind


def _page(cursor: int, keys: list[bytes]) -> bytes:
    return resp.array([resp.bulk(b"%d" % cursor), resp.array(map(resp.bulk, keys))])


@command("randomkey", 1, "readonly touches_arbitrary_keys", summary="Returns a random key name.")
def random_key(session: RedisSession, _: list[bytes]) -> bytes:
    """Each key is as likely as another: places are drawn until there is a key at one.

    If that takes too long, because nearly all of them are places of deleted keys, it is the next one after a place.
    """
    space = session.space
    for _draw in range(DRAWS_MAX):
        key = space.key_at(random.random())
        if key is not None:
            return resp.bulk(key)
    key = next(_walk(session, EVERYTHING), None)
    return resp.null(session.proto) if key is None else resp.bulk(key)
