"""The grammar of the line protocol: a line -> a command, or an error that says what the verb takes.

Every verb has a plain form, a JSON form (see `arguments.py`), or both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches

from mvcc_kv.api import KeyRange, TransactionOptions
from mvcc_kv.errors import BadRequestError, UnknownCommandError
from mvcc_kv.protocol.arguments import (
    AddArgument,
    AuthArgument,
    BackupArgument,
    ChangesArgument,
    CommitArgument,
    DeleteArgument,
    GetArgument,
    HistoryArgument,
    KillArgument,
    PutArgument,
    ScanArgument,
    StartArgument,
    decoded,
)
from mvcc_kv.protocol.commands import (
    HISTORY_VERSIONS_MAX,
    SCAN_ITEMS_MAX,
    Add,
    Auth,
    Backup,
    Changes,
    Checkpoint,
    Command,
    Commit,
    Delete,
    Get,
    Help,
    History,
    Kill,
    Ping,
    Put,
    Quit,
    Rollback,
    Scan,
    Start,
    Stats,
    Transactions,
)
from mvcc_kv.protocol.usage import USAGE, misuse
from mvcc_kv.values import check_nesting, check_ttl, json_string

__all__ = ["parse", "verb_of"]

_START = Start(TransactionOptions(), wants_object=False)
_COMMIT = Commit(wants_object=False)
_ID = re.compile(r"[\x21-\x7e]{1,128}")  # a token of the client's own making


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


def _json_form(verb: str, argument: bytes) -> bytes:
    if not argument.lstrip().startswith(b"{"):
        raise misuse(verb, "it takes a JSON argument")
    return argument


def _checked_id(verb: str, token: str | None) -> str | None:
    if token is not None and not _ID.fullmatch(token):
        raise misuse(verb, "an id is 1 to 128 printable ASCII characters without blanks")
    return token


def _plain_key(verb: str, argument: bytes) -> bytes:
    key = argument.strip()
    if not key:
        raise misuse(verb, "a key is missing")
    if 0x20 in key or 0x09 in key:  # a number: `bytes in bytes` goes through an exception
        raise misuse(verb, "one key is wanted; a key with spaces goes into the JSON form")
    return key


def _parse_get(argument: bytes) -> Get:
    if argument.lstrip().startswith(b"{"):
        wanted = decoded("GET", GetArgument, argument)
        return Get(wanted.key.encode(), not wanted.snapshot, wanted.ttl)
    return Get(_plain_key("GET", argument))


def _parse_delete(argument: bytes) -> Delete:
    if argument.lstrip().startswith(b"{"):
        wanted = decoded("DEL", DeleteArgument, argument)
        return Delete(wanted.key.encode(), _checked_id("DEL", wanted.id))
    return Delete(_plain_key("DEL", argument))


def _parse_put(argument: bytes) -> Put:
    argument = argument.lstrip()
    if argument.startswith(b"{"):
        wanted = decoded("PUT", PutArgument, argument)
        value = bytes(wanted.value)
        if b"\r" in value:  # white space between tokens; a string can't hold it raw
            value = value.replace(b"\r", b" ")
        check_nesting(value)
        if wanted.ttl_s is not None:
            _check_ttl(wanted.ttl_s)
        return Put(wanted.key.encode(), value, _checked_id("PUT", wanted.id), wanted.ttl_s)
    key, space, value = argument.partition(b" ")
    if not space:
        raise misuse("PUT", "a value is missing" if key else "a key and a value are missing")
    if b"\t" in key:
        raise misuse("PUT", "one key is wanted; a key with spaces goes into the JSON form")
    return Put(key, json_string(value))


def _check_ttl(ttl_s: float) -> None:
    try:
        check_ttl(ttl_s)
    except BadRequestError as error:
        raise misuse("PUT", error.message) from None


def _parse_add(argument: bytes) -> Add:
    wanted = decoded("ADD", AddArgument, _json_form("ADD", argument))
    by = bytes(wanted.by)
    if by[0] not in b"-0123456789":  # JSON that begins so is a number
        raise misuse("ADD", f'"by" is a number, not {by[:32].decode(errors="replace")}')
    return Add(wanted.key.encode(), by, _checked_id("ADD", wanted.id))


def _parse_scan(argument: bytes) -> Scan:
    wanted = decoded("SCAN", ScanArgument, argument) if argument.strip() else ScanArgument()
    if wanted.limit < 1:
        raise misuse("SCAN", f"a limit is at least 1, not {wanted.limit}")
    end = None if wanted.end is None else wanted.end.encode()
    keys = KeyRange(wanted.prefix.encode(), wanted.start.encode(), end)
    return Scan(keys, min(wanted.limit, SCAN_ITEMS_MAX), wanted.reverse, wanted.keys_only, not wanted.snapshot)


def _parse_history(argument: bytes) -> History:
    if not argument.lstrip().startswith(b"{"):
        return History(_plain_key("HISTORY", argument))
    wanted = decoded("HISTORY", HistoryArgument, argument)
    if wanted.limit < 1:
        raise misuse("HISTORY", f"a limit is at least 1, not {wanted.limit}")
    limit = min(wanted.limit, HISTORY_VERSIONS_MAX)
    return History(wanted.key.encode(), limit, wanted.before, not wanted.snapshot)


def _parse_start(argument: bytes) -> Start:
    if not argument.strip():
        return _START
    wanted = decoded("START", StartArgument, argument)
    if wanted.turn is None and wanted.lost is not None:
        raise misuse("START", '"lost" goes with "turn": it says how many attempts were lost on that key')
    turn = None if wanted.turn is None else wanted.turn.encode()
    options = TransactionOptions(
        wanted.isolation, wanted.read_only, wanted.at, wanted.label, turn=turn, lost=wanted.lost or 0
    )
    return Start(options, wants_object=True)


def _parse_commit(argument: bytes) -> Commit:
    if not argument.strip():
        return _COMMIT
    wanted = decoded("COMMIT", CommitArgument, argument)
    token = _checked_id("COMMIT", wanted.id)
    return Commit(wants_object=True, id=token, after=wanted.after, waits=wanted.durability == "default")


def _parse_kill(argument: bytes) -> Kill:
    wanted = decoded("KILL", KillArgument, _json_form("KILL", argument))
    return Kill(wanted.transaction)


def _parse_backup(argument: bytes) -> Backup:
    wanted = decoded("BACKUP", BackupArgument, argument) if argument.strip() else BackupArgument()
    return Backup(KeyRange(wanted.prefix.encode()))


def _parse_changes(argument: bytes) -> Changes:
    wanted = decoded("CHANGES", ChangesArgument, argument) if argument.strip() else ChangesArgument()
    return Changes(wanted.prefix.encode(), wanted.from_ts)


def _parse_auth(argument: bytes) -> Auth:
    if argument.lstrip().startswith(b"{"):
        wanted = decoded("AUTH", AuthArgument, argument)
        return Auth(wanted.password)
    if not argument:
        raise misuse("AUTH", "a password is missing")
    return Auth(argument.decode())


def _without_argument(verb: str, command: Command) -> Callable[[bytes], Command]:
    def parse_nothing(argument: bytes) -> Command:
        if argument.strip():
            raise misuse(verb, "it takes no argument")
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
