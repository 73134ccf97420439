"""The same words said to us and to a real redis-server: the same replies, in RESP2 and RESP3.

What differs by nature (numbers of clients, times, sizes) is not asked for here. A line is one conversation.
"""

from __future__ import annotations

import shlex
from typing import Any

import hiredis
import pytest

from tests.server.redis.clients import Client, Place
from tests.server.redis.real import RealRedis

CONVERSATIONS = {
    "greeting": """
        PING | PING a | PING a b | ECHO | ECHO a | SELECT 0 | SELECT 99 | SELECT x | SELECT -1 | SELECT 3000000000
        AUTH | AUTH x | AUTH default x | AUTH u x | AUTH a b c | HELLO x | HELLO 4 | HELLO 1 | HELLO 2 FOO
        HELLO 2 SETNAME | HELLO 2 AUTH default | HELLO 2 AUTH u p | HELLO 2 SETNAME 'a b' | HELLO 2 SETNAME
    """,
    "clients": r"""
        CLIENT | CLIENT FOO | CLIENT foo bar | CLIENT GETNAME | CLIENT SETNAME 'a b' | CLIENT SETNAME x | CLIENT GETNAME
        CLIENT SETNAME '' | CLIENT GETNAME | CLIENT SETNAME | CLIENT ID x | CLIENT MAINT_NOTIFICATIONS ON
        CLIENT KILL | CLIENT KILL 1.2.3.4:5 | CLIENT KILL ID x | CLIENT KILL ID 0 | CLIENT KILL ID 9999999
        CLIENT KILL TYPE x | CLIENT KILL USER x | CLIENT KILL SKIPME x | CLIENT KILL ID 10 FOO | CLIENT KILL ADDR
        CLIENT KILL TYPE pubsub | CLIENT KILL ADDR 1.2.3.4:5 TYPE normal | CLIENT KILL LADDR 1.2.3.4:5
        CLIENT REPLY | CLIENT REPLY x | CLIENT REPLY ON | CLIENT PAUSE | CLIENT PAUSE x | CLIENT PAUSE -1
        CLIENT PAUSE 1 x | CLIENT PAUSE 1 2 3 | CLIENT UNPAUSE | CLIENT NO-EVICT | CLIENT NO-EVICT on
        CLIENT NO-EVICT x | CLIENT NO-EVICT off | CLIENT GETREDIR | CLIENT TRACKING | CLIENT TRACKING x
        CLIENT TRACKING off | CLIENT TRACKINGINFO | CLIENT CACHING yes | CLIENT UNBLOCK | CLIENT UNBLOCK x
        CLIENT UNBLOCK 1 x | CLIENT UNBLOCK 999999 | CLIENT UNBLOCK 999999 error | CLIENT UNBLOCK 1 2 3
        CLIENT HELP | CLIENT HELP x | CLIENT LIST x | CLIENT LIST TYPE x | CLIENT LIST ID x | CLIENT LIST ID 999999
        CLIENT LIST ID | CLIENT LIST TYPE
    """,
    "config": """
        CONFIG | CONFIG GET | CONFIG GET nosuch | CONFIG GET maxmemory | CONFIG GET MAXMEMORY
        CONFIG GET maxmemory maxmemory | CONFIG GET zset-max-ziplist-entries | CONFIG SET | CONFIG SET a
        CONFIG SET nosuch 1 | CONFIG SET maxmemory bla | CONFIG SET maxmemory 0 | CONFIG SET hz x
        CONFIG SET activerehashing x | CONFIG SET daemonize yes | CONFIG SET hz 10 hz 20 | CONFIG SET hz 10 nosuch 1
        CONFIG SET daemonize yes nosuch 1 | CONFIG SET hz 10 maxmemory | CONFIG SET proto-max-bulk-len 1
        CONFIG SET proto-max-bulk-len 2mb | CONFIG GET proto-max-bulk-len | CONFIG SET proto-max-bulk-len 512mb
        CONFIG SET slowlog-max-len -1 | CONFIG SET slowlog-log-slower-than -2 | CONFIG SET loglevel foo
        CONFIG REWRITE | CONFIG HELP | CONFIG FOO | CONFIG RESETSTAT x | CONFIG RESETSTAT | CONFIG SET save ''
        CONFIG GET save | CONFIG SET appendonly no | CONFIG SET appendonly maybe
        CONFIG SET maxmemory-policy noeviction | CONFIG SET maxmemory-policy foo
        CONFIG SET notify-keyspace-events '' | CONFIG GET notify-keyspace-events
        CONFIG SET proto-max-bulk-len 1x | CONFIG SET hash-max-ziplist-entries 5 | CONFIG GET hash-max-listpack-entries
        CONFIG SET hash-max-listpack-entries 512 hash-max-ziplist-entries 5 | CONFIG SET hash-max-listpack-entries 512
    """,
    "command": """
        COMMAND COUNT x | COMMAND HELP | COMMAND FOO | COMMAND GETKEYS | COMMAND GETKEYS get | COMMAND GETKEYS get a
        COMMAND GETKEYS get a b | COMMAND GETKEYS nosuch a | COMMAND GETKEYS ping a | COMMAND GETKEYS mset a b c d
        COMMAND GETKEYS memory usage x | COMMAND GETKEYS client id a | COMMAND LIST FOO | COMMAND LIST FILTERBY
        COMMAND LIST FILTERBY foo bar | COMMAND LIST FILTERBY module x | COMMAND LIST FILTERBY PATTERN get
        COMMAND DOCS nosuch | COMMAND GETKEYSANDFLAGS get a | COMMAND GETKEYS bitop and a b c
    """,
    "server": """
        TIME x | LASTSAVE x | ROLE x | MEMORY | MEMORY FOO | MEMORY USAGE | MEMORY USAGE nosuch
        MEMORY USAGE k SAMPLES | MEMORY USAGE k SAMPLES x | MEMORY USAGE k FOO 1 | MEMORY HELP | MEMORY PURGE
        FUNCTION | FUNCTION FLUSH | FUNCTION FLUSH ASYNC | FUNCTION FLUSH x | FUNCTION FLUSH a b | FUNCTION LIST
        FUNCTION FOO | FUNCTION HELP x | SCRIPT HELP x | SCRIPT | SCRIPT FLUSH | SCRIPT FLUSH x | SCRIPT EXISTS
        SCRIPT EXISTS a b | SCRIPT FOO | BGSAVE x | BGSAVE SCHEDULE x | DEBUG | LOLWUT VERSION x
        LOLWUT version 99999999999999999999
        LOLWUT VERSION 5 1 x | LOLWUT VERSION 5 1 1 1.5 y | LOLWUT VERSION 6 1 x 1
    """,
    "slowness": """
        SLOWLOG | SLOWLOG FOO | SLOWLOG HELP | SLOWLOG GET x | SLOWLOG GET -2 | SLOWLOG GET 1 2 | SLOWLOG LEN x
        SLOWLOG RESET | SLOWLOG LEN | SLOWLOG GET | LATENCY | LATENCY HELP | LATENCY LATEST | LATENCY HISTORY x
        LATENCY HISTORY | LATENCY GRAPH x | LATENCY RESET | LATENCY RESET a b | LATENCY FOO
    """,
    "pubsub": """
        PUBSUB | PUBSUB FOO | PUBSUB CHANNELS | PUBSUB CHANNELS a b | PUBSUB NUMSUB | PUBSUB NUMSUB a b | PUBSUB NUMPAT
        PUBSUB NUMPAT x | PUBLISH | PUBLISH a | PUBLISH a b | SUBSCRIBE | UNSUBSCRIBE | PUNSUBSCRIBE | UNSUBSCRIBE a
        SUBSCRIBE a | SUBSCRIBE a | PSUBSCRIBE a* | PUBSUB CHANNELS | PUBSUB CHANNELS b* | GET a | PING | PING x
        CLIENT ID x | SET a | NOSUCH | MULTI | ECHO x | UNSUBSCRIBE | PUNSUBSCRIBE | PING | RESET | PSUBSCRIBE a*
        RESET | PUBSUB NUMPAT | GET a
    """,
    "multi": """
        MULTI | CLIENT ID x | EXEC | MULTI | SAVE | EXEC | MULTI | SUBSCRIBE a | EXEC | UNSUBSCRIBE a | RESET | MULTI
        SELECT 99 | PING | EXEC | MULTI | CLIENT FOO | EXEC | MULTI | RESET | EXEC | WATCH k | RESET | MULTI
        CLIENT SETNAME z | CLIENT GETNAME | EXEC | MULTI | SHUTDOWN | EXEC
    """,
}


