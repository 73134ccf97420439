"""The quick lane: runs of PING, GET, SET and INCR, executed straight on the store's index, without an object a command.

    b"*2 $3 GET .. *3 $3 SET .. *2 $3 GET .. *3 $4 HSET .. *2 $3 GET .."
     '------------- the lane, in one go ---''---- the session, one by one

What many clients sent since the last turn, a burst each, is executed in one call (`server/rounds.py`). The lane knows
only the forms that clients write and the cases in which nothing else is to be done: no option, no expiry, no escape,
nothing to note of a commit but a new head (`VersionedStore.run_lane` says whether). Before anything else it stops,
having executed each command altogether or not at all, and the session goes on there. So whatever it does the session
would have done, byte for byte; that is how it is tested.

`run_in_python` is the rule. `_quick.c` is the same, compiled, and used where a compiler was when this was installed;
with MVCC_KV_PURE=1 in the environment it is not.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, TypeAlias

from mvcc_kv.compiled import compiled_twin
from mvcc_kv.engine.chains import Version, visible
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.protocol.resp.scanning import scan
from mvcc_kv.server.redis.arguments import integer_of

__all__ = ["IS_COMPILED", "Outcome", "run", "run_in_python"]

_GETS, _SETS, _INCRS, _PINGS, _HITS, _NEW_KEYS = range(6)
_DIGITS_MAX = 18
_ESCAPED = frozenset(range(0x20)) | frozenset(range(0x7F, 0x100)) | frozenset(b'"\\')
_PLAIN = bytes(set(range(0x100)) - _ESCAPED)


Rest: TypeAlias = tuple[int, int, int, int]
"""Of a burst that is not through: its place, its bytes that were used, how many bytes of its replies may leave now,
and the commit that the others tell of; 0: they may leave all."""


class Outcome(NamedTuple):
    """What the lane did with some bursts.

    `replies`: of each. `rest`: what is to be done about those that were not executed to their end, or have to wait for
    a commit to become visible. `commit_ts`: of the newest commit. The rest are counts, `hits` among the `gets`.
    """

    replies: list[bytes]
    rest: list[Rest]
    commit_ts: int
    gets: int
    sets: int
    incrs: int
    pings: int
    hits: int
    new_keys: int


class _Stop(Exception):
    """This command is not for the lane."""


def run_in_python(
    bursts: list[tuple[bytes, int]],
    out_max: int,
    heads: MutableMapping[bytes, Version],
    seen_ts: int,
    commit_ts: int,
    may_write: bool,
    superseded: list[tuple[int, int, bytes, int]] | None,
    writes: list[tuple[bytes, bytes]] | None,
) -> Outcome:
    """Execute the commands at the beginning of each burst, as far as the lane goes and the replies reach `out_max`.

    A burst is what one client sent, and the version of the protocol. It sees `heads` at `seen_ts` and its own commits;
    commits come after `commit_ts`. `superseded` takes what they supersede, as `engine.versions` has it; None: nobody
    can see that any more, and it goes at once. `writes` takes what is for the log; None: there is none, and everybody
    sees each commit at once.
    """
    lane = _Lane(heads, commit_ts, may_write, superseded, writes)
    replies: list[bytes] = []
    rest: list[Rest] = []
    for number, (data, proto) in enumerate(bursts):
        lane.begin(seen_ts, proto)
        said, used_bytes, free_bytes = _run_burst(lane, data, out_max)
        is_free = free_bytes is None or writes is None
        replies.append(said)
        if used_bytes < len(data) or not is_free:
            rest.append(
                (number, used_bytes, len(said) if is_free else free_bytes or 0, 0 if is_free else lane.commit_ts)
            )
    return Outcome(replies, rest, lane.commit_ts, *lane.counts)


def _run_burst(lane: _Lane, data: bytes, out_max: int) -> tuple[bytes, int, int | None]:
    """The replies, how many bytes were used, and how many bytes of the replies come before the first commit's."""
    said: list[bytes] = []
    used_bytes = said_bytes = 0
    free_bytes: int | None = None
    for arguments in scan(data)[0]:
        if said_bytes >= out_max:
            break
        begun_ts = lane.commit_ts
        try:
            reply = lane.execute(arguments)
        except _Stop:
            break
        if free_bytes is None and lane.commit_ts != begun_ts:
            free_bytes = said_bytes
        said.append(reply)
        said_bytes += len(reply)
        used_bytes += _length(arguments)
    return b"".join(said), used_bytes, free_bytes


