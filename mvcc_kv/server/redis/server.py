"""The server as a whole: TIME, SAVE and BGSAVE, ROLE, SHUTDOWN, DEBUG, and what asks for scripts that are not there."""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.errors import Error
from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer_of
from mvcc_kv.server.redis.commands import command, subcommand
from mvcc_kv.server.redis.failures import (
    NOT_A_FLOAT,
    NOT_AN_INTEGER,
    SYNTAX,
    Failure,
    shown,
    wrong_arity,
    wrong_subcommand,
)
from mvcc_kv.server.redis.greeting import REDIS_VERSION
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.session import RedisSession
from mvcc_kv.version import __version__

__all__: list[str] = []

_GROUP = "server"
_SLEEP_S_MAX = 3600.0
_LOLWUT_NUMBERS: dict[int | None, int] = {5: 3, 6: 2}  # of a version's picture: columns, rows and the like


@command("time", 1, "loading stale fast", group=_GROUP, since="2.6.0", summary="Return the current server time")
def time(session: RedisSession, _: list[bytes]) -> bytes:
    seconds, microseconds = divmod(session.services.store.now_us(), 1_000_000)
    return resp.array([resp.bulk(b"%d" % seconds), resp.bulk(b"%d" % microseconds)])


@command("role", 1, "noscript loading stale fast", group=_GROUP, since="2.8.12", summary="Return the instance's role")
def role(session: RedisSession, _: list[bytes]) -> bytes:
    visible_ts = session.services.store.visible_ts
    return resp.array([resp.bulk(b"master"), resp.integer(visible_ts), resp.EMPTY_ARRAY])


