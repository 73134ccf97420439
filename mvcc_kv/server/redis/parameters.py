"""The parameters of CONFIG: what each is here, and what it may be set to.

given    decided when the server starts, by an option of ours or by what the store is; to set it to what it is, is
         allowed, to change it is refused with a word on why
live     obeyed at once
inert    about something that does not exist here, like the encodings of lists: kept, told, and of no effect
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mvcc_kv.server.redis.arguments import INT64_MAX, integer_of
from mvcc_kv.server.redis.slowlog import ENTRIES_MAX

if TYPE_CHECKING:
    from mvcc_kv.server.redis.house import House

__all__ = ["PARAMETERS", "Parameter", "Refusal"]

_INT_MAX = 2**31 - 1
_UNITS = {
    b"": 1,
    b"b": 1,
    b"k": 1000,
    b"kb": 1024,
    b"m": 1000**2,
    b"mb": 1024**2,
    b"g": 1000**3,
    b"gb": 1024**3,
}


class Refusal(Exception):
    """Why a parameter can't be set so."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """`initial`: its value at first. `parsed`: a new value as it is kept; raises `Refusal`. `obey`: put it into effect.

    `is_given`: it can't be changed, `why` not. `is_immutable`: Redis itself doesn't let it be set.
    """

    name: str
    initial: Callable[[House], str]
    parsed: Callable[[bytes], str]
    obey: Callable[[House, str], None] | None = None
    is_given: bool = False
    is_immutable: bool = False
    why: str = ""

    def value(self, house: House) -> str:
        return house.configured.get(self.name, self.initial(house)) if not self.is_given else self.initial(house)

    def new(self, house: House, text: bytes) -> str:
        """The new value, not yet set. Raises `Refusal`."""
        if self.is_immutable:
            raise Refusal("can't set immutable config")
        value = self.parsed(text)
        if self.is_given and value != self.value(house):
            raise Refusal(self.why)
        return value

    def set(self, house: House, value: str) -> None:
        if not self.is_given:
            house.configured[self.name] = value
            if self.obey is not None:
                self.obey(house, value)


# Values


def _text(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _yes_or_no(text: bytes) -> str:
    if text.lower() not in (b"yes", b"no"):
        raise Refusal("argument must be 'yes' or 'no'")
    return _text(text.lower())


def _number(low: int, high: int) -> Callable[[bytes], str]:
    def parsed(text: bytes) -> str:
        number = integer_of(text)
        if number is None:
            raise Refusal("argument couldn't be parsed into an integer")
        if not low <= number <= high:
            raise Refusal(f"argument must be between {low} and {high} inclusive")
        return str(number)

    return parsed


def _memory(low: int, high: int = INT64_MAX) -> Callable[[bytes], str]:
    def parsed(text: bytes) -> str:
        digits = text.rstrip(b"bBkKmMgG")
        unit = _UNITS.get(text[len(digits) :].lower())
        if unit is None or not digits.isdigit():
            raise Refusal("argument must be a memory value")
        number = int(digits[:20]) * unit
        if not low <= number <= high:
            raise Refusal(f"argument must be between {low} and {high} inclusive")
        return str(number)

    return parsed


def _one_of(*words: str) -> Callable[[bytes], str]:
    def parsed(text: bytes) -> str:
        if _text(text).lower() not in words:
            raise Refusal(f"argument(s) must be one of the following: {', '.join(words)}")
        return _text(text).lower()

    return parsed


# The table

PARAMETERS: dict[str, Parameter] = {}


def _given(
    name: str,
    initial: Callable[[House], str],
    why: str,
    parsed: Callable[[bytes], str] = _text,
    *,
    is_immutable: bool = False,
) -> None:
    PARAMETERS[name] = Parameter(name, initial, parsed, is_given=True, is_immutable=is_immutable, why=why)


def _always(value: str) -> Callable[[House], str]:
    return lambda _: value


def _inert(parsed: Callable[[bytes], str], listed: str) -> None:
    """`listed`: words `name=value`; names with commas between them are one parameter."""
    for word in listed.split():
        names, _, value = word.partition("=")
        parameter = Parameter(names.partition(",")[0], _always(value.replace("_", " ")), parsed)
        PARAMETERS.update(dict.fromkeys(names.split(","), parameter))


def _live(
    name: str, initial: Callable[[House], str], parsed: Callable[[bytes], str], obey: Callable[[House, str], None]
) -> None:
    PARAMETERS[name] = Parameter(name, initial, parsed, obey)


def _obey_bulk_len(house: House, value: str) -> None:
    house.bulk_bytes_max = int(value)


def _obey_slower_than(house: House, value: str) -> None:
    house.note_slower_than(int(value) / 1_000_000 if int(value) >= 0 else float("inf"))


def _obey_slowlog_len(house: House, value: str) -> None:
    house.slowlog.entries_max = int(value)
    house.slowlog.trim()


_FSYNC = {"always": "always", "interval": "everysec", "never": "no"}
_OPTION = "it is set when the server starts, with "
_NONE = "there is no such thing here, so it can't be changed"

_given("port", lambda house: house.address.rpartition(":")[2], _OPTION + "--port", _number(0, 65535))
_given("bind", lambda house: house.settings.host, _OPTION + "--host")
_given("maxclients", lambda house: str(house.settings.max_connections), _OPTION + "--max-connections")
_given("timeout", lambda house: str(int(house.settings.idle_timeout_s)), _OPTION + "--idle-timeout-s")
_given("requirepass", lambda house: house.settings.password or "", _OPTION + "--password or MVCC_KV_PASSWORD")
_given("appendonly", lambda house: "yes" if house.keeps else "no", _OPTION + "--data-dir or --in-memory", _yes_or_no)
_given(
    "appendfsync",
    lambda house: _FSYNC[house.settings.fsync] if house.keeps else "no",
    _OPTION + "--fsync and --data-dir or --in-memory",
    _one_of("everysec", "always", "no"),
)
_given("save", _always(""), "checkpoints are written as --checkpoint-interval-s and --checkpoint-log-bytes say")
_given("maxmemory", _always("0"), "there is no limit of memory here, and nothing is evicted", _memory(0))
_given(
    "maxmemory-policy",
    _always("noeviction"),
    "nothing is evicted here",
    _one_of(
        "volatile-lru",
        "volatile-lfu",
        "volatile-random",
        "volatile-ttl",
        "allkeys-lru",
        "allkeys-lfu",
        "allkeys-random",
        "noeviction",
    ),
)
_given("maxmemory-clients", _always("0"), "clients are bounded one by one, by --output-max-bytes", _memory(0))
_given("notify-keyspace-events", _always(""), "there are no keyspace notifications here; CHANGES tells of every commit")
_given("min-replicas-to-write", _always("0"), _NONE)
_given("min-slaves-to-write", _always("0"), _NONE)
_given("masterauth", _always(""), _NONE)
_given("masteruser", _always(""), _NONE)
_given("tls-port", _always("0"), _NONE)
_given("activedefrag", _always("no"), _NONE)
_given("latency-monitor-threshold", _always("0"), "latencies are not monitored here; see SLOWLOG")
_given("protected-mode", lambda house: "no" if house.settings.insecure else "yes", _OPTION + "--insecure")
_given("dir", _always(""), _OPTION + "--data-dir")
_given("dbfilename", _always("checkpoint.json"), "it has this one name")
for _name, _value in {
    "databases": "1",
    "cluster-enabled": "no",
    "daemonize": "no",
    "io-threads": "1",
    "supervised": "no",
    "logfile": "",
    "pidfile": "",
    "unixsocket": "",
    "aclfile": "",
    "replicaof": "",
    "slaveof": "",
    "tcp-backlog": "1024",
    "always-show-logo": "no",
    "rdbchecksum": "yes",
    "enable-debug-command": "no",
    "enable-module-command": "no",
    "enable-protected-configs": "no",
    "appendfilename": "log",
    "set-proc-title": "no",
}.items():
    _given(_name, _always(_value), "", is_immutable=True)

_live("proto-max-bulk-len", lambda house: str(house.settings.max_bulk_bytes), _memory(1024 * 1024), _obey_bulk_len)
_live("slowlog-log-slower-than", _always("10000"), _number(-1, INT64_MAX), _obey_slower_than)
_live("slowlog-max-len", _always(str(ENTRIES_MAX)), _number(0, INT64_MAX), _obey_slowlog_len)

_inert(
    _yes_or_no,
    """
    activerehashing=yes aof-load-truncated=yes aof-rewrite-incremental-fsync=yes aof-timestamp-enabled=no
    aof-use-rdb-preamble=yes crash-log-enabled=yes dynamic-hz=yes jemalloc-bg-thread=yes latency-tracking=yes
    lazyfree-lazy-eviction=no lazyfree-lazy-expire=no lazyfree-lazy-server-del=no lazyfree-lazy-user-del=no
    lazyfree-lazy-user-flush=no no-appendfsync-on-rewrite=no rdb-save-incremental-fsync=yes rdbcompression=yes
    replica-lazy-flush,slave-lazy-flush=no replica-read-only,slave-read-only=yes repl-diskless-sync=yes
    replica-serve-stale-data,slave-serve-stale-data=yes stop-writes-on-bgsave-error=yes
    """,
)
_inert(
    _number(-_INT_MAX - 1, INT64_MAX),
    """
    active-expire-effort=1 auto-aof-rewrite-percentage=100 hash-max-listpack-entries,hash-max-ziplist-entries=512
    hash-max-listpack-value,hash-max-ziplist-value=64 hz=10 lfu-decay-time=1 lfu-log-factor=10
    list-compress-depth=0 list-max-listpack-size,list-max-ziplist-size=-2 lua-time-limit,busy-reply-threshold=5000
    maxmemory-samples=5 repl-backlog-ttl=3600 repl-diskless-sync-delay=5 repl-ping-replica-period=10 repl-timeout=60
    replica-priority,slave-priority=100 set-max-intset-entries=512 shutdown-timeout=10 stream-node-max-entries=100
    tcp-keepalive=300 tracking-table-max-keys=1000000 zset-max-listpack-entries,zset-max-ziplist-entries=128
    zset-max-listpack-value,zset-max-ziplist-value=64 acllog-max-len=128
    """,
)
_inert(
    _memory(0),
    """
    auto-aof-rewrite-min-size=67108864 client-query-buffer-limit=1073741824 hll-sparse-max-bytes=3000
    repl-backlog-size=1048576 stream-node-max-bytes=4096
    """,
)
_inert(_one_of("debug", "verbose", "notice", "warning"), "loglevel=notice")
_inert(_one_of("no", "yes", "clients"), "sanitize-dump-payload=no")
_inert(_text, "latency-tracking-info-percentiles=50_99_99.9 shutdown-on-sigint=default shutdown-on-sigterm=default")
_given(
    "client-output-buffer-limit",
    lambda house: " ".join(f"{kind} {house.settings.output_max_bytes} 0 0" for kind in ("normal", "slave", "pubsub")),
    _OPTION + "--output-max-bytes",
)