def _length(arguments: list[bytes]) -> int:
    """How many bytes they take, each behind its length and all behind their count."""
    return len(b"%d" % len(arguments)) + 3 + sum(len(b"%d" % len(it)) + len(it) + 5 for it in arguments)


class _Lane:
    """What a run has come to. `counts`: gets, sets, incrs, pings, hits, new keys."""

    __slots__ = ("_heads", "_may_write", "_null", "_read_ts", "_superseded", "_writes", "commit_ts", "counts")

    def __init__(
        self,
        heads: MutableMapping[bytes, Version],
        commit_ts: int,
        may_write: bool,
        superseded: list[tuple[int, int, bytes, int]] | None,
        writes: list[tuple[bytes, bytes]] | None,
    ) -> None:
        self._heads = heads
        self._read_ts = 0
        self._may_write = may_write
        self._superseded = superseded
        self._writes = writes
        self._null = b""
        self.commit_ts = commit_ts
        self.counts = [0] * 6

    def begin(self, seen_ts: int, proto: int) -> None:
        """Go on with another client's commands."""
        self._read_ts = self.commit_ts if self._writes is None else seen_ts
        self._null = resp.null(proto)

    def execute(self, arguments: list[bytes]) -> bytes:
        """The reply. Raises `_Stop`."""
        name = arguments[0].upper()
        if name == b"GET" and len(arguments) == 2:
            return self._get(arguments[1])
        if name == b"SET" and len(arguments) == 3:
            return self._set(arguments[1], arguments[2])
        if name == b"INCR" and len(arguments) == 2:
            return self._incr(arguments[1])
        if name == b"PING" and len(arguments) == 1:
            self.counts[_PINGS] += 1
            return resp.PONG
        raise _Stop

    def _get(self, key: bytes) -> bytes:
        version = visible(self._heads.get(key), self._read_ts)
        value = None if version is None else version[1]
        text = self._null if value is None else resp.bulk(_raw(value))
        self.counts[_GETS] += 1
        self.counts[_HITS] += value is not None
        return text

    def _set(self, key: bytes, raw: bytes) -> bytes:
        head = self._head_for_writing(key)
        if raw.translate(None, _PLAIN):
            raise _Stop
        self._commit(key, b'"%b"' % raw, head)
        self.counts[_SETS] += 1
        return resp.OK

    def _incr(self, key: bytes) -> bytes:
        head = self._head_for_writing(key)
        text = b"0" if head is None else _raw(head[1])
        number = integer_of(text)
        if number is None or len(text.lstrip(b"-")) > _DIGITS_MAX:
            raise _Stop
        self._commit(key, b"%d" % (number + 1), head)
        self.counts[_INCRS] += 1
        return resp.integer(number + 1)

    def _head_for_writing(self, key: bytes) -> tuple[int, bytes, Version | None] | None:
        if not self._may_write or not key.isascii():
            raise _Stop
        head = self._heads.get(key)
        if head is None:
            return None
        commit_ts, value, older = head
        if type(value) is not bytes:
            raise _Stop  # deleted, or it expires
        return commit_ts, value, older

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


def _raw(value: bytes) -> bytes:
    """What Redis's clients see of a JSON text. Raises `_Stop` where that takes more than cutting."""
    if type(value) is not bytes:
        raise _Stop
    if value[0] == 0x22:
        if b"\\" in value:
            raise _Stop
        return value[1:-1]
    if value[0] == 0x7B:
        raise _Stop
    return value


_TWIN = compiled_twin("mvcc_kv.server.redis._quick")
_RUN: Callable[..., Any] | None = None if _TWIN is None else _TWIN.run
IS_COMPILED = _RUN is not None


def run(*arguments: Any) -> Outcome:
    """`run_in_python`, or what was compiled of it."""
    return run_in_python(*arguments) if _RUN is None else tuple.__new__(Outcome, _RUN(*arguments))
