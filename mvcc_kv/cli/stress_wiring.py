"""Puts a run of `mvcc-kv stress` together: workloads, a target, a nemesis and a feed consumer; and has it judged."""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import mvcc_kv
from mvcc_kv.api import Database
from mvcc_kv.cli.interrupts import interruptible
from mvcc_kv.cli.stress_display import Display
from mvcc_kv.cli.stress_settings import Settings, TargetOptions, chosen_faults, refuse, weights_of
from mvcc_kv.client.connection import Address
from mvcc_kv.stress.clock import Offset
from mvcc_kv.stress.feed import FeedFollower
from mvcc_kv.stress.judging import judge
from mvcc_kv.stress.mixture import Mixture
from mvcc_kv.stress.nemesis import PROXY_KINDS, Nemesis, faults_of
from mvcc_kv.stress.plan import Workload
from mvcc_kv.stress.proxy import Proxy
from mvcc_kv.stress.report import clear_report, write_report
from mvcc_kv.stress.runner import PREPARER, Load, run
from mvcc_kv.stress.server import ServerTarget
from mvcc_kv.stress.target import EmbeddedTarget, RemoteTarget, Target
from mvcc_kv.stress.verdict import Expected, Summary, summarize
from mvcc_kv.stress.workloads import WORKLOADS

__all__ = ["Connector", "stressed"]

_OF_VOLATILE_FILES = {"power-loss", "sync-error"}
_PATIENT_TIMEOUT_S = 30.0
_POWERLESS = {"kill", "power-loss"}


def stressed(settings: Settings, folder: Path, *, quiet: bool = False) -> Summary:
    """Run it, and write its report into the folder; what came of it. A first Ctrl-C ends it early, a second at once.

    Raises `BadParameter` for settings that make no sense, and then has touched nothing.
    """
    refuse(settings)
    kinds = chosen_faults(settings.nemesis, settings.target)
    work = _workload(settings)
    with interruptible() as is_interrupted, _emptied(folder):
        return _stressed(settings, work, kinds, folder, is_interrupted, quiet=quiet)


@contextmanager
def _emptied(folder: Path) -> Iterator[None]:
    """The folder for the report, without what an earlier one left there. If nothing comes into it, it goes again."""
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    clear_report(folder)
    try:
        yield
    finally:
        if is_new:
            with suppress(OSError):
                folder.rmdir()


def _stressed(
    settings: Settings,
    work: Workload,
    kinds: Sequence[str],
    folder: Path,
    is_interrupted: Callable[[], bool],
    *,
    quiet: bool,
) -> Summary:
    load = Load(**settings.load)
    with _opened(settings.target, folder, frozenset(kinds)) as (target, proxy):
        title = f"{work.name} at {load.isolation}, on {target.name}, seed {settings.seed}"
        with Display(title, quiet=quiet) as display:
            done = run(
                work,
                target,
                load,
                nemesis=Nemesis(faults_of(kinds, target, proxy), seed=settings.seed, faults_max=settings.faults_max),
                feed=_follower(target, work, settings, kinds) if settings.feed else None,
                is_killed_at_end=not _POWERLESS.isdisjoint(kinds),
                come_back_s=settings.come_back_s,
                on_tick=display.tick,
                is_interrupted=is_interrupted,
            )
    conflicts = 1 if load.clients_total > 1 else 0
    expected = Expected(commits=settings.min_commits, conflicts=conflicts, faults=kinds)
    summary = summarize(done, work, load, expected, judge if settings.check else None)
    write_report(folder, summary, done, settings=settings.told(), parts=_parts(work))
    return summary


@dataclass(frozen=True, slots=True)
class Connector:
    """Connects the client of a number to a server. Every other one asks what became of a commit that it lost."""

    address: str
    password: str | None = field(repr=False)
    timeout_s: float
    commit_timeout_s: float

    def __call__(self, client: int) -> AbstractContextManager[Database]:
        return mvcc_kv.connect(
            self.address,
            password=self.password,
            connect_timeout_s=self.timeout_s,
            timeout_s=self.timeout_s if client >= 0 or client == PREPARER else _PATIENT_TIMEOUT_S,
            commit_timeout_s=self.commit_timeout_s if client % 2 else 0.0,
            connections_max=4,
        )


