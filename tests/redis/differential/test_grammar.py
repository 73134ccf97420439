"""The grammar knows every command that we have; what it leaves out has its reason."""

from __future__ import annotations

from mvcc_kv.server.redis import handlers
from mvcc_kv.server.redis.commands import COMMANDS as TABLE

from .grammar import COMMANDS

_ELSEWHERE = {
    "START": "ours",
    "COMMIT": "ours",
    "ROLLBACK": "ours",
    "CONFLICT": "ours",
    "QUIT": "ends the connection",
    "SHUTDOWN": "ends the server",
    "DEBUG": "refused here",
    "SUBSCRIBE": "turns the connection into another; test_redis_py.py",
    "UNSUBSCRIBE": "so it does",
    "PSUBSCRIBE": "so it does",
    "PUNSUBSCRIBE": "so it does",
    "INFO": "of the servers themselves; Redis's unit info-command",
    "SAVE": "of the disk, which they don't have; Redis's unit other",
    "BGSAVE": "of the disk",
    "BGREWRITEAOF": "of the disk",
    "WAIT": "of replicas; may wait for ever",
    "LOLWUT": "of the version, in pictures",
}


def test_every_command_is_tried_or_left_out_for_a_reason() -> None:
    assert "strings" in handlers.__all__, "what fills the table is imported"
    names = {name.decode() for name in TABLE if name.isupper()}
    assert names - set(COMMANDS) == set(_ELSEWHERE)
    assert set(COMMANDS) - names == {"NOSUCHCOMMAND"}
