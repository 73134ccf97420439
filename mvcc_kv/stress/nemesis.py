"""The nemesis: breaks things while clients work, one after the other, and mends them again.

    time  --- quiet ---|= kill ... restart =|--- quiet ---|= pause ... resume =|--- quiet ---|= cut =|---

    kill        SIGKILL, and a start on the same data      restart     SIGTERM, and a start
    pause       SIGSTOP, and SIGCONT                       disk-full   no file may grow; mended by a kill and a start
    slow-disk   each fsync takes longer                    cut         connections are reset
    half-open   one direction says nothing any more        slow        each piece is delayed, in both directions
    clock       its wall clock jumps, and back             power-loss  a kill after which nothing unsynced is there
    sync-error  each fsync fails, and loses what it was for; mended by a kill and a start

What comes when and for how long is drawn from the seed. Each fault is noted with its beginning and its end: pictures
and reports show them, and a run that was to have faults and had none of a kind is not valid.
"""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.proxy import Proxy
from mvcc_kv.stress.server import ServerTarget
from mvcc_kv.stress.target import Target

__all__ = ["KINDS", "PROXY_KINDS", "Fault", "FaultEvent", "Nemesis", "faults_of"]

_SERVER_KINDS = ("kill", "restart", "pause", "disk-full", "slow-disk", "power-loss", "sync-error", "clock")
KINDS = (*_SERVER_KINDS, "cut", "half-open", "slow")
"""Every kind of fault there is."""
PROXY_KINDS = frozenset(KINDS) - frozenset(_SERVER_KINDS)
"""Those that are done to connections, on their way through a proxy."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: how it begins, how it ends. `hold_s`: from and to how long it lasts."""

    kind: str
    begin: Callable[[random.Random], str]
    end: Callable[[], None]
    hold_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class FaultEvent:
    """A fault that was done, on the clock of the history; `detail` is what exactly."""

    kind: str
    begun_ns: int
    ended_ns: int
    detail: str = ""


class Nemesis:
    """Does these faults, each kind once before any kind a second time, until `stop` or `faults_max` of them."""

    def __init__(
        self,
        faults: Sequence[Fault],
        *,
        seed: int,
        quiet_s: tuple[float, float] = (0.2, 1.0),
        faults_max: int | None = None,
    ) -> None:
        self._faults = faults
        self._rng = random.Random(seed)
        self._quiet_s = quiet_s
        self._faults_max = faults_max
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stress nemesis", daemon=True)
        self._started_ns = 0
        self.events: list[FaultEvent] = []
        self.doing: str | None = None
        self.errors: list[str] = []

    def start(self, started_ns: int) -> None:
        """Begin, with times counted from there."""
        self._started_ns = started_ns
        self._thread.start()

    def stop(self) -> None:
        """Mend what is broken, and end."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._rng.uniform(*self._quiet_s)) and not self._has_done_enough():
                self._do(self._next())
        except Exception:  # noqa: BLE001 (told at the end, where it makes the run invalid)
            self.errors.append(traceback.format_exc())

    def _has_done_enough(self) -> bool:
        return not self._faults or (self._faults_max is not None and len(self.events) >= self._faults_max)

    def _next(self) -> Fault:
        """One of those that were done least."""
        done = [event.kind for event in self.events]
        least = min(done.count(fault.kind) for fault in self._faults)
        return self._rng.choice([fault for fault in self._faults if done.count(fault.kind) == least])

    def _do(self, fault: Fault) -> None:
        begun_ns = time.monotonic_ns()
        self.doing = fault.kind
        detail = fault.begin(self._rng)
        try:
            self._stopped.wait(self._rng.uniform(*fault.hold_s))
        finally:
            fault.end()
            self.doing = None
        ended_ns = time.monotonic_ns()
        self.events.append(FaultEvent(fault.kind, begun_ns - self._started_ns, ended_ns - self._started_ns, detail))


def faults_of(kinds: Sequence[str], target: Target, proxy: Proxy | None) -> list[Fault]:
    """The faults of these kinds on the target. Raises `BadRequestError` for one that can't be done to it."""
    known = _process_faults(target) | _server_faults(target) | _proxy_faults(proxy)
    possible = {kind for kind in known if kind in target.faults} | (frozenset() if proxy is None else PROXY_KINDS)
    for kind in kinds:
        if kind not in possible:
            can = ", ".join(sorted(possible)) or "none"
            raise BadRequestError(f"the fault {kind!r} can't be done to {target.name} here; those that can: {can}")
    return [known[kind] for kind in kinds]


def _process_faults(target: Target) -> dict[str, Fault]:
    def begin(do: Callable[[], None]) -> Callable[[random.Random], str]:
        def begun(_: random.Random) -> str:
            do()
            return ""

        return begun

    return {
        "kill": Fault("kill", begin(target.kill), target.restart, (0.0, 0.4)),
        "restart": Fault("restart", begin(target.stop), target.restart, (0.0, 0.2)),
        "pause": Fault("pause", begin(target.pause), target.resume, (0.1, 1.0)),
    }


def _server_faults(target: Target) -> dict[str, Fault]:
    if not isinstance(target, ServerTarget):
        return {}

    def slow_disk(rng: random.Random) -> str:
        delay_ms = rng.randint(5, 50)
        target.slow_disk(delay_ms)
        return f"{delay_ms} ms"

    def jump_clock(rng: random.Random) -> str:
        by_s = rng.choice([-1, 1]) * rng.choice([1, 60, 3600, 86_400 * 400])
        target.jump_clock(by_s)
        return f"{by_s:+} s"

    def fill_disk(_: random.Random) -> str:
        target.fill_disk()
        return ""

    def fail_syncs(_: random.Random) -> str:
        target.fail_syncs()
        return ""

    def lose_power(_: random.Random) -> str:
        target.kill()
        return ""

    def mend_disk() -> None:
        target.kill()
        target.mend_syncs()
        target.restart()

    return {
        "disk-full": Fault("disk-full", fill_disk, mend_disk, (0.2, 0.6)),
        "slow-disk": Fault("slow-disk", slow_disk, target.quick_disk, (0.5, 1.5)),
        "power-loss": Fault("power-loss", lose_power, target.restart, (0.0, 0.4)),
        "sync-error": Fault("sync-error", fail_syncs, mend_disk, (0.2, 0.6)),
        "clock": Fault("clock", jump_clock, lambda: target.jump_clock(0), (0.2, 1.0)),
    }


def _proxy_faults(proxy: Proxy | None) -> dict[str, Fault]:
    if proxy is None:
        return {}

    def cut(rng: random.Random) -> str:
        share = rng.choice([0.3, 1.0])
        return f"{proxy.cut(share, rng)} connections"

    def hold(rng: random.Random) -> str:
        way = rng.choice(["to the server", "to the clients"])
        proxy.hold(way)
        return way

    def delay(rng: random.Random) -> str:
        delay_ms = rng.randint(5, 60)
        proxy.delay(delay_ms / 1000)
        return f"{delay_ms} ms"

    return {
        "cut": Fault("cut", cut, proxy.heal, (0.0, 0.0)),
        "half-open": Fault("half-open", hold, proxy.heal, (0.2, 1.5)),
        "slow": Fault("slow", delay, proxy.heal, (0.5, 1.5)),
    }
