"""CLIENT: who is connected, by what name, and who has to go."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.client_lines import client_line, is_of_type
from mvcc_kv.server.redis.commands import command, subcommand
from mvcc_kv.server.redis.failures import SYNTAX, Failure, shown, wrong_arity, wrong_subcommand
from mvcc_kv.server.redis.greeting import set_name
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.pausing import pause, unpause
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.server.redis.silence import Silence

__all__: list[str] = []

_OWN = "noscript loading stale"
_ADMIN = "admin noscript loading stale"


@command("client", -2, "", group="connection", since="2.4.0", summary="A container for client connection commands")
def client(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("client")


enter_help(
    "client",
    """
    CACHING (YES|NO)
        Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.
    GETREDIR
        Return the client ID we are redirecting to when tracking is enabled.
    GETNAME
        Return the name of the current connection.
    ID
        Return the ID of the current connection.
    INFO
        Return information about the current client connection.
    KILL <ip:port>
        Kill connection made from <ip:port>.
    KILL <option> <value> [<option> <value> [...]]
        Kill connections. Options are:
        * ADDR (<ip:port>|<unixsocket>:0)
          Kill connections made from the specified address
        * LADDR (<ip:port>|<unixsocket>:0)
          Kill connections made to specified local address
        * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)
          Kill connections by type.
        * USER <username>
          Kill connections authenticated by <username>.
        * SKIPME (YES|NO)
          Skip killing current connection (default: yes).
    LIST [options ...]
        Return information about client connections. Options:
        * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)
          Return clients of specified type.
    UNPAUSE
        Stop the current client pause, resuming traffic.
    PAUSE <timeout> [WRITE|ALL]
        Suspend all, or just write, clients for <timeout> milliseconds.
    REPLY (ON|OFF|SKIP)
        Control the replies sent to the current connection.
    SETNAME <name>
        Assign the name <name> to the current connection.
    UNBLOCK <clientid> [TIMEOUT|ERROR]
        Unblock the specified blocked client.
    TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]]
             [OPTIN] [OPTOUT] [NOLOOP]
        Control server assisted client side caching.
    TRACKINGINFO
        Report tracking status for the current connection.
    NO-EVICT (ON|OFF)
        Protect current client connection from eviction.
    """,
    since="5.0.0",
)


@subcommand("client|id", 2, _OWN, since="5.0.0", summary="Returns the client ID for the current connection")
def number(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.integer(session.id)


@subcommand("client|getname", 2, _OWN, since="2.6.9", summary="Get the current connection name")
def get_name(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.bulk(session.name) if session.name else resp.null(session.proto)


@subcommand("client|setname", 3, _OWN, since="2.6.9", summary="Set the current connection name")
def rename(session: RedisSession, arguments: list[bytes]) -> bytes:
    set_name(session, arguments[2])
    return resp.OK


@subcommand("client|setinfo", 4, _OWN, since="7.2.0", summary="Set client or connection specific info")
def set_info(session: RedisSession, arguments: list[bytes]) -> bytes:
    option = shown(arguments[2])
    name = option.lower()
    if name not in ("lib-name", "lib-ver"):
        raise Failure(f"ERR Unrecognized option '{option}'")
    if not all(0x21 <= byte <= 0x7E for byte in arguments[3]):
        raise Failure(f"ERR {name} cannot contain spaces, newlines or special characters.")
    session.library[name] = arguments[3]
    return resp.OK


# Who is there


@subcommand("client|info", 2, _OWN, since="6.2.0", summary="Returns information about the current client connection.")
def info(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.verbatim(client_line(session), session.proto)


@subcommand("client|list", -2, _ADMIN, since="2.4.0", summary="Get the list of client connections")
def everybody(session: RedisSession, arguments: list[bytes]) -> bytes:
    sessions = session.house.sessions
    chosen = list(sessions.values())
    session.effort = len(chosen)
    option = arguments[2].lower() if len(arguments) > 3 else b""
    if option == b"type" and len(arguments) == 4:
        chosen = [one for one in chosen if is_of_type(one, arguments[3])]
    elif option == b"id":
        numbers = [integer(word, "ERR Invalid client ID") for word in arguments[3:]]
        chosen = [sessions[one] for one in numbers if one in sessions]
    elif len(arguments) != 2:
        raise Failure(SYNTAX)
    return resp.verbatim(b"".join(client_line(one) for one in chosen), session.proto)


# Who has to go


@subcommand("client|kill", -3, _ADMIN, since="2.4.0", summary="Kill the connection of a client")
def kill(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) == 3:
        killed = _kill(session, {b"addr": arguments[2]}, spares_me=False)
        if not killed:
            raise Failure("ERR No such client")
        return resp.OK
    wanted, spares_me = _wanted(arguments[2:])
    return resp.integer(_kill(session, wanted, spares_me=spares_me))


def _wanted(words: list[bytes]) -> tuple[dict[bytes, bytes], bool]:
    """What the clients to kill have in common, and whether the one that asks is left alone."""
    wanted: dict[bytes, bytes] = {}
    for at in range(0, len(words), 2):
        option = words[at].lower()
        if option not in (b"id", b"type", b"addr", b"laddr", b"user", b"skipme") or at + 1 == len(words):
            raise Failure(SYNTAX)
        _check(option, words[at + 1])
        wanted[option] = words[at + 1]
    return wanted, wanted.pop(b"skipme", b"yes").lower() == b"yes"


def _check(option: bytes, value: bytes) -> None:
    if option == b"id":
        refusal = "ERR client-id should be greater than 0"
        if integer(value, refusal) < 1:
            raise Failure(refusal)
    elif option == b"user" and value != b"default":
        raise Failure(f"ERR No such user '{shown(value)}'")
    elif option == b"skipme" and value.lower() not in (b"yes", b"no"):
        raise Failure(SYNTAX)
    elif option == b"type":
        is_of_type(None, value)


def _kill(me: RedisSession, wanted: dict[bytes, bytes], *, spares_me: bool) -> int:
    me.effort = len(me.house.sessions)
    doomed = [one for one in me.house.sessions.values() if _is_wanted(one, wanted) and not (one is me and spares_me)]
    for one in doomed:
        if one is me:
            me.wants_to_close = True
        else:
            one.kill()
    return len(doomed)


def _is_wanted(one: RedisSession, wanted: dict[bytes, bytes]) -> bool:
    is_by_address = wanted.get(b"addr", address := (one.address or "").encode()) == address
    is_by_local = wanted.get(b"laddr", local := one.house.address.encode()) == local
    is_by_type = b"type" not in wanted or is_of_type(one, wanted[b"type"])
    return is_by_address and is_by_local and is_by_type and int(wanted.get(b"id", one.id)) == one.id


@subcommand("client|unblock", -3, _ADMIN, since="5.0.0", summary="Unblock a client blocked in a blocking command")
def unblock(_: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 4:
        raise wrong_subcommand(arguments)
    if len(arguments) == 4 and arguments[3].lower() not in (b"timeout", b"error"):
        raise Failure("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
    integer(arguments[2])
    return resp.ZERO  # no command of ours blocks


# How a client is served


@subcommand("client|reply", 3, _OWN, since="3.2.0", summary="Instruct the server whether to reply to commands")
def reply(session: RedisSession, arguments: list[bytes]) -> bytes:
    mode = arguments[2].lower()
    if mode == b"on":
        session.silence = Silence.BROKEN
        return resp.OK
    if mode == b"off":
        session.silence = Silence.OFF
    elif mode == b"skip":
        if session.silence is not Silence.OFF:
            session.silence = Silence.SKIP
    else:
        raise Failure(SYNTAX)
    return b""


@subcommand("client|pause", -3, _ADMIN, since="2.9.50", summary="Stop processing commands from clients for some time")
def hold(session: RedisSession, arguments: list[bytes]) -> bytes:
    mode = arguments[3].lower() if len(arguments) > 3 else b"all"
    if len(arguments) > 4:
        raise wrong_subcommand(arguments)
    if mode not in (b"all", b"write"):
        raise Failure("ERR CLIENT PAUSE mode must be WRITE or ALL")
    for_ms = integer(arguments[2], "ERR timeout is not an integer or out of range")
    if for_ms < 0:
        raise Failure("ERR timeout is negative")
    pause(session, for_ms / 1000, is_for_all=mode == b"all")
    return resp.OK


@subcommand("client|unpause", 2, _ADMIN, since="6.2.0", summary="Resume processing of clients that were paused")
def go_on(session: RedisSession, _: list[bytes]) -> bytes:
    unpause(session)
    return resp.OK


def _flag(session: RedisSession, flag: str, word: bytes) -> bytes:
    if word.lower() == b"on":
        session.flags.add(flag)
    elif word.lower() == b"off":
        session.flags.discard(flag)
    else:
        raise Failure(SYNTAX)
    return resp.OK


@subcommand("client|no-evict", 3, _ADMIN, since="7.0.0", summary="Set client eviction mode for the current connection")
def no_evict(session: RedisSession, arguments: list[bytes]) -> bytes:
    return _flag(session, "e", arguments[2])  # nobody is evicted here


@subcommand("client|no-touch", 3, _OWN, since="7.2.0", summary="Controls whether commands alter the LRU/LFU of keys")
def no_touch(session: RedisSession, arguments: list[bytes]) -> bytes:
    return _flag(session, "T", arguments[2])  # no key has an LRU here


# What Redis tells clients that keep copies


@subcommand("client|tracking", -3, _OWN, since="6.0.0", summary="Enable or disable server assisted client side caching")
def tracking(_: RedisSession, arguments: list[bytes]) -> bytes:
    mode = arguments[2].lower()
    if mode == b"on":
        raise Failure("ERR CLIENT TRACKING is not supported here; go on without client side caching")
    if mode != b"off":
        raise Failure(SYNTAX)
    return resp.OK


@subcommand("client|caching", 3, _OWN, since="6.0.0", summary="Instruct the server about tracking or not keys")
def caching(_: RedisSession, __: list[bytes]) -> bytes:
    raise Failure(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
    )


@subcommand("client|getredir", 2, _OWN, since="6.0.0", summary="Get tracking notifications redirection client ID")
def redirection(_: RedisSession, __: list[bytes]) -> bytes:
    return resp.integer(-1)


@subcommand("client|trackinginfo", 2, _OWN, since="6.2.0", summary="Return information about client side caching")
def tracking_info(session: RedisSession, _: list[bytes]) -> bytes:
    told = [
        (resp.bulk(b"flags"), resp.set_of([resp.bulk(b"off")], session.proto)),
        (resp.bulk(b"redirect"), resp.integer(-1)),
        (resp.bulk(b"prefixes"), resp.EMPTY_ARRAY),
    ]
    return resp.mapping(told, session.proto)