def plain(reply: Any) -> Any:
    """A reply that can be compared: errors as their texts."""
    if isinstance(reply, hiredis.ReplyError):
        return ("error", str(reply))
    if isinstance(reply, list):
        return [plain(one) for one in reply]
    return reply


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_same_words_get_the_same_replies(redis_server: RealRedis, name: str, proto: int) -> None:
    ours, theirs = Place().client(), redis_server.another()
    try:
        theirs("RESET"), ours("HELLO", proto), theirs("HELLO", proto)
        for said in CONVERSATIONS[name].replace("\n", "|").split("|"):
            words = shlex.split(said)
            if words:
                assert (words, plain(ours(*words))) == (words, plain(theirs(*words)))
    finally:
        theirs.close()


DESCRIBED = """
    auth echo hello select quit reset ping client subscribe psubscribe unsubscribe publish pubsub pubsub|numsub
    time info save bgsave lastsave role lolwut multi exec watch memory|usage config config|set config|get
    command command|docs slowlog|get latency|reset function|flush script|flush set get del incr mset expire keys
    flushall flushdb dbsize type scan exists append getrange strlen nosuch client|id client|list client|kill
    client|nosuch
"""


@pytest.mark.parametrize("name", DESCRIBED.split())
def test_a_command_is_described_as_by_redis(redis_server: RealRedis, name: str) -> None:
    assert description(Place().client(), name) == description(redis_server, name)


def description(client: Client | RealRedis, name: str) -> list[Any] | None:
    """Arity, flags, keys and categories; tips and subcommands are fewer here."""
    (told,) = client("COMMAND", "INFO", name)
    if told is None:
        return None
    arity, flags, *keys, categories = told[1:7]
    return [told[0], arity, sorted(flags), keys, sorted(categories), len(told[8])]
