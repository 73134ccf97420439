"""Keys, whatever they hold: DEL, EXISTS, RENAME, COPY, FLUSHALL and their kin."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command
from mvcc_kv.server.redis.failures import SYNTAX, Failure
from mvcc_kv.server.redis.session import RedisSession

__all__ = ["database"]

_ONE = (1, 1, 1)
_TWO = (1, 2, 1)
_ALL = (1, -1, 1)
_INT32_MAX = 2**31 - 1
_NO_SUCH_KEY = "ERR no such key"
_NO_SUCH_DATABASE = "ERR DB index is out of range"
_SAME_OBJECT = "ERR source and destination objects are the same"


@command("del", -2, "write", keys=_ALL, summary="Deletes one or more keys.")
@command("unlink", -2, "write fast", keys=_ALL, since="4.0.0", summary="Deletes one or more keys, as DEL.")
def delete(session: RedisSession, arguments: list[bytes]) -> bytes:
    session.effort = len(arguments)
    return resp.integer(sum(map(session.space.delete, arguments[1:])))


@command("exists", -2, "readonly fast", keys=_ALL, summary="Determines whether one or more keys exist.")
@command("touch", -2, "readonly fast", keys=_ALL, since="3.2.1", summary="Counts those of the keys that exist.")
def exists(session: RedisSession, arguments: list[bytes]) -> bytes:
    get = session.space.get
    session.effort = len(arguments)
    return resp.integer(sum(get(key) is not None for key in arguments[1:]))


@command("type", 2, "readonly fast", keys=_ONE, summary="Determines the type of value stored at a key.")
def type_of(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.simple("none" if session.space.get(arguments[1]) is None else "string")


@command("rename", 3, "write", keys=_TWO, summary="Renames a key and overwrites the destination.")
def rename(session: RedisSession, arguments: list[bytes]) -> bytes:
    _move(session, arguments[1], arguments[2], may_overwrite=True)
    return resp.OK


@command("renamenx", 3, "write fast", keys=_TWO, summary="Renames a key only when the target key does not exist.")
def rename_new(session: RedisSession, arguments: list[bytes]) -> bytes:
    return resp.integer(_move(session, arguments[1], arguments[2], may_overwrite=False))


def _move(session: RedisSession, source: bytes, target: bytes, *, may_overwrite: bool) -> bool:
    """Whether the target is what the source was; its expiry goes with it."""
    space = session.space
    value = space.get(source)
    if value is None:
        raise Failure(_NO_SUCH_KEY)
    if source == target or not (may_overwrite or space.get(target) is None):
        return False
    space.put(target, value)
    space.delete(source)
    return True


@command("copy", -3, "write denyoom", keys=_TWO, since="6.2.0", summary="Copies the value of a key to a new key.")
def copy(session: RedisSession, arguments: list[bytes]) -> bytes:
    may_overwrite = False
    left = iter(arguments[3:])
    for word in left:
        option = word.upper()
        if option == b"REPLACE":
            may_overwrite = True
        elif option == b"DB" and (index := next(left, None)) is not None:
            database(index)
        else:
            raise Failure(SYNTAX)
    return resp.integer(_copy(session, arguments[1], arguments[2], may_overwrite=may_overwrite))


def _copy(session: RedisSession, source: bytes, target: bytes, *, may_overwrite: bool) -> bool:
    if source == target:
        raise Failure(_SAME_OBJECT)
    space = session.space
    value = space.get(source)
    if value is None or not (may_overwrite or space.get(target) is None):
        return False
    space.put(target, value)
    return True


@command("move", 3, "write fast", keys=_ONE, summary="Moves a key to another database; there is only one.")
def move(session: RedisSession, arguments: list[bytes]) -> bytes:
    database(arguments[2])
    raise Failure(_SAME_OBJECT)


@command("swapdb", 3, "write fast", group="server", since="4.0.0", summary="Swaps two databases; there is only one.")
def swap(_: RedisSession, arguments: list[bytes]) -> bytes:
    for index, which in zip(arguments[1:], ("first", "second"), strict=True):
        refusal = f"ERR invalid {which} DB index"
        if not _is_int32(integer(index, refusal)):
            raise Failure(refusal)
    if arguments[1:] != [b"0", b"0"]:
        raise Failure(_NO_SUCH_DATABASE)
    return resp.OK


def database(index: bytes) -> None:
    """The one database that there is. Raises Redis's failures for others."""
    number = integer(index)
    if not _is_int32(number):
        raise Failure(f"ERR value is out of range, value must between {-_INT32_MAX - 1} and {_INT32_MAX}")
    if number != 0:
        raise Failure(_NO_SUCH_DATABASE)


def _is_int32(number: int) -> bool:
    return -_INT32_MAX - 1 <= number <= _INT32_MAX


@command("dbsize", 1, "readonly fast", group="server", summary="Returns the number of keys in the database.")
def count(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.integer(session.space.count())


@command("flushdb", -1, "write", group="server", summary="Removes all keys from the current database.")
@command("flushall", -1, "write", group="server", summary="Removes all keys from all databases.")
def flush(session: RedisSession, arguments: list[bytes]) -> bytes:
    if len(arguments) > 2 or (len(arguments) == 2 and arguments[1].upper() not in (b"ASYNC", b"SYNC")):
        raise Failure(SYNTAX)
    session.effort = session.space.clear()
    return resp.OK


@command("wait", 3, "noscript", since="3.0.0", summary="Waits for replicas; there are none.")
def wait(_: RedisSession, arguments: list[bytes]) -> bytes:
    integer(arguments[1])
    if integer(arguments[2], "ERR timeout is not an integer or out of range") < 0:
        raise Failure("ERR timeout is negative")
    return resp.ZERO
