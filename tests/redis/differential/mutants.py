"""Deliberate bugs of the Redis layer, which the machine must find: each a replacement in one file of the package.

The first six are what an earlier machine missed.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]

_ROOM = "server/redis/"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug: in `file` of the package `old` becomes `new`."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = (
    Mutant(
        "EXPIRE GT takes a key that stays",
        _ROOM + "expiring.py",
        'return not conditions & {b"XX", b"GT"}',
        'return not conditions & {b"XX"}',
    ),
    Mutant(
        "EXPIRE GT takes an equal moment",
        _ROOM + "expiring.py",
        "at_ms <= current_ms:",
        "at_ms < current_ms:",
    ),
    Mutant(
        "COPY loses the expiry",
        _ROOM + "keys.py",
        '    space.put(target, value)\n    return True\n\n\n@command("move"',
        '    space.put(target, bytes(value))\n    return True\n\n\n@command("move"',
    ),
    Mutant(
        "SETRANGE with nothing creates a key",
        _ROOM + "strings.py",
        "    if not part:\n",
        "    if not part and old is not None:\n",
    ),
    Mutant(
        "WATCH misses the very next commit",
        _ROOM + "watching.py",
        "any(newest_ts(key) > ts for",
        "any(newest_ts(key) > ts + 1 for",
    ),
    Mutant(
        "a plain SET keeps the time to live",
        _ROOM + "setting.py",
        "        session.space.put(arguments[1], value_of(arguments[2]))\n        return resp.OK\n    return _put_with",
        "        put_kept(session, arguments[1], value_of(arguments[2]), session.space.get(arguments[1]))\n"
        "        return resp.OK\n    return _put_with",
    ),
    Mutant(
        "DECR goes below 64 bits",
        _ROOM + "counters.py",
        "    if not INT64_MIN <= total <= INT64_MAX:\n",
        "    if total > INT64_MAX:\n",
    ),
    Mutant(
        "DECRBY takes the number that has no negative",
        _ROOM + "counters.py",
        "    if by == INT64_MIN:\n",
        "    if by < INT64_MIN:\n",
    ),
    Mutant(
        "GETEX PERSIST doesn't",
        _ROOM + "setting.py",
        'elif b"PERSIST" in options.flags and',
        'elif b"NEVER" in options.flags and',
    ),
    Mutant(
        "RENAME loses the expiry",
        _ROOM + "keys.py",
        "    space.put(target, value)\n    space.delete(source)\n",
        "    space.put(target, bytes(value))\n    space.delete(source)\n",
    ),
    Mutant(
        "INCR loses the time to live",
        _ROOM + "counters.py",
        'put_kept(session, key, b"%d" % total, old)',
        'session.space.put(key, b"%d" % total)',
    ),
    Mutant(
        "EXEC runs after an error",
        _ROOM + "transactions.py",
        "    if is_dirty:\n",
        "    if False:\n",
    ),
    Mutant(
        "MSETNX is half applied",
        _ROOM + "strings.py",
        "    if any(session.space.get(key) is not None for key in arguments[1::2]):\n        return resp.ZERO\n",
        "    if any(session.space.get(key) is not None for key in arguments[1::2]):\n"
        "        for key, value in zip(arguments[1::2], arguments[2::2], strict=True):\n"
        "            if session.space.get(key) is None:\n"
        "                session.space.put(key, value_of(value))\n"
        "        return resp.ZERO\n",
    ),
    Mutant(
        "EXPIRE LT refuses a key that stays",
        _ROOM + "expiring.py",
        'return not conditions & {b"XX", b"GT"}',
        'return not conditions & {b"XX", b"GT", b"LT"}',
    ),
    Mutant(
        "EXPIRETIME rounds a half down",
        _ROOM + "expiring.py",
        "(milliseconds + _SECOND_MS // 2) //",
        "(milliseconds + _SECOND_MS // 2 - 1) //",
    ),
    Mutant(
        "DISCARD leaves the watch",
        _ROOM + "session.py",
        "        self.queue, self.is_dirty = None, False\n        self.unwatch()\n",
        "        self.queue, self.is_dirty = None, False\n",
    ),
    Mutant(
        "a key watched twice is watched from the second time on",
        _ROOM + "watching.py",
        "            if key in self.there or key in self._absent:\n                continue\n",
        "",
    ),
    Mutant(
        "SET XX GET doesn't tell what there was",
        _ROOM + "setting.py",
        "    text = value_of(arguments[2])\n    if expires_ms",
        '    told = None if b"XX" in flags else told\n    text = value_of(arguments[2])\n    if expires_ms',
    ),
    Mutant(
        "a deletion or an expiry doesn't lose the watch",
        _ROOM + "watching.py",
        "if newest_ts(key) != commit_ts:",
        "if newest_ts(key) != commit_ts and self._store.newest(key) is not None:",
    ),
    Mutant(
        "UNWATCH leaves the watch",
        _ROOM + "transactions.py",
        "    session.unwatch()\n",
        "",
    ),
    Mutant(
        "APPEND loses the expiry",
        _ROOM + "strings.py",
        "must_fit(session, len(text))\n    put_kept(session, arguments[1], value_of(text), old)\n",
        "must_fit(session, len(text))\n    session.space.put(arguments[1], value_of(text))\n",
    ),
    Mutant(
        "BITOP keeps the expiry of what it overwrites",
        _ROOM + "bits.py",
        "        session.space.put(target, value_of(text))\n",
        "        put_kept(session, target, value_of(text), session.space.get(target))\n",
    ),
)
