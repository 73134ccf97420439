"""COMMAND: the table of commands, in the form in which Redis's clients read it."""

from __future__ import annotations

from collections.abc import Iterable

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.commands import COMMANDS, Command, command, subcommand
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.globbing import matcher
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.key_specs import KeySpec, key_specs, keys_of, keys_with_accesses
from mvcc_kv.server.redis.session import RedisSession

__all__: list[str] = []

_FLAGS = "loading stale"
_SHOWN_FLAGS = """
    write readonly denyoom module admin pubsub noscript blocking loading stale skip_monitor skip_slowlog asking fast
    no_auth no_mandatory_keys no_async_loading no_multi movablekeys allow_busy
""".split()  # noqa: SIM905 (in Redis's order, as one reads it)
_ABOUT_KEYS = frozenset(("flushall", "flushdb", "dbsize", "swapdb"))
_ABOUT_NO_KEYS = frozenset(("object", "wait"))
_ADMIN = frozenset(("lastsave", "role"))
_DANGEROUS = frozenset(("info", "keys", "flushall", "flushdb", "restore", "sort", "swapdb"))


@command("command", -1, _FLAGS, group="server", since="2.8.13", summary="Get array of Redis command details")
def everything(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.array([_told(entry, session.proto) for entry in _all()])


enter_help(
    "command",
    """
    (no subcommand)
        Return details about all Redis commands.
    COUNT
        Return the total number of commands in this Redis server.
    LIST
        Return a list of all commands in this Redis server.
    INFO [<command-name> ...]
        Return details about multiple Redis commands.
        If no command names are given, documentation details for all
        commands are returned.
    DOCS [<command-name> ...]
        Return documentation details about multiple Redis commands.
        If no command names are given, documentation details for all
        commands are returned.
    GETKEYS <full-command>
        Return the keys from a full Redis command.
    GETKEYSANDFLAGS <full-command>
        Return the keys and the access flags from a full Redis command.
    """,
    since="5.0.0",
)


def _all() -> list[Command]:
    """Each command once: the table has them in upper case, too."""
    return [entry for name, entry in COMMANDS.items() if name.islower()]


def _found(name: bytes) -> Command | None:
    """`get`, or `client|id`."""
    container, _, own = name.lower().partition(b"|")
    entry = COMMANDS.get(container)
    return entry.subcommands.get(own) if entry is not None and own else entry


@subcommand("command|count", 2, _FLAGS, since="2.8.13", summary="Get total number of Redis commands")
def count(_: RedisSession, __: list[bytes]) -> bytes:
    return resp.integer(len(_all()))


@subcommand("command|info", -2, _FLAGS, since="2.8.13", summary="Get array of specific Redis command details")
def info(session: RedisSession, arguments: list[bytes]) -> bytes:
    entries: Iterable[Command | None] = map(_found, arguments[2:]) if len(arguments) > 2 else _all()
    proto = session.proto
    return resp.array([resp.null(proto) if entry is None else _told(entry, proto) for entry in entries])


def _told(entry: Command, proto: int) -> bytes:
    first, last, step = entry.keys
    parts = [
        resp.bulk(entry.name.encode()),
        resp.integer(entry.arity),
        _words([flag for flag in _SHOWN_FLAGS if flag in entry.flags], proto),
        resp.integer(first),
        resp.integer(last),
        resp.integer(step),
        _words(["@" + category for category in _categories(entry)], proto),
        resp.set_of([], proto),
        resp.set_of([_described(spec, proto) for spec in key_specs(entry)], proto),
        resp.array([_told(one, proto) for one in entry.subcommands.values()])
        if entry.subcommands
        else resp.set_of([], proto),
    ]
    return resp.array(parts)


def _words(words: Iterable[str], proto: int) -> bytes:
    return resp.set_of([resp.simple(word) for word in words], proto)


def _categories(entry: Command) -> list[str]:
    """Redis's, from the flags and the group, in its order."""
    is_of = {
        "keyspace": (entry.group == "generic" and entry.name not in _ABOUT_NO_KEYS) or entry.name in _ABOUT_KEYS,
        "read": "readonly" in entry.flags,
        "write": "write" in entry.flags,
        "string": entry.group == "string",
        "bitmap": entry.group == "bitmap",
        "pubsub": "pubsub" in entry.flags,
        "admin": "admin" in entry.flags or entry.name in _ADMIN,
        "fast": "fast" in entry.flags,
        "slow": "fast" not in entry.flags,
        "blocking": "blocking" in entry.flags,
        "dangerous": "admin" in entry.flags or entry.name in _DANGEROUS or entry.name in _ADMIN,
        "connection": _is_about_connection(entry),
        "transaction": entry.group == "transactions",
        "scripting": entry.group == "scripting" and "|" in entry.name,
    }
    return [category for category, is_so in is_of.items() if is_so]


def _is_about_connection(entry: Command) -> bool:
    container = entry.name.partition("|")[0]
    return entry.name != "client" and (entry.group == "connection" or container == "command" or entry.name == "wait")


def _described(spec: KeySpec, proto: int) -> bytes:
    index = _map({"index": resp.integer(spec.first)}, proto)
    found = {
        "lastkey": resp.integer(spec.last - spec.first if spec.last >= 0 else spec.last),
        "keystep": resp.integer(spec.step),
        "limit": resp.ZERO,
    }
    told = {"notes": resp.bulk(spec.notes.encode())} if spec.notes else {}
    told |= {
        "flags": _words(spec.accesses, proto),
        "begin_search": _map({"type": resp.bulk(b"index"), "spec": index}, proto),
        "find_keys": _map({"type": resp.bulk(b"range"), "spec": _map(found, proto)}, proto),
    }
    return _map(told, proto)


def _map(pairs: dict[str, bytes], proto: int) -> bytes:
    return resp.mapping([(resp.bulk(name.encode()), value) for name, value in pairs.items()], proto)


@subcommand("command|docs", -2, _FLAGS, since="7.0.0", summary="Get array of specific Redis command documentation")
def documents(session: RedisSession, arguments: list[bytes]) -> bytes:
    found = [entry for entry in map(_found, arguments[2:]) if entry is not None] if len(arguments) > 2 else _all()
    return resp.mapping([(resp.bulk(one.name.encode()), _document(one, session.proto)) for one in found], session.proto)


def _document(entry: Command, proto: int) -> bytes:
    told = {
        "summary": resp.bulk(entry.summary.encode()),
        "since": resp.bulk(entry.since.encode()),
        "group": resp.bulk(entry.group.encode()),
    }
    if entry.subcommands:
        pairs = [(resp.bulk(one.name.encode()), _document(one, proto)) for one in entry.subcommands.values()]
        told["subcommands"] = resp.mapping(pairs, proto)
    return _map(told, proto)


@subcommand("command|list", -2, _FLAGS, since="7.0.0", summary="Get an array of Redis command names")
def names(_: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) == 2:
        return resp.array([resp.bulk(entry.name.encode()) for entry in _all()])
    if len(arguments) != 5 or arguments[2].lower() != b"filterby":
        raise Failure(SYNTAX)
    chosen = _filtered(arguments[3].lower(), arguments[4])
    return resp.array([resp.bulk(entry.name.encode()) for entry in chosen])


def _filtered(by: bytes, what: bytes) -> list[Command]:
    every = [one for entry in _all() for one in (entry, *entry.subcommands.values())]
    if by == b"module":
        return []
    if by == b"aclcat":
        return [entry for entry in every if what.decode("utf-8", "replace").lower() in _categories(entry)]
    if by == b"pattern":
        matches = matcher(what, ignores_case=True)
        return [entry for entry in every if matches(entry.name.encode())]
    raise Failure(SYNTAX)


@subcommand("command|getkeys", -4, _FLAGS, since="2.8.13", summary="Extract keys given a full Redis command")
def keys_asked(_: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.array([resp.bulk(key) for key in keys_of(*_whole(arguments[2:]))])


@subcommand("command|getkeysandflags", -4, _FLAGS, since="7.0.0", summary="Extract keys and access flags of a command")
def keys_and_flags(session: RedisSession, arguments: list[bytes]) -> bytes:
    found = keys_with_accesses(*_whole(arguments[2:]))
    return resp.array([resp.array([resp.bulk(key), _words(accesses, session.proto)]) for key, accesses in found])


def _whole(arguments: list[bytes]) -> tuple[Command, list[bytes]]:
    """The command that these arguments are. Raises `Failure` for one that has no keys, or can't be."""
    entry = COMMANDS.get(arguments[0].lower())
    if entry is not None and entry.subcommands and len(arguments) > 1:
        entry = entry.subcommands.get(arguments[1].lower())
    if entry is None:
        raise Failure("ERR Invalid command specified")
    if not entry.keys[0]:
        raise Failure("ERR The command has no key arguments")
    if not entry.takes(len(arguments)):
        raise Failure("ERR Invalid number of arguments specified for command")
    return entry, arguments