@command("lolwut", -1, "readonly fast", group=_GROUP, since="5.0.0", summary="Display the version")
def lolwut(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 2 and arguments[1].lower() == b"version":
        version = integer_of(arguments[2])
        numbers = arguments[3 : 3 + _LOLWUT_NUMBERS.get(version, 0)]
        if version is None or any(integer_of(number) is None for number in numbers):
            raise Failure(NOT_AN_INTEGER)
    text = f"Redis ver. {REDIS_VERSION}, spoken by mvcc-kv {__version__}\n"
    return resp.verbatim(text.encode(), session.proto)


# To the disk


@command("lastsave", 1, "loading stale fast", group=_GROUP, summary="Get the UNIX time of the last save to disk")
def last_save(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.integer(int(session.house.saved_at))


@command("save", 1, "no_async_loading admin noscript no_multi", group=_GROUP, summary="Save the dataset, then answer")
def save(session: RedisSession, _: list[bytes]) -> None:
    def answer(outcome: int | Error) -> None:
        session.say_later(resp.error(f"ERR {outcome.message}") if isinstance(outcome, Error) else resp.OK)

    _checkpoint(session, answer)


@command("bgsave", -1, "no_async_loading admin noscript", group=_GROUP, summary="Save the dataset, answer at once")
def save_later(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 2 or (len(arguments) == 2 and arguments[1].lower() != b"schedule"):
        raise Failure(SYNTAX)
    if session.house.is_saving:
        if len(arguments) == 1:
            raise Failure("ERR Background save already in progress")
        return resp.simple("Background saving scheduled")
    return _begun(session, "Background saving started")


@command("bgrewriteaof", 1, "no_async_loading admin noscript", group=_GROUP, summary="Rewrite the log, answer at once")
def rewrite_log(session: RedisSession, _: list[bytes]) -> bytes:
    """A checkpoint is what makes the log short here."""
    return _begun(session, "Background append only file rewriting started")


def _begun(session: RedisSession, said: str) -> bytes:
    refusals: list[Error] = []
    _checkpoint(session, lambda outcome: refusals.append(outcome) if isinstance(outcome, Error) else None)
    if refusals:
        raise Failure(f"ERR {refusals[0].message}")
    return resp.simple(said)


def _checkpoint(session: RedisSession, then: Callable[[int | Error], None]) -> None:
    house = session.house
    house.is_saving = True

    def answer(outcome: int | Error) -> None:
        house.is_saving = False
        then(outcome)

    session.services.checkpoint(answer)


@command("shutdown", -1, "admin noscript loading stale no_multi allow_busy", group=_GROUP, summary="Shut down")
def shut_down(_: RedisSession, __: list[bytes]) -> bytes:
    raise Failure("ERR SHUTDOWN is not for clients here; stop the server with SIGTERM, or Ctrl-C where it runs")


# For those who look inside


@command("debug", -2, "admin noscript loading stale", group=_GROUP, summary="For tests: SLEEP")
def debug(session: RedisSession, arguments: list[bytes]) -> bytes | None:
    what = arguments[1].lower()
    if what == b"sleep" and len(arguments) == 3:
        for_s = _seconds(arguments[2])
        if session.is_in_batch:
            return resp.OK  # EXEC is for nobody to wait in, since everybody would
        services = session.services
        services.deadlines.add(services.clock() + for_s, lambda _: session.say_later(resp.OK))
        return None  # this client waits, and nobody else
    if what == b"set-active-expire" and len(arguments) == 3:
        return resp.OK  # a key is gone when its time is up, whatever anybody sets
    if what == b"jmap":
        raise Failure("ERR DEBUG JMAP is not supported here; the line protocol's STATS tells what is known")
    raise Failure(f"ERR DEBUG {shown(what[:128]).upper()} is not supported here; only SLEEP and SET-ACTIVE-EXPIRE are")


def _seconds(text: bytes) -> float:
    """How long DEBUG SLEEP is to take."""
    try:
        for_s = float(text)
    except ValueError:
        raise Failure(NOT_A_FLOAT) from None
    if not 0 <= for_s <= _SLEEP_S_MAX:
        raise Failure(f"ERR DEBUG SLEEP is from 0 to {_SLEEP_S_MAX:.0f} seconds")
    return for_s


# Scripts: there are none, and to have none is what clients and test suites ask for


@command("function", -2, "", group="scripting", since="7.0.0", summary="A container for function commands")
def function(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("function")


@command("script", -2, "", group="scripting", since="2.6.0", summary="A container for Lua scripts commands")
def script(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("script")


enter_help(
    "function",
    """
    LIST [LIBRARYNAME PATTERN] [WITHCODE]
        Return general information on all the libraries:
        * Library name
        * The engine used to run the Library
        * Library description
        * Functions list
        * Library code (if WITHCODE is given)
        It also possible to get only function that matches a pattern using LIBRARYNAME argument.
    FLUSH [ASYNC|SYNC]
        Delete all the libraries.
        When called without the optional mode argument, the behavior is determined by the
        lazyfree-lazy-user-flush configuration directive. Valid modes are:
        * ASYNC: Asynchronously flush the libraries.
        * SYNC: Synchronously flush the libraries.
    """,
    since="7.0.0",
)
enter_help(
    "script",
    """
    EXISTS <sha1> [<sha1> ...]
        Return information about the existence of the scripts in the script cache.
    FLUSH [ASYNC|SYNC]
        Flush the Lua scripts cache. Very dangerous on replicas.
        When called without the optional mode argument, the behavior is determined by the
        lazyfree-lazy-user-flush configuration directive. Valid modes are:
        * ASYNC: Asynchronously flush the scripts cache.
        * SYNC: Synchronously flush the scripts cache.
    """,
    since="5.0.0",
)


@subcommand("function|flush", -2, "noscript write", since="7.0.0", summary="Deleting all functions")
def flush_functions(_: RedisSession, arguments: list[bytes]) -> bytes:
    return _flushed(arguments, "FUNCTION FLUSH only supports SYNC|ASYNC option")


@subcommand("script|flush", -2, "noscript", since="2.6.0", summary="Remove all the scripts from the script cache.")
def flush_scripts(_: RedisSession, arguments: list[bytes]) -> bytes:
    return _flushed(arguments, "SCRIPT FLUSH only support SYNC|ASYNC option")


def _flushed(arguments: list[bytes], complaint: str) -> bytes:
    if len(arguments) > 3:
        raise wrong_subcommand(arguments)
    if len(arguments) == 3 and arguments[2].lower() not in (b"async", b"sync"):
        raise Failure(f"ERR {complaint}")
    return resp.OK


@subcommand("function|list", -2, "noscript", since="7.0.0", summary="List information about all the functions")
def functions(_: RedisSession, arguments: list[bytes]) -> bytes:
    """None; `[LIBRARYNAME pattern] [WITHCODE]` would choose among them."""
    left, words = iter(arguments[2:]), {b"withcode", b"libraryname"}
    for word in left:
        if (option := word.lower()) not in words:
            raise Failure(f"ERR Unknown argument {shown(word)}")
        words.remove(option)
        if option == b"libraryname" and next(left, None) is None:
            raise Failure("ERR library name argument was not given")
    return resp.EMPTY_ARRAY


@subcommand("script|exists", -3, "noscript", since="2.6.0", summary="Check existence of scripts in the script cache.")
def has_scripts(_: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.array([resp.ZERO] * (len(arguments) - 2))
