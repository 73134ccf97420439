"""The grammar of the line protocol: a line -> a command, or an error that says what the verb takes.

Every verb has a plain form, a JSON form, or both. A JSON argument is cut, not parsed: `msgspec.Raw`
checks a value's JSON and keeps its text to the letter, which is what the store holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.errors import BadRequestError, UnknownCommandError
from mvcc_kv.values import check_nesting, json_string

__all__ = [
    "HISTORY_VERSIONS_MAX",
    "SCAN_ITEMS_MAX",
    "USAGE",
    "Add",
    "Auth",
    "Backup",
    "Changes",
    "Checkpoint",
    "Command",
    "Commit",
    "Delete",
    "Get",
    "Help",
    "History",
    "Kill",
    "Ping",
    "Put",
    "Quit",
    "Rollback",
    "Scan",
    "Start",
    "Stats",
    "Transactions",
    "parse",
    "verb_of",
]

# A SCAN's reply holds at most this many items; its `next` says where the rest begins.
SCAN_ITEMS_MAX = 1_000
# And a HISTORY's so many versions; the rest are those before its `next`.
HISTORY_VERSIONS_MAX = 1_000
_HISTORY_VERSIONS = 100

USAGE = {
    "PUT": 'PUT key value | PUT {"key": "k", "value": <any JSON>}: set a key; in the plain form the value is the '
    'rest of the line, a string; with an "id" of yours it is applied once, however often it is sent',
    "GET": 'GET key | GET {"key": "k", "snapshot": false}: read a key; with "snapshot" true what others do to it '
    "is no conflict for this transaction",
    "DEL": 'DEL key | DEL {"key": "k"}: delete a key; "id" as in PUT',
    "ADD": 'ADD {"key": "k", "by": 1}: add to a key\'s number, a missing one being 0; ADDs never conflict with each '
    'other; "id" as in PUT',
    "SCAN": 'SCAN {"prefix": "p", "start": "a", "end": "z", "limit": 100, "reverse": false, "keys_only": false}: '
    "list keys in order, start <= key < end; continue at `next` (as `start`, or as `end` in reverse); "
    '"snapshot" as in GET',
    "HISTORY": 'HISTORY key | HISTORY {"key": "k", "limit": 100, "before": 41}: the versions of a key, newest first; '
    'continue at `next` (as `before`); "snapshot" as in GET',
    "START": 'START | START {"isolation": "snapshot", "read_only": false, "at": 41, "label": "nightly"}: begin a '
    'transaction; isolation "snapshot" or "serializable"; with "at" it reads the state of that commit_ts',
    "COMMIT": 'COMMIT | COMMIT {"id": "x", "durability": "default"}: apply the transaction; with {} the reply holds '
    'its commit_ts. Outside a transaction COMMIT {"id": "x", "after": 41} tells what became of the commit of that id',
    "ROLLBACK": "ROLLBACK: forget the transaction",
    "TRANSACTIONS": "TRANSACTIONS: those that are open, and what they hold",
    "KILL": 'KILL {"transaction": 7}: roll an open transaction back; TRANSACTIONS lists them',
    "STATS": "STATS: counters and sizes",
    "CHECKPOINT": "CHECKPOINT: write checkpoint.json now; answered when it is on disk",
    "BACKUP": 'BACKUP | BACKUP {"prefix": "p"}: every item of one snapshot, in as many reply lines as that takes; in '
    "the last one `next` is null",
    "CHANGES": 'CHANGES | CHANGES {"prefix": "p", "from": 41}: every commit after that one, or from now on, as a reply '
    "line each, until your next command",
    "PING": "PING: is somebody there?",
    "AUTH": 'AUTH password | AUTH {"password": "p"}: log in, where the server has a password',
    "HELP": "HELP: this list",
    "QUIT": "QUIT: close the connection; an open transaction is rolled back",
}


class Get(msgspec.Struct, frozen=True, gc=False):
    """`tracked`: what others do to the key may be a conflict for this transaction."""

    key: bytes
    tracked: bool = True


class Put(msgspec.Struct, frozen=True, gc=False):
    """`id` lets the client ask what became of it, or send it again."""

    key: bytes
    value: bytes
    id: str | None = None


class Delete(msgspec.Struct, frozen=True, gc=False):
    """`id` as in `Put`."""

    key: bytes
    id: str | None = None


class Add(msgspec.Struct, frozen=True, gc=False):
    """`by` is a JSON number as it was sent; `id` as in `Put`."""

    key: bytes
    by: bytes
    id: str | None = None


class Scan(msgspec.Struct, frozen=True):
    """`tracked` as in `Get`."""

    keys: KeyRange
    limit: int
    reverse: bool
    keys_only: bool
    tracked: bool = True


class History(msgspec.Struct, frozen=True):
    """The versions before the commit at `before_ts`, all if it is None; `tracked` as in `Get`."""

    key: bytes
    limit: int = _HISTORY_VERSIONS
    before_ts: int | None = None
    tracked: bool = True


class Start(msgspec.Struct, frozen=True):
    options: TransactionOptions
    wants_object: bool


class Commit(msgspec.Struct, frozen=True):
    """`id` and `after` let the client ask again; `waits`: the reply leaves when the commit is durable."""

    wants_object: bool
    id: str | None = None
    after: int | None = None
    waits: bool = True


class Rollback(msgspec.Struct, frozen=True):
    pass


class Transactions(msgspec.Struct, frozen=True):
    pass


class Kill(msgspec.Struct, frozen=True):
    transaction: int


class Stats(msgspec.Struct, frozen=True):
    pass


class Checkpoint(msgspec.Struct, frozen=True):
    pass


class Backup(msgspec.Struct, frozen=True):
    keys: KeyRange


class Changes(msgspec.Struct, frozen=True):
    """The feed of the commits after `from_ts`, of what they change under `prefix`; from now on if it is None."""

    prefix: bytes
    from_ts: int | None


class Ping(msgspec.Struct, frozen=True):
    pass


class Help(msgspec.Struct, frozen=True):
    pass


class Quit(msgspec.Struct, frozen=True):
    pass


class Auth(msgspec.Struct, frozen=True):
    password: str


Command: TypeAlias = (
    Get
    | Put
    | Delete
    | Add
    | Scan
    | History
    | Start
    | Commit
    | Rollback
    | Transactions
    | Kill
    | Stats
    | Checkpoint
    | Backup
    | Changes
    | Ping
    | Help
    | Quit
    | Auth
)


def verb_of(line: bytes) -> str:
    """The line's verb in capitals.

    >>> verb_of(b"  get key1")
    'GET'
    """
    return line.split(maxsplit=1)[0].decode(errors="replace").upper() if line.strip() else ""


def parse(line: bytes) -> Command:
    """The command that the line asks for.

    Raises `UnknownCommandError` or `BadRequestError`; both messages say what to send instead.
    """
    if not line.isascii():
        _check_utf8(line)
    verb, _, argument = line.partition(b" ")
    parser = _PARSERS.get(verb)
    if parser is None:
        verb, argument = _cut_verb(line.lstrip())
        parser = _PARSERS.get(verb.upper())
        if parser is None:
            raise _unknown(line)
    return parser(argument)


def _cut_verb(line: bytes) -> tuple[bytes, bytes]:
    """The verb, and what stands behind the one blank that ends it."""
    verb = next(iter(line.split(maxsplit=1)), b"")
    return verb, line[len(verb) + 1 :]


def _check_utf8(line: bytes) -> None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"commands are UTF-8, and byte {error.start} of this one is not") from None


def _unknown(line: bytes) -> UnknownCommandError:
    verb = verb_of(line)
    near = get_close_matches(verb[:32], USAGE, n=1)
    hint = f"did you mean {near[0]}?" if near else "HELP lists the commands"
    return UnknownCommandError(f"unknown command {verb[:32]!r}; {hint}")


def _bad(verb: str, why: str) -> BadRequestError:
    return BadRequestError(f"{verb}: {why}. Usage: {USAGE[verb]}")


# JSON arguments, as they are sent

_ID = re.compile(r"[\x21-\x7e]{1,128}")  # a token of the client's own making
_Natural = Annotated[int, msgspec.Meta(ge=0)]


class _GetArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    snapshot: bool = False


class _PutArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    value: msgspec.Raw
    id: str | None = None


class _DeleteArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    id: str | None = None


class _AddArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    by: msgspec.Raw = msgspec.Raw(b"1")
    id: str | None = None


class _ScanArgument(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str = ""
    start: str = ""
    end: str | None = None
    limit: int = SCAN_ITEMS_MAX
    reverse: bool = False
    keys_only: bool = False
    snapshot: bool = False


class _HistoryArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    limit: int = _HISTORY_VERSIONS
    before: _Natural | None = None
    snapshot: bool = False


class _StartArgument(msgspec.Struct, forbid_unknown_fields=True):
    isolation: Literal["snapshot", "serializable"] = "snapshot"
    read_only: bool = False
    at: _Natural | None = None
    label: str | None = None


class _CommitArgument(msgspec.Struct, forbid_unknown_fields=True):
    id: str | None = None
    after: _Natural | None = None
    durability: Literal["default", "none"] = "default"


class _KillArgument(msgspec.Struct, forbid_unknown_fields=True):
    transaction: int


class _BackupArgument(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str = ""


class _ChangesArgument(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str = ""
    from_ts: Annotated[int, msgspec.Meta(ge=0)] | None = msgspec.field(name="from", default=None)


class _AuthArgument(msgspec.Struct, forbid_unknown_fields=True):
    password: str


_decode_get = msgspec.json.Decoder(_GetArgument).decode
_decode_delete = msgspec.json.Decoder(_DeleteArgument).decode
_decode_put = msgspec.json.Decoder(_PutArgument).decode
_decode_add = msgspec.json.Decoder(_AddArgument).decode
_decode_scan = msgspec.json.Decoder(_ScanArgument).decode
_decode_history = msgspec.json.Decoder(_HistoryArgument).decode
_decode_kill = msgspec.json.Decoder(_KillArgument).decode
_decode_start = msgspec.json.Decoder(_StartArgument).decode
_decode_commit = msgspec.json.Decoder(_CommitArgument).decode
_decode_backup = msgspec.json.Decoder(_BackupArgument).decode
_decode_changes = msgspec.json.Decoder(_ChangesArgument).decode
_decode_auth = msgspec.json.Decoder(_AuthArgument).decode


# msgspec refuses half of a surrogate pair, but says "truncated".
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF_PAIR_HINT = " (a \\ud800 to \\udfff escape that stands alone is refused: UTF-8 has no such character)"


def _decoded(verb: str, decode: Callable[[bytes], Any], argument: bytes) -> Any:
    try:
        return decode(argument)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        hint = _HALF_PAIR_HINT if _SURROGATE_ESCAPE.search(argument) else ""
        raise _bad(verb, f"the argument is not as it should be: {error}{hint}") from None
    except RecursionError:
        raise _bad(verb, "the argument is nested too deeply") from None


def _json_form(verb: str, argument: bytes) -> bytes:
    if not argument.lstrip().startswith(b"{"):
        raise _bad(verb, "it takes a JSON argument")
    return argument


def _checked_id(verb: str, token: str | None) -> str | None:
    if token is not None and not _ID.fullmatch(token):
        raise _bad(verb, "an id is 1 to 128 printable ASCII characters without blanks")
    return token


def _plain_key(verb: str, argument: bytes) -> bytes:
    key = argument.strip()
    if not key:
        raise _bad(verb, "a key is missing")
    if 0x20 in key or 0x09 in key:  # a number: `bytes in bytes` goes through an exception
        raise _bad(verb, "one key is wanted; a key with spaces goes into the JSON form")
    return key


def _parse_get(argument: bytes) -> Get:
    if argument.lstrip().startswith(b"{"):
        decoded: _GetArgument = _decoded("GET", _decode_get, argument)
        return Get(decoded.key.encode(), not decoded.snapshot)
    return Get(_plain_key("GET", argument))


def _parse_delete(argument: bytes) -> Delete:
    if argument.lstrip().startswith(b"{"):
        decoded: _DeleteArgument = _decoded("DEL", _decode_delete, argument)
        return Delete(decoded.key.encode(), _checked_id("DEL", decoded.id))
    return Delete(_plain_key("DEL", argument))


def _parse_put(argument: bytes) -> Put:
    argument = argument.lstrip()
    if argument.startswith(b"{"):
        decoded: _PutArgument = _decoded("PUT", _decode_put, argument)
        value = bytes(decoded.value)
        if b"\r" in value:  # white space between tokens; a string can't hold it raw
            value = value.replace(b"\r", b" ")
        check_nesting(value)
        return Put(decoded.key.encode(), value, _checked_id("PUT", decoded.id))
    key, space, value = argument.partition(b" ")
    if not space:
        raise _bad("PUT", "a value is missing" if key else "a key and a value are missing")
    if b"\t" in key:
        raise _bad("PUT", "one key is wanted; a key with spaces goes into the JSON form")
    return Put(key, json_string(value))


def _parse_add(argument: bytes) -> Add:
    wanted: _AddArgument = _decoded("ADD", _decode_add, _json_form("ADD", argument))
    by = bytes(wanted.by)
    if by[0] not in b"-0123456789":  # JSON that begins so is a number
        raise _bad("ADD", f'"by" is a number, not {by[:32].decode(errors="replace")}')
    return Add(wanted.key.encode(), by, _checked_id("ADD", wanted.id))


def _parse_scan(argument: bytes) -> Scan:
    wanted = _decoded("SCAN", _decode_scan, argument) if argument.strip() else _ScanArgument()
    if wanted.limit < 1:
        raise _bad("SCAN", f"a limit is at least 1, not {wanted.limit}")
    end = None if wanted.end is None else wanted.end.encode()
    keys = KeyRange(wanted.prefix.encode(), wanted.start.encode(), end)
    return Scan(keys, min(wanted.limit, SCAN_ITEMS_MAX), wanted.reverse, wanted.keys_only, not wanted.snapshot)


def _parse_history(argument: bytes) -> History:
    if not argument.lstrip().startswith(b"{"):
        return History(_plain_key("HISTORY", argument))
    wanted: _HistoryArgument = _decoded("HISTORY", _decode_history, argument)
    if wanted.limit < 1:
        raise _bad("HISTORY", f"a limit is at least 1, not {wanted.limit}")
    limit = min(wanted.limit, HISTORY_VERSIONS_MAX)
    return History(wanted.key.encode(), limit, wanted.before, not wanted.snapshot)


def _parse_start(argument: bytes) -> Start:
    if not argument.strip():
        return Start(TransactionOptions(), wants_object=False)
    wanted: _StartArgument = _decoded("START", _decode_start, argument)
    return Start(TransactionOptions(wanted.isolation, wanted.read_only, wanted.at, wanted.label), wants_object=True)


def _parse_commit(argument: bytes) -> Commit:
    if not argument.strip():
        return Commit(wants_object=False)
    wanted: _CommitArgument = _decoded("COMMIT", _decode_commit, argument)
    token = _checked_id("COMMIT", wanted.id)
    return Commit(wants_object=True, id=token, after=wanted.after, waits=wanted.durability == "default")


def _parse_kill(argument: bytes) -> Kill:
    wanted: _KillArgument = _decoded("KILL", _decode_kill, _json_form("KILL", argument))
    return Kill(wanted.transaction)


def _parse_backup(argument: bytes) -> Backup:
    wanted = _decoded("BACKUP", _decode_backup, argument) if argument.strip() else _BackupArgument()
    return Backup(KeyRange(wanted.prefix.encode()))


def _parse_changes(argument: bytes) -> Changes:
    wanted = _decoded("CHANGES", _decode_changes, argument) if argument.strip() else _ChangesArgument()
    return Changes(wanted.prefix.encode(), wanted.from_ts)


def _parse_auth(argument: bytes) -> Auth:
    if argument.lstrip().startswith(b"{"):
        decoded: _AuthArgument = _decoded("AUTH", _decode_auth, argument)
        return Auth(decoded.password)
    if not argument:
        raise _bad("AUTH", "a password is missing")
    return Auth(argument.decode())


def _without_argument(verb: str, command: Command) -> Callable[[bytes], Command]:
    def parse_nothing(argument: bytes) -> Command:
        if argument.strip():
            raise _bad(verb, "it takes no argument")
        return command

    return parse_nothing


_PARSERS: dict[bytes, Callable[[bytes], Command]] = {
    b"GET": _parse_get,
    b"PUT": _parse_put,
    b"DEL": _parse_delete,
    b"ADD": _parse_add,
    b"SCAN": _parse_scan,
    b"HISTORY": _parse_history,
    b"START": _parse_start,
    b"COMMIT": _parse_commit,
    b"ROLLBACK": _without_argument("ROLLBACK", Rollback()),
    b"TRANSACTIONS": _without_argument("TRANSACTIONS", Transactions()),
    b"KILL": _parse_kill,
    b"STATS": _without_argument("STATS", Stats()),
    b"CHECKPOINT": _without_argument("CHECKPOINT", Checkpoint()),
    b"BACKUP": _parse_backup,
    b"CHANGES": _parse_changes,
    b"PING": _without_argument("PING", Ping()),
    b"AUTH": _parse_auth,
    b"HELP": _without_argument("HELP", Help()),
    b"QUIT": _without_argument("QUIT", Quit()),
}
