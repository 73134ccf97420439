"""What a transaction must see of itself, whoever else there was.

append x 1, r x [.. 1]       its own write, last
r x [5], r x [5]             the same again
r x [5], append x 1          not yet what it only wrote later
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from mvcc_kv.stress.checker.identities import identities, identity
from mvcc_kv.stress.history import Micro

__all__ = ["Wrong", "shown", "wrong_inside"]

_VALUES_SHOWN = 12


class Wrong(NamedTuple):
    """A transaction that is at odds with itself: what it should have read at `key`, and what it did."""

    kind: Literal["internal", "future-read", "duplicate-elements"]
    transaction: int
    key: Any
    expected: str
    read: str


def wrong_inside(transaction: int, micros: Sequence[Micro], *, is_list: bool) -> Iterator[Wrong]:
    """Where what the transaction read contradicts what it itself did before or after."""
    if not _touches_a_key_twice(micros):
        return
    searches = (_of_lists, _of_later_appends) if is_list else (_of_registers,)
    for search in searches:
        found = search(micros)
        if found is not None:
            kind, key, expected, read = found
            yield Wrong(kind, transaction, key, expected, shown(read))


def _touches_a_key_twice(micros: Sequence[Micro]) -> bool:
    try:
        return len({key for _, key, _ in micros}) < len(micros)
    except TypeError:
        return True


_Found = tuple[Literal["internal", "future-read"], Any, str, Any]


def _of_lists(micros: Sequence[Micro]) -> _Found | None:
    """A read is the last read with what was appended since behind it, or ends with that if there was none."""
    base: dict[Any, list[Any] | None] = {}
    since: dict[Any, list[Any]] = defaultdict(list)
    for f, raw_key, raw in micros:
        key = identity(raw_key)
        if f == "append":
            since[key].append(identity(raw))
            continue
        value, known, own = identities(raw or []), base.get(key), since[key]
        if known is not None and value != known + own:
            return "internal", raw_key, shown(known + own), raw
        if own and value[-len(own) :] != own:
            return "internal", raw_key, f"a list that ends with {shown(own)}", raw
        base[key], since[key] = value, []
    return None


def _of_later_appends(micros: Sequence[Micro]) -> _Found | None:
    later: dict[Any, list[Any]] = defaultdict(list)
    for f, raw_key, raw in reversed(micros):
        key = identity(raw_key)
        if f == "append":
            later[key].append(identity(raw))
            continue
        seen = identities(raw or []) if later[key] else []
        early = next((own for own in later[key] if own in seen), None)
        if early is not None:
            return "future-read", raw_key, f"a list without {early!r}, which it appended later", raw
    return None


def _of_registers(micros: Sequence[Micro]) -> _Found | None:
    state: dict[Any, Any] = {}
    later = {(identity(key), identity(value)): at for at, (f, key, value) in enumerate(micros) if f == "w"}
    for at, (f, raw_key, raw) in enumerate(micros):
        key, value = identity(raw_key), None if raw is None else identity(raw)
        if f == "r" and key in state and state[key] != value:
            return "internal", raw_key, shown(state[key]), raw
        if f == "r" and later.get((key, value), -1) > at:
            return "future-read", raw_key, f"not {raw!r}, which it wrote later", raw
        state[key] = value
    return None


def shown(value: Any) -> str:
    """The value for people; of a long list its end."""
    if isinstance(value, list) and len(value) > _VALUES_SHOWN:
        return f"[... {', '.join(map(repr, value[-_VALUES_SHOWN:]))}]"
    return repr(value) if value is not None else "nothing"
