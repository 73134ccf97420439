"""CONFIG: what there is to know and to set, by Redis's names."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.commands import command, subcommand
from mvcc_kv.server.redis.failures import SYNTAX, Failure, shown, wrong_arity
from mvcc_kv.server.redis.globbing import matcher
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.parameters import PARAMETERS, Parameter, Refusal
from mvcc_kv.server.redis.session import RedisSession

__all__: list[str] = []

_FLAGS = "admin noscript loading stale"


@command("config", -2, "", group="server", since="2.0.0", summary="A container for server configuration commands")
def config(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("config")


enter_help(
    "config",
    """
    GET <pattern>
        Return parameters matching the glob-like <pattern> and their values.
    SET <directive> <value>
        Set the configuration <directive> to <value>.
    RESETSTAT
        Reset statistics reported by the INFO command.
    REWRITE
        Rewrite the configuration file.
    """,
    since="5.0.0",
)


@subcommand("config|get", -3, _FLAGS, since="2.0.0", summary="Get the values of configuration parameters")
def get(session: RedisSession, arguments: list[bytes]) -> bytes:
    found: dict[bytes, Parameter] = {}
    for pattern in arguments[2:]:
        found |= _matching(pattern)
    pairs = [
        (resp.bulk(name), resp.bulk(parameter.value(session.house).encode("utf-8", "surrogateescape")))
        for name, parameter in found.items()
    ]
    return resp.mapping(pairs, session.proto)


def _matching(pattern: bytes) -> dict[bytes, Parameter]:
    """By the name that they are asked for by."""
    if not any(special in pattern for special in b"[*?"):
        parameter = _parameter(pattern)
        return {} if parameter is None else {pattern: parameter}
    matches = matcher(pattern, ignores_case=True)
    return {name.encode(): parameter for name, parameter in PARAMETERS.items() if matches(name.encode())}


def _parameter(name: bytes) -> Parameter | None:
    return PARAMETERS.get(name.decode("utf-8", "replace").lower())


@subcommand("config|set", -4, _FLAGS, since="2.0.0", summary="Set configuration parameters to the given values")
def put(session: RedisSession, arguments: list[bytes]) -> bytes:
    """All of them, or none."""
    if len(arguments) % 2:
        raise Failure(SYNTAX)
    names, texts = arguments[2::2], arguments[3::2]
    chosen = _chosen(names)
    new = [_new(session, parameter, text) for parameter, text in zip(chosen, texts, strict=True)]
    for parameter, value in zip(chosen, new, strict=True):
        parameter.set(session.house, value)
    return resp.OK


def _chosen(names: list[bytes]) -> list[Parameter]:
    found: dict[str, Parameter] = {}
    wrong: Failure | None = None
    for name in names:
        parameter = _parameter(name)
        if parameter is None:
            raise wrong or Failure(f"ERR Unknown option or number of arguments for CONFIG SET - '{shown(name)}'")
        if wrong is None and parameter.is_immutable:
            wrong = _failed(name.decode(), "can't set immutable config")
        elif wrong is None and name.decode().lower() in found:
            wrong = _failed(name.decode(), "duplicate parameter")
        found[name.decode().lower()] = parameter
    if wrong is not None:
        raise wrong
    return list(found.values())


def _new(session: RedisSession, parameter: Parameter, text: bytes) -> str:
    try:
        return parameter.new(session.house, text)
    except Refusal as refusal:
        raise _failed(parameter.name, str(refusal)) from None


def _failed(name: str, why: str) -> Failure:
    return Failure(f"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")


@subcommand("config|resetstat", 2, _FLAGS, since="2.0.0", summary="Reset the stats returned by INFO")
def reset_counts(session: RedisSession, _: list[bytes]) -> bytes:
    session.house.reset_counts()
    return resp.OK


@subcommand("config|rewrite", 2, _FLAGS, since="2.8.0", summary="Rewrite the configuration file")
def rewrite(_: RedisSession, __: list[bytes]) -> bytes:
    raise Failure("ERR The server is running without a config file")
