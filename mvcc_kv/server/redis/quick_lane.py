"""The quick lane's commands, one by one, as `quick.run_in_python` has them executed: on the index itself.

Each looks at all that it needs before it changes anything. Where it finds more to do than it knows, it raises `Stop`.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol

from mvcc_kv.engine.chains import Version, visible
from mvcc_kv.engine.lanes import Permit, Permits, Written
from mvcc_kv.engine.transaction import Transaction
from mvcc_kv.errors import Error
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer_of

__all__ = ["Client", "QuickLane", "Stop"]

_GETS, _SETS, _INCRS, _PINGS, _HITS, _NEW_KEYS, _WATCHES, _EXECS, _STARTS, _COMMITS, _OWN_GETS = range(11)
_DIGITS_MAX = 18
_ARGUMENTS_MAX = 17
_QUEUED_MAX = 32
_WRITTEN_BYTES_MAX = 4096  # of a key or a value that another than the lane may have written
_ESCAPED = frozenset(range(0x20)) | frozenset(range(0x7F, 0x100)) | frozenset(b'"\\')
_PLAIN = bytes(set(range(0x100)) - _ESCAPED)


class Client(Protocol):
    """By whom the lane begins and ends transactions, and where it finds the open one; see `Seat`."""

    @property
    def transaction(self) -> Transaction | None: ...
    def begin(self, permits: Permits, start_ts: int, /) -> Transaction | None: ...
    def end(self, permits: Permits, commit_ts: int, /) -> bool: ...


class Stop(Exception):
    """This command is not for the lane."""


class QuickLane:
    """What a run has come to. `counts`: gets, sets, ..., as they stand in an `Outcome`.

    `free_bytes`: of the reply to the last command, what comes before it tells of a commit.
    """

    __slots__ = (
        "_client",
        "_heads",
        "_is_asked",
        "_may_write",
        "_permits",
        "_proto",
        "_read_ts",
        "_superseded",
        "_transaction",
        "_watched",
        "_writes",
        "commit_ts",
        "counts",
        "free_bytes",
        "transactions",
    )

    def __init__(
        self,
        heads: MutableMapping[bytes, Version],
        commit_ts: int,
        permits: Permits,
    ) -> None:
        self._heads = heads
        self._read_ts = 0
        self._permits = permits
        self._is_asked = self._may_write = False
        self._superseded: list[tuple[int, int, bytes, int]] | None = None
        self._writes: list[Written] | None = None
        self.commit_ts = commit_ts
        self.counts = [0] * 11
        self.transactions: list[tuple[int, int]] = []
        self.free_bytes = 0
        self._proto = 2
        self._watched: dict[bytes, int] | None = None
        self._client: Client | None = None
        self._transaction: Transaction | None = None

    def begin(self, seen_ts: int, proto: int, watched: dict[bytes, int] | None, client: Client | None) -> None:
        """Go on with another client's commands."""
        self._read_ts = self.commit_ts if self._may_write and not self.is_logged else seen_ts
        self._proto = proto
        self._watched = watched
        self._client = client
        self._transaction = None if client is None else client.transaction

    @property
    def is_logged(self) -> bool:
        """Whether what was written is for the log."""
        return self._writes is not None

    def _is_permitted(self) -> bool:
        """Whether this may write; asks for it the first time."""
        if not self._is_asked:
            self._is_asked = True
            self._take(self._permits())
        return self._may_write

    def _is_permitted_beside(self) -> bool:
        """The same where a snapshot is to be minded."""
        if not self._is_asked or (self._may_write and self._superseded is None):
            self._is_asked = True
            self._take(self._permits.beside())
        return self._may_write

    def _take(self, permit: Permit | None) -> None:
        self._may_write = permit is not None
        if permit is not None:
            self._superseded, self._writes = permit

    def execute(self, commands: list[list[bytes]], at: int) -> tuple[bytes, int]:
        """The reply to the command there, and how many commands that took. Raises `Stop`."""
        arguments = commands[at]
        name = arguments[0].upper()
        self.free_bytes = 0
        if self._transaction is not None:
            return self._execute_within(self._transaction, name, arguments), 1
        if name == b"MULTI" and len(arguments) == 1:
            return self._multi(commands, at)
        return self._execute(name, arguments), 1

    def _execute(self, name: bytes, arguments: list[bytes]) -> bytes:
        if name == b"GET" and len(arguments) == 2:
            return self._get(arguments[1])
        if name == b"SET" and len(arguments) == 3:
            return self._set(arguments[1], arguments[2])
        if name == b"INCR" and len(arguments) == 2:
            return self._incr(arguments[1])
        if name == b"WATCH" and 2 <= len(arguments) <= _ARGUMENTS_MAX:
            return self._watch(arguments[1:])
        if name == b"PING" and len(arguments) == 1:
            self.counts[_PINGS] += 1
            return resp.PONG
        if name == b"START" and len(arguments) == 1:
            return self._start()
        raise Stop

    def _get(self, key: bytes) -> bytes:
        version = visible(self._heads.get(key), self._read_ts)
        value = None if version is None else version[1]
        text = self._told(value)
        self.counts[_GETS] += 1
        self.counts[_HITS] += value is not None
        return text

    def _told(self, value: bytes | None) -> bytes:
        return resp.null(self._proto) if value is None else resp.bulk(_raw(value))

    def _set(self, key: bytes, raw: bytes) -> bytes:
        head = self._head_for_writing(key)
        self._commit(key, _json_string(raw), head)
        self.counts[_SETS] += 1
        return resp.OK

    def _incr(self, key: bytes) -> bytes:
        head = self._head_for_writing(key)
        text = b"0" if head is None else _raw(head[1])
        number = integer_of(text)
        if number is None or len(text.lstrip(b"-")) > _DIGITS_MAX:
            raise Stop
        self._commit(key, b"%d" % (number + 1), head)
        self.counts[_INCRS] += 1
        return resp.integer(number + 1)

    def _head_for_writing(self, key: bytes) -> tuple[int, bytes, Version | None] | None:
        if not key.isascii() or not self._is_permitted():
            raise Stop
        head = self._heads.get(key)
        if head is None:
            return None
        commit_ts, value, older = head
        if type(value) is not bytes:
            raise Stop  # deleted, or it expires
        return commit_ts, value, older

    def _watch(self, keys: list[bytes]) -> bytes:
        """Note each key's newest commit, if all have a value that can be seen; to watch what is absent takes more."""
        if self._watched is None:
            raise Stop
        heads = [self._heads.get(key) for key in keys]
        for head in heads:
            if head is None or head[0] > self._read_ts or type(head[1]) is not bytes:
                raise Stop
        for key, head in zip(keys, heads, strict=True):
            assert head is not None
            self._watched.setdefault(key, head[0])
        self.counts[_WATCHES] += 1
        return resp.OK

    def _multi(self, commands: list[list[bytes]], at: int) -> tuple[bytes, int]:
        """SETs up to EXEC, of keys that are there and differ, as one commit."""
        if self._watched is None or not self._is_permitted():
            raise Stop
        writes: dict[bytes, bytes] = {}
        for arguments in commands[at + 1 : at + 1 + _QUEUED_MAX]:
            name = arguments[0].upper()
            if name == b"EXEC" and len(arguments) == 1 and writes:
                return self._exec(writes), len(writes) + 2
            if name != b"SET" or len(arguments) != 3 or arguments[1] in writes:
                raise Stop
            if self._head_for_writing(arguments[1]) is None:
                raise Stop
            writes[arguments[1]] = _json_string(arguments[2])
        raise Stop

    def _exec(self, writes: dict[bytes, bytes]) -> bytes:
        assert self._watched is not None
        is_lost = any(key not in self._heads or self._heads[key][0] != ts for key, ts in self._watched.items())
        self._watched.clear()
        self.counts[_EXECS] += 1
        queued = resp.OK + resp.QUEUED * len(writes)
        if is_lost:
            return queued + resp.null_array(self._proto)
        self.free_bytes = len(queued)
        self._commit_all(writes)
        self._note_exec(writes)
        return queued + resp.array([resp.OK] * len(writes))

    def _commit_all(self, writes: dict[bytes, bytes]) -> None:
        """One commit of keys that are all there."""
        self.commit_ts = self._read_ts = commit_ts = self.commit_ts + 1
        heads, superseded = self._heads, self._superseded
        for key, value in writes.items():
            head = heads[key]
            if superseded is not None:
                superseded.append((commit_ts, head[0], key, len(head[1] or b"")))
            heads[key] = (commit_ts, value, None if superseded is None else head)

    def _note_exec(self, writes: dict[bytes, bytes]) -> None:
        if self._superseded is not None:
            self.transactions.append((self.commit_ts, len(writes)))
        if self._writes is not None:
            self._writes.append(writes)
        self.counts[_SETS] += len(writes)

    # Between START and COMMIT

    def _start(self) -> bytes:
        if self._client is None or not self._is_permitted_beside():
            raise Stop
        self._transaction = self._client.begin(self._permits, self._read_ts)
        if self._transaction is None:
            raise Stop
        self.counts[_STARTS] += 1
        return resp.integer(self._read_ts)

    def _execute_within(self, transaction: Transaction, name: bytes, arguments: list[bytes]) -> bytes:
        try:
            if name == b"GET" and len(arguments) == 2:
                return self._get_within(transaction, arguments[1])
            if name == b"SET" and len(arguments) == 3:
                return self._set_within(transaction, arguments[1], arguments[2])
            if name == b"COMMIT" and len(arguments) == 1:
                return self._end(transaction)
        except Error:
            pass  # it has come to an end; the session says why
        raise Stop

    def _get_within(self, transaction: Transaction, key: bytes) -> bytes:
        text = self._told(transaction.get(key))
        self.counts[_GETS] += 1
        self.counts[_OWN_GETS] += 1
        return text

    def _set_within(self, transaction: Transaction, key: bytes, raw: bytes) -> bytes:
        if not key.isascii():
            raise Stop
        transaction.put(key, _json_string(raw))
        self.counts[_SETS] += 1
        return resp.OK

    def _end(self, transaction: Transaction) -> bytes:
        """COMMIT of keys that are all there, and as they were; or of none."""
        if not self._is_permitted_beside() or len(transaction.writes) > _QUEUED_MAX:
            raise Stop
        writes = {key: self._kept(key, value, transaction.start_ts) for key, value in transaction.writes.items()}
        commit_ts = self.commit_ts + 1 if writes else transaction.start_ts
        assert self._client is not None
        if not self._client.end(self._permits, commit_ts):
            raise Stop
        self._transaction = None
        self.counts[_COMMITS] += 1
        if writes:
            self._commit_all(writes)
            if self._writes is not None:
                self._writes.append(next(iter(writes.items())) if len(writes) == 1 else list(writes.items()))
        return resp.integer(commit_ts)

    def _kept(self, key: bytes, value: bytes | None, start_ts: int) -> bytes:
        """What was put for the key, if that can be committed here."""
        head = self._heads.get(key)
        if head is None or head[0] > start_ts or type(head[1]) is not bytes:
            raise Stop
        if type(value) is not bytes or max(len(key), len(value)) > _WRITTEN_BYTES_MAX:
            raise Stop
        return value

    # Commits

    def _commit(self, key: bytes, value: bytes, head: tuple[int, bytes, Version | None] | None) -> None:
        """One commit of one key, on top of its head."""
        self.commit_ts = self._read_ts = commit_ts = self.commit_ts + 1
        if self._writes is not None:
            self._writes.append((key, value))
        if head is None:
            self.counts[_NEW_KEYS] += 1
        elif self._superseded is not None:
            self._superseded.append((commit_ts, head[0], key, len(head[1])))
        self._heads[key] = (commit_ts, value, None if self._superseded is None else head)


def _json_string(raw: bytes) -> bytes:
    """The JSON string of printable ASCII without quotes and backslashes. Raises `Stop` for other text."""
    if raw.translate(None, _PLAIN):
        raise Stop
    return b'"%b"' % raw


def _raw(value: bytes) -> bytes:
    """What Redis's clients see of a JSON text. Raises `Stop` where that takes more than cutting."""
    if type(value) is not bytes:
        raise Stop
    if value[0] == 0x22:
        if b"\\" in value:
            raise Stop
        return value[1:-1]
    if value[0] == 0x7B:
        raise Stop
    return value
