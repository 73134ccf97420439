"""The JSON arguments of the verbs, as they are sent.

An argument is cut, not parsed: `msgspec.Raw` checks a value's JSON and keeps its text to the letter, which is what the
store holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from mvcc_kv.protocol.commands import HISTORY_VERSIONS, SCAN_ITEMS_MAX
from mvcc_kv.protocol.usage import misuse

__all__ = [
    "AddArgument",
    "AuthArgument",
    "BackupArgument",
    "ChangesArgument",
    "CommitArgument",
    "DeleteArgument",
    "GetArgument",
    "HistoryArgument",
    "KillArgument",
    "PutArgument",
    "ScanArgument",
    "StartArgument",
    "decoded",
]

T = TypeVar("T")
_Natural = Annotated[int, msgspec.Meta(ge=0)]


class GetArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    snapshot: bool = False
    ttl: bool = False


class PutArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    value: msgspec.Raw
    id: str | None = None
    ttl_s: int | float | None = None


class DeleteArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    id: str | None = None


class AddArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    by: msgspec.Raw = msgspec.Raw(b"1")
    id: str | None = None


class ScanArgument(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str = ""
    start: str = ""
    end: str | None = None
    limit: int = SCAN_ITEMS_MAX
    reverse: bool = False
    keys_only: bool = False
    snapshot: bool = False


class HistoryArgument(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    limit: int = HISTORY_VERSIONS
    before: _Natural | None = None
    snapshot: bool = False


class StartArgument(msgspec.Struct, forbid_unknown_fields=True):
    isolation: Literal["snapshot", "serializable"] = "snapshot"
    read_only: bool = False
    at: _Natural | None = None
    label: str | None = None
    turn: str | None = None
    lost: _Natural | None = None


class CommitArgument(msgspec.Struct, forbid_unknown_fields=True):
    id: str | None = None
    after: _Natural | None = None
    durability: Literal["default", "none"] = "default"


class KillArgument(msgspec.Struct, forbid_unknown_fields=True):
    transaction: int


class BackupArgument(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str = ""


class ChangesArgument(msgspec.Struct, forbid_unknown_fields=True):
    prefix: str = ""
    from_ts: _Natural | None = msgspec.field(name="from", default=None)


class AuthArgument(msgspec.Struct, forbid_unknown_fields=True):
    password: str


_DECODERS: dict[type[Any], Callable[[bytes], Any]] = {
    kind: msgspec.json.Decoder(kind).decode
    for kind in (
        GetArgument,
        DeleteArgument,
        PutArgument,
        AddArgument,
        ScanArgument,
        HistoryArgument,
        KillArgument,
        StartArgument,
        CommitArgument,
        BackupArgument,
        ChangesArgument,
        AuthArgument,
    )
}

# msgspec refuses half of a surrogate pair, but says "truncated".
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF_PAIR_HINT = " (a \\ud800 to \\udfff escape that stands alone is refused: UTF-8 has no such character)"


def decoded(verb: str, kind: type[T], argument: bytes) -> T:
    """The verb's argument, or the refusal that says what is wrong with it."""
    try:
        wanted: T = _DECODERS[kind](argument)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        hint = _HALF_PAIR_HINT if _SURROGATE_ESCAPE.search(argument) else ""
        raise misuse(verb, f"the argument is not as it should be: {error}{hint}") from None
    except RecursionError:
        raise misuse(verb, "the argument is nested too deeply") from None
    return wanted
