"""A store each of whose operations is a step of the interleaver's.

    StoreDatabase                str and objects: what the code under test holds
         |
    SteppedStore                 waits until it is this client's turn, and notes what came of it   (this module)
         |
    the store                    embedded, or a server's

It sits below the `Database`, so what is stepped is what is really asked of the store, page by page, and `run`,
`attempts` and `@transactional` are those that the application uses.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NoReturn, TypeVar

from mvcc_kv.api import (
    ChangeStream,
    Isolation,
    KeyRange,
    OpenTransaction,
    Page,
    Store,
    StoreTransaction,
    TransactionOptions,
    VersionPage,
)
from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.schedule.interleaver import Interleaver, Operation, Touch
from mvcc_kv.stress.script import key_text

__all__ = ["SteppedStore"]

T = TypeVar("T")

_TEXT_CHARACTERS_MAX = 60
_PAGE_ITEMS = (100, 1000)  # what a scan without a limit asks for, at first and then


class SteppedStore:
    """The store, in steps. `levels`: clients whose transactions are to run at another level than they ask for."""

    def __init__(self, store: Store, interleaver: Interleaver, levels: Mapping[int, Isolation]) -> None:
        self._store = store
        self._interleaver = interleaver
        self._levels = levels
        self._open: dict[int | None, list[SteppedTransaction]] = {}

    def get(self, key: bytes) -> bytes | None:
        return self._step(f"GET {_key(key)}", Touch.SEES, lambda: self._store.get(key), _value)

    def get_with_ttl(self, key: bytes) -> tuple[bytes, float | None] | None:
        return self._step(f"GET {_key(key)}", Touch.SEES, lambda: self._store.get_with_ttl(key), _value_of)

    def put(self, key: bytes, value: bytes, *, ttl_s: float | None = None) -> None:
        def write() -> None:
            self._store.put(key, value, ttl_s=ttl_s)

        self._step(f"PUT {_key(key)} {_value(value)}", Touch.COMMITS, write, _ok)

    def delete(self, key: bytes) -> bool:
        return self._step(f"DEL {_key(key)}", Touch.COMMITS, lambda: self._store.delete(key), _deleted)

    def add(self, key: bytes, by: bytes) -> bytes:
        return self._step(f"ADD {_key(key)} {_value(by)}", Touch.COMMITS, lambda: self._store.add(key, by), _value)

    def scan(self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False) -> Page:
        def read() -> Page:
            return self._store.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only)

        return self._step(_scan(keys, limit, reverse), Touch.SEES, read, lambda page: _page(page, keys_only))

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None) -> VersionPage:
        def read() -> VersionPage:
            return self._store.history(key, limit=limit, before_ts=before_ts)

        return self._step(f"HISTORY {_key(key)}", Touch.ANYTHING, read, _history)

    def changes(self, prefix: bytes = b"", from_ts: int | None = None) -> ChangeStream:
        """The feed, outside of clients. Raises `BadRequestError` in one: waiting for a commit is no step yet."""
        if self._interleaver.running is None:
            return self._store.changes(prefix, from_ts)
        return _refuse_changes()

    def begin(self, options: TransactionOptions) -> SteppedTransaction:
        """Open a transaction. It waits for no turn: those are advice, and without them more can happen, not less."""
        actor = self._interleaver.running
        number = None if actor is None else actor.number
        isolation = options.isolation if number is None else self._levels.get(number, options.isolation)
        options = replace(options, isolation=isolation, turn=None, lost=0)
        tx = self._step(_start(options), Touch.SEES, lambda: self._store.begin(options), _started)
        opened = self._open.setdefault(number, [])
        opened.append(SteppedTransaction(tx, self._interleaver, opened))
        return opened[-1]

    def transactions(self) -> list[OpenTransaction]:
        return self._step("TRANSACTIONS", Touch.ANYTHING, self._store.transactions, lambda them: f"{len(them)} open")

    def kill(self, transaction_id: int) -> bool:
        return self._step(f"KILL {transaction_id}", Touch.ANYTHING, lambda: self._store.kill(transaction_id), str)

    def stats(self) -> dict[str, Any]:
        return self._step("STATS", Touch.ANYTHING, self._store.stats, lambda _: "")

    def _step(self, text: str, touch: Touch, do: Callable[[], T], answer: Callable[[T], str]) -> T:
        actor = self._interleaver.running
        is_inside = actor is not None and bool(self._open.get(actor.number)) and not text.startswith("START")
        said = f"{text} (outside its transaction)" if is_inside else text
        return self._interleaver.step(Operation(said, touch), do, answer)


class SteppedTransaction:
    """An open transaction, in steps. `opened`: those that its client has open, this one among them."""

    def __init__(self, tx: StoreTransaction, interleaver: Interleaver, opened: list[SteppedTransaction]) -> None:
        self._tx = tx
        self._interleaver = interleaver
        self._opened = opened
        self._has_written = False

    @property
    def start_ts(self) -> int:
        return self._tx.start_ts

    @property
    def commit_ts(self) -> int | None:
        return self._tx.commit_ts

    @property
    def is_doomed(self) -> bool:
        return self._step("(has it lost?)", Touch.SEES, lambda: self._tx.is_doomed, lambda it: "yes" if it else "no")

    @property
    def is_contended(self) -> bool:
        return self._tx.is_contended

    @property
    def wrote_turn(self) -> bool:
        return self._tx.wrote_turn

    def get(self, key: bytes, *, tracked: bool = True) -> bytes | None:
        return self._step(f"GET {_key(key)}", Touch.NOTHING, lambda: self._tx.get(key, tracked=tracked), _value)

    def get_with_ttl(self, key: bytes, *, tracked: bool = True) -> tuple[bytes, float | None] | None:
        def read() -> tuple[bytes, float | None] | None:
            return self._tx.get_with_ttl(key, tracked=tracked)

        return self._step(f"GET {_key(key)}", Touch.NOTHING, read, _value_of)

    def put(self, key: bytes, value: bytes, *, ttl_s: float | None = None) -> None:
        def write() -> None:
            self._tx.put(key, value, ttl_s=ttl_s)

        self._has_written = True
        self._step(f"PUT {_key(key)} {_value(value)}", Touch.NOTHING, write, _ok)

    def delete(self, key: bytes) -> bool:
        self._has_written = True
        return self._step(f"DEL {_key(key)}", Touch.NOTHING, lambda: self._tx.delete(key), _deleted)

    def add(self, key: bytes, by: bytes) -> None:
        self._has_written = True
        self._step(f"ADD {_key(key)} {_value(by)}", Touch.NOTHING, lambda: self._tx.add(key, by), _ok)

    def scan(
        self, keys: KeyRange, *, limit: int, reverse: bool = False, keys_only: bool = False, tracked: bool = True
    ) -> Page:
        def read() -> Page:
            return self._tx.scan(keys, limit=limit, reverse=reverse, keys_only=keys_only, tracked=tracked)

        return self._step(_scan(keys, limit, reverse), Touch.NOTHING, read, lambda page: _page(page, keys_only))

    def history(self, key: bytes, *, limit: int, before_ts: int | None = None, tracked: bool = True) -> VersionPage:
        def read() -> VersionPage:
            return self._tx.history(key, limit=limit, before_ts=before_ts, tracked=tracked)

        return self._step(f"HISTORY {_key(key)}", Touch.ANYTHING, read, _history)

    def commit(self) -> int:
        touch = Touch.COMMITS if self._has_written else Touch.NOTHING
        return self._last_step("COMMIT", touch, self._tx.commit, lambda ts: f"at {ts}")

    def rollback(self) -> None:
        self._last_step("ROLLBACK", Touch.NOTHING, self._tx.rollback, _ok)

    def _last_step(self, text: str, touch: Touch, do: Callable[[], T], answer: Callable[[T], str]) -> T:
        def end() -> T:
            if self in self._opened:
                self._opened.remove(self)
            return do()

        return self._step(text, touch, end, answer)

    def _step(self, text: str, touch: Touch, do: Callable[[], T], answer: Callable[[T], str]) -> T:
        is_one_of_many = len(self._opened) > 1 and self in self._opened
        said = f"{text} (transaction {self._opened.index(self) + 1})" if is_one_of_many else text
        return self._interleaver.step(Operation(said, touch), do, answer)


def _refuse_changes() -> NoReturn:
    raise BadRequestError(
        "a client can't follow changes() while it is interleaved; open the feed in the setup and read it in a check"
    )


# In a golden script's words


def _key(key: bytes) -> str:
    return key_text(key.decode())


def _value(text: bytes | None) -> str:
    return "not there" if text is None else _cut(text.decode())


def _value_of(found: tuple[bytes, float | None] | None) -> str:
    return _value(None if found is None else found[0])


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_CHARACTERS_MAX else f"{text[: _TEXT_CHARACTERS_MAX - 3]}..."


def _ok(_: object) -> str:
    return "Ok"


def _deleted(was_there: bool) -> str:
    return "Ok" if was_there else "not there"


def _start(options: TransactionOptions) -> str:
    said: dict[str, Any] = {"isolation": options.isolation} if options.isolation != "snapshot" else {}
    said |= {"read_only": True} if options.read_only else {}
    said |= {"at": options.at} if options.at is not None else {}
    said |= {"label": options.label} if options.label is not None else {}
    return f"START {json.dumps(said, ensure_ascii=False)}" if said else "START"


def _started(tx: StoreTransaction) -> str:
    return f"at {tx.start_ts}"


def _scan(keys: KeyRange, limit: int, reverse: bool) -> str:
    said: dict[str, Any] = {"prefix": keys.prefix.decode()} if keys.prefix else {}
    said |= {"start": keys.start.decode(errors="replace")} if keys.start else {}
    said |= {"end": keys.end.decode(errors="replace")} if keys.end is not None else {}
    said |= {"limit": limit} if limit not in _PAGE_ITEMS else {}
    said |= {"reverse": True} if reverse else {}
    return f"SCAN {json.dumps(said, ensure_ascii=False)}" if said else "SCAN"


def _page(page: Page, keys_only: bool) -> str:
    items = (_key(key) if keys_only else f"{_key(key)} = {_value(value)}" for key, value in page.items)
    return f"[{_cut(', '.join(items))}]" + ("" if page.next is None else ", and more")


def _history(page: VersionPage) -> str:
    return _cut(", ".join(f"{'x' if it.value is None else _value(it.value)}@{it.commit_ts}" for it in page.versions))
