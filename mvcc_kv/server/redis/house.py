"""What all Redis sessions of one server share: who is there, where scans stand, what was counted."""

from __future__ import annotations

from secrets import token_hex
from time import time
from typing import TYPE_CHECKING

from mvcc_kv.server.redis.commands import COMMANDS
from mvcc_kv.server.redis.counting import Lookups, Rate, Tally
from mvcc_kv.server.redis.cursors import Cursors
from mvcc_kv.server.redis.quick import Outcome
from mvcc_kv.server.redis.slowlog import SlowLog
from mvcc_kv.server.redis.subscriptions import Exchange
from mvcc_kv.server.settings import Settings

if TYPE_CHECKING:
    from mvcc_kv.server.redis.commands import Command
    from mvcc_kv.server.redis.pausing import Pause
    from mvcc_kv.server.redis.session import RedisSession

__all__ = ["QUICK_S", "House"]

_ERROR_CODES_MAX = 128
_GET, _SET, _INCR, _PING = "get", "set", "incr", "ping"
_WATCH, _MULTI, _EXEC = "watch", "multi", "exec"
_START, _COMMIT = "start", "commit"
_UNTIMED = 0b1111  # of 16 calls 15
QUICK_S = 0.001
"""Who wants to know of commands that are faster than that, `slow_s`, has each of them timed."""


class House:
    """`sessions`: by id, in the order of coming. `tallies`: of each command, by name. `errors`: by their first word.

    `bulk_bytes_max`: how long an argument may be. `slowlog`: of the commands that took `slow_s`.
    `pause`: while CLIENT PAUSE holds. `configured`: what CONFIG SET changed. `address`: where it listens.
    `keeps`: it writes to a disk. `saved_at`: when a checkpoint was written, by the wall clock; at first, when the
    server came up. `run_id`: of this one start of the server. `lookups`, `rate`: for INFO.
    """

    def __init__(self, settings: Settings | None = None, *, address: str = "127.0.0.1:0", keeps: bool = False) -> None:
        self.settings = settings or Settings()
        self.address = address
        self.keeps = keeps
        self.sessions: dict[int, RedisSession] = {}
        self.cursors = Cursors()
        self.exchange = Exchange()
        self.bulk_bytes_max = self.settings.max_bulk_bytes
        self.slowlog = SlowLog()
        self.slow_s = 0.01
        self.pause: Pause | None = None
        self.is_stopping = False
        self.configured: dict[str, str] = {}
        self.saved_at = self.started_at = time()
        self.is_saving = False
        self.run_id = token_hex(20)
        self.lookups = Lookups()
        self._last_id = 0
        self.reset_counts()

    def reset_counts(self) -> None:
        """CONFIG RESETSTAT."""
        self.tallies: dict[str, Tally] = {}
        self.errors: dict[str, int] = {}
        self.came_total = 0
        self.lookups.hits = self.lookups.misses = 0
        self.rate = Rate()

    def enter(self, session: RedisSession) -> int:
        """Somebody has come; the number that he goes by."""
        self._last_id += 1
        self.came_total += 1
        self.sessions[self._last_id] = session
        return self._last_id

    def leave(self, session: RedisSession) -> None:
        """Somebody is gone. Calling it again does nothing."""
        self.sessions.pop(session.id, None)

    def end_pause(self) -> None:
        """Go on, if there is a pause."""
        under_way, self.pause = self.pause, None
        if under_way is not None:
            under_way.end()

    def stop(self) -> None:
        """The server stops: what waits for a pause to end is done now, and there is no other."""
        self.is_stopping = True
        self.end_pause()

    def tally(self, command: Command) -> Tally:
        """The command's counts. Of those that can't take long, a look at the clock is spared in most calls."""
        tally = self.tallies.get(command.name)
        if tally is None:
            is_spared = _is_quick(command) and self.slow_s >= QUICK_S
            tally = self.tallies[command.name] = Tally(untimed=_UNTIMED if is_spared else 0)
        return tally

    def count_lane(self, outcome: Outcome, took_s: float) -> None:
        """What the quick lane has done; its time is shared out evenly."""
        _, _, _, gets, sets, incrs, pings, hits, _, watches, execs, starts, commits, own_gets, _ = outcome
        each_s = took_s / ((gets + sets + incrs + pings + watches + 2 * execs + starts + commits) or 1)
        if gets:
            self._count(_GET, gets, each_s)
            self.lookups.hits += hits
            self.lookups.misses += gets - own_gets - hits
        if sets:
            self._count(_SET, sets, each_s)
        if incrs:
            self._count(_INCR, incrs, each_s)
        if pings:
            self._count(_PING, pings, each_s)
        if watches:
            self._count(_WATCH, watches, each_s)
        if execs:
            self._count(_MULTI, execs, each_s)
            self._count(_EXEC, execs, each_s)
        if starts:
            self._count(_START, starts, each_s)
        if commits:
            self._count(_COMMIT, commits, each_s)

    def _count(self, name: str, calls: int, each_s: float) -> None:
        tally = self.tallies.get(name) or self.tally(COMMANDS[name.encode()])
        tally.calls += calls
        tally.timed += calls
        tally.seconds += calls * each_s

    def note_slower_than(self, slow_s: float) -> None:
        """A command that takes so long is noted, from now on."""
        self.slow_s = slow_s
        if slow_s < QUICK_S:
            for tally in self.tallies.values():
                tally.untimed = 0

    def count_error(self, text: str) -> None:
        """A client was answered with this error."""
        code = text.partition(" ")[0]
        if code in self.errors or len(self.errors) < _ERROR_CODES_MAX:
            self.errors[code] = self.errors.get(code, 0) + 1

    def saved(self) -> None:
        """A checkpoint is on disk."""
        self.saved_at = time()

    @property
    def commands_total(self) -> int:
        """How many commands were executed."""
        return sum(tally.calls for tally in self.tallies.values())


def _is_quick(command: Command) -> bool:
    """Whether it is about one key at the most, and does little with it."""
    first, last, _ = command.keys
    return first == last and ("fast" in command.flags or command.group == "string")