def _workload(settings: Settings) -> Workload:
    """The workload or mixture that the option names; on a store that may have been used before, below new keys."""
    is_ours = settings.target.url is None and settings.target.data_dir is None
    root = "" if is_ours else f"stress-{random.SystemRandom().randrange(16**8):08x}/"
    shape = {name: value for name, value in settings.shape.items() if value is not None}
    weights = weights_of(settings.workload)
    parts = tuple(WORKLOADS[name](prefix=f"{root}{name}/", seed=settings.seed, **shape) for name in weights)
    return parts[0] if len(parts) == 1 else Mixture(parts, tuple(weights.values()), settings.seed, root)


def _parts(work: Workload) -> tuple[Workload, ...]:
    return work.parts if isinstance(work, Mixture) else (work,)


@contextmanager
def _opened(options: TargetOptions, folder: Path, kinds: frozenset[str]) -> Iterator[tuple[Target, Proxy | None]]:
    """The target, and the proxy before it, if the faults to be done to it need one."""
    with ExitStack() as resources:
        proxies: list[Proxy] = []

        def via(address: str) -> str:
            proxies.append(Proxy(Address.parse(address)))
            resources.callback(proxies[0].close)
            return proxies[0].address

        target = _target(options, via if PROXY_KINDS & kinds else None, folder, kinds, resources)
        resources.push(partial(_put_away, target))
        yield target, proxies[0] if proxies else None


def _put_away(target: Target, kind: type[BaseException] | None, *_: object) -> None:
    """Stop it; at once after a second Ctrl-C."""
    if kind is not None and issubclass(kind, KeyboardInterrupt) and isinstance(target, ServerTarget):
        target.kill()
    else:
        target.stop()


def _target(
    options: TargetOptions,
    via: Callable[[str], str] | None,
    folder: Path,
    kinds: frozenset[str],
    resources: ExitStack,
) -> Target:
    connect_to = partial(
        Connector,
        password=options.password,
        timeout_s=options.timeout_s,
        commit_timeout_s=options.commit_timeout_s,
    )
    if options.url is not None:
        direct = connect_to(options.url)
        return RemoteTarget(options.url, direct if via is None else connect_to(via(options.url)), direct=direct)
    if options.embedded:
        return _embedded(options, resources)
    place = ["--in-memory"] if options.in_memory else ["--data-dir", _directory(options, resources)]
    clock_file = folder / "clock-offset" if "clock" in kinds else None
    flag = folder / "syncs-fail" if _OF_VOLATILE_FILES & kinds else None
    return ServerTarget(
        partial(_serve_command, options, tuple(place), clock_file, flag),
        connect_to,
        folder / "server.log",
        via=via,
        is_durable=not options.in_memory,
        clock=None if clock_file is None else Offset(clock_file),
        syncs_fail=flag,
    )


def _embedded(options: TargetOptions, resources: ExitStack) -> Target:
    if options.in_memory:
        return EmbeddedTarget(partial(mvcc_kv.open, retain_seconds=options.retain_seconds), is_durable=False)
    fsync: Any = options.fsync
    open_database = partial(
        mvcc_kv.open, _directory(options, resources), fsync=fsync, retain_seconds=options.retain_seconds
    )
    return EmbeddedTarget(open_database, is_durable=True)


def _directory(options: TargetOptions, resources: ExitStack) -> str:
    if options.data_dir is not None:
        return options.data_dir
    return resources.enter_context(tempfile.TemporaryDirectory(prefix="mvcc-kv-stress-"))


def _serve_command(
    options: TargetOptions, place: tuple[str, ...], clock_file: Path | None, flag: Path | None, port: int
) -> list[str]:
    through = ["mvcc_kv.stress.leash", str(os.getpid())]
    through += [] if clock_file is None else ["mvcc_kv.stress.clock", str(clock_file)]
    through += [] if flag is None else ["mvcc_kv.stress.disk", str(flag)]
    command = [
        sys.executable,
        "-m",
        *through,
        "mvcc_kv",
        "serve",
        "--port",
        str(port),
        *place,
        "--fsync",
        options.fsync,
    ]
    command += ["--max-transaction-bytes", str(1 << 20), "--retain-seconds", str(options.retain_seconds)]
    return [*command, "--log-level", "warning", *options.serve_options]


def _follower(target: Target, work: Workload, settings: Settings, kinds: Sequence[str]) -> FeedFollower:
    is_kept = settings.target.retain_seconds > 0 and "clock" not in kinds  # which lets go what is kept by age
    return FeedFollower(target.connect, prefix=work.prefix, seed=settings.seed, is_kept=is_kept)
