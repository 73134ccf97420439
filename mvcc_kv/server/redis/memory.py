"""MEMORY: what the process takes, and what a key takes, roughly."""

from __future__ import annotations

from mvcc_kv.protocol.resp import replies as resp
from mvcc_kv.server.redis.arguments import integer
from mvcc_kv.server.redis.commands import command, subcommand
from mvcc_kv.server.redis.failures import SYNTAX, Failure, wrong_arity
from mvcc_kv.server.redis.helping import enter_help
from mvcc_kv.server.redis.info import resident_bytes
from mvcc_kv.server.redis.session import RedisSession

__all__: list[str] = []

# An entry of the index, a version and its chain, two objects' headers.
_BYTES_BESIDE = 250


@command("memory", -2, "", group="server", since="4.0.0", summary="A container for memory diagnostics commands")
def memory(_: RedisSession, __: list[bytes]) -> bytes:
    raise wrong_arity("memory")


enter_help(
    "memory",
    """
    DOCTOR
        Return memory problems reports.
    MALLOC-STATS
        Return internal statistics report from the memory allocator.
    PURGE
        Attempt to purge dirty pages for reclamation by the allocator.
    STATS
        Return information about the memory usage of the server.
    USAGE <key> [SAMPLES <count>]
        Return memory in bytes used by <key> and its value. Nested values are
        sampled up to <count> times (default: 5, 0 means sample all).
    """,
    since="4.0.0",
)


@subcommand("memory|usage", -3, "readonly", keys=(2, 2, 1), since="4.0.0", summary="Estimate the memory usage of a key")
def usage(session: RedisSession, arguments: list[bytes]) -> bytes:
    options = arguments[3:]
    while options:
        if options[0].lower() != b"samples" or len(options) < 2:
            raise Failure(SYNTAX)
        if integer(options[1]) < 0:
            raise Failure(SYNTAX)
        options = options[2:]
    value = session.space.get(arguments[2])
    if value is None:
        return resp.null(session.proto)
    return resp.integer(len(arguments[2]) + len(value) + _BYTES_BESIDE)


@subcommand("memory|stats", 2, "", since="4.0.0", summary="Show memory usage details")
def stats(session: RedisSession, _: list[bytes]) -> bytes:
    counted = session.services.stats()
    keys, used = counted["keys"], resident_bytes()
    told = {
        "peak.allocated": used,
        "total.allocated": used,
        "startup.allocated": 0,
        "keys.count": keys,
        "keys.bytes-per-key": used // keys if keys else 0,
        "mvcc-kv.versions": counted["versions"],
        "mvcc-kv.pinned.bytes": counted["pinned_bytes"],
    }
    pairs = [(resp.bulk(name.encode()), resp.integer(value)) for name, value in told.items()]
    return resp.mapping(pairs, session.proto)


@subcommand("memory|doctor", 2, "", since="4.0.0", summary="Outputs memory problems report")
def doctor(session: RedisSession, _: list[bytes]) -> bytes:
    pinned = session.services.stats()["pinned_bytes"]
    return resp.verbatim(
        b"Sam, nothing is known to be wrong with this instance. Open transactions keep %d bytes of old versions alive; "
        b"INFO memory and the line protocol's STATS tell more.\n" % pinned,
        session.proto,
    )


@subcommand("memory|purge", 2, "", since="4.0.0", summary="Ask the allocator to release memory")
def purge(_: RedisSession, __: list[bytes]) -> bytes:
    return resp.OK  # as Redis says where its allocator can't


@subcommand("memory|malloc-stats", 2, "", since="4.0.0", summary="Show allocator internal stats")
def allocator(session: RedisSession, _: list[bytes]) -> bytes:
    return resp.verbatim(b"Stats not supported for the current allocator", session.proto)
