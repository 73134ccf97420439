"""Puts a run of `mvcc-kv stress` together: workloads, a target, a nemesis and a feed consumer; and has it judged."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import typer

import mvcc_kv
from mvcc_kv.api import Database
from mvcc_kv.cli.interrupts import interruptible
from mvcc_kv.cli.stress_display import Display
from mvcc_kv.stress.clock import Offset
from mvcc_kv.stress.feed import FeedFollower
from mvcc_kv.stress.judging import judge
from mvcc_kv.stress.mixture import Mixture
from mvcc_kv.stress.nemesis import Nemesis, faults_of
from mvcc_kv.stress.plan import Workload
from mvcc_kv.stress.proxy import Proxy
from mvcc_kv.stress.report import write_report
from mvcc_kv.stress.runner import Load, run
from mvcc_kv.stress.server import ServerTarget
from mvcc_kv.stress.target import EmbeddedTarget, RemoteTarget, Target
from mvcc_kv.stress.verdict import Expected, Summary, summarize
from mvcc_kv.stress.workloads import WORKLOADS

__all__ = ["Connector", "Settings", "TargetOptions", "stressed"]

_ALL = "all"
_PROXIED = {"cut", "half-open", "slow"}
_OF_VOLATILE_FILES = {"power-loss", "sync-error"}
_AUDIT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """What is put to the test: the options of the command that say so."""

    url: str | None = None
    password: str | None = None
    embedded: bool = False
    in_memory: bool = False
    data_dir: str | None = None
    fsync: str = "always"
    retain_seconds: float = 0.0
    serve_options: tuple[str, ...] = ()
    commit_timeout_s: float = 5.0
    timeout_s: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A run: the options of the command. `shape` are the workloads' own, None being theirs; `load` a `Load`'s."""

    workload: str
    shape: Mapping[str, Any]
    load: Mapping[str, Any]
    target: TargetOptions
    seed: int
    nemesis: tuple[str, ...] = ()
    faults_max: int | None = None
    feed: bool = True
    min_commits: int = 100
    check: bool = True
    command: tuple[str, ...] = ()


def stressed(settings: Settings, folder: Path, *, quiet: bool = False) -> Summary:
    """Run it, and write its report into the folder; what came of it. A first Ctrl-C ends it early, a second at once."""
    with interruptible() as is_interrupted:
        return _stressed(settings, folder, is_interrupted, quiet=quiet)


def _stressed(settings: Settings, folder: Path, is_interrupted: Callable[[], bool], *, quiet: bool) -> Summary:
    load = Load(**settings.load)
    if load.processes and settings.target.embedded:
        raise typer.BadParameter("--processes needs a server: an embedded database is of one process")
    work = _workload(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with _opened(settings.target, folder, settings.nemesis) as (target, kinds, proxy):
        title = f"{work.name} at {load.isolation}, on {target.name}, seed {settings.seed}"
        with Display(title, quiet=quiet) as display:
            done = run(
                work,
                target,
                load,
                nemesis=Nemesis(faults_of(kinds, target, proxy), seed=settings.seed, faults_max=settings.faults_max),
                feed=_follower(target, work, settings) if settings.feed else None,
                is_killed_at_end=bool({"kill", "power-loss"} & set(kinds)),
                on_tick=display.tick,
                is_interrupted=is_interrupted,
            )
    conflicts = 1 if load.clients_total > 1 else 0
    expected = Expected(commits=settings.min_commits, conflicts=conflicts, faults=kinds)
    summary = summarize(done, work, load, expected, judge if settings.check else None)
    write_report(folder, summary, done, settings=_told(settings), parts=_parts(work))
    return summary


def _told(settings: Settings) -> dict[str, Any]:
    """The settings for the report, without the password."""
    told = asdict(settings)
    told["target"].pop("password")
    return told


@dataclass(frozen=True, slots=True)
class Connector:
    """Connects the client of a number to a server. Every other one asks what became of a commit that it lost."""

    address: str
    password: str | None
    timeout_s: float
    commit_timeout_s: float

    def __call__(self, client: int) -> AbstractContextManager[Database]:
        return mvcc_kv.connect(
            self.address,
            password=self.password,
            connect_timeout_s=self.timeout_s,
            timeout_s=self.timeout_s if client >= 0 else _AUDIT_TIMEOUT_S,
            commit_timeout_s=self.commit_timeout_s if client % 2 else 0.0,
            connections_max=4,
        )


def _workload(settings: Settings) -> Workload:
    """The workload or mixture that the option names; on a store that may have been used before, below new keys."""
    is_ours = settings.target.url is None and settings.target.data_dir is None
    root = "" if is_ours else f"stress-{random.SystemRandom().randrange(16**8):08x}/"
    shape = {name: value for name, value in settings.shape.items() if value is not None}
    text = ",".join(WORKLOADS) if settings.workload == _ALL else settings.workload
    weights = dict(map(_weighted, text.split(",")))
    parts = tuple(WORKLOADS[name](prefix=f"{root}{name}/", seed=settings.seed, **shape) for name in weights)
    return parts[0] if len(parts) == 1 else Mixture(parts, tuple(weights.values()), settings.seed, root)


def _weighted(text: str) -> tuple[str, float]:
    name, _, weight = text.strip().partition("=")
    if name not in WORKLOADS:
        raise typer.BadParameter(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}, all")
    try:
        return name, float(weight or 1)
    except ValueError:
        raise typer.BadParameter(f"a weight is a number: {name}=2, not {text!r}") from None


def _parts(work: Workload) -> tuple[Workload, ...]:
    return work.parts if isinstance(work, Mixture) else (work,)


@contextmanager
def _opened(
    options: TargetOptions, folder: Path, nemesis: tuple[str, ...]
) -> Iterator[tuple[Target, list[str], Proxy | None]]:
    """The target, the kinds of faults to be done to it, and the proxy before it, if these need one."""
    with ExitStack() as resources:
        proxies: list[Proxy] = []

        def via(address: str) -> str:
            host, _, port = address.rpartition(":")
            proxies.append(Proxy((host, int(port))))
            resources.callback(proxies[0].close)
            return proxies[0].address

        kinds = list(nemesis)
        is_proxied = bool(_PROXIED & set(kinds)) or kinds == [_ALL]
        target = _target(options, via if is_proxied else None, folder, wanted=set(kinds), resources=resources)
        resources.push(partial(_put_away, target))
        if kinds == [_ALL]:
            kinds = sorted(target.faults | (_PROXIED if proxies else set()))
        yield target, kinds, proxies[0] if proxies else None


def _put_away(target: Target, kind: type[BaseException] | None, *_: object) -> None:
    """Stop it; at once after a second Ctrl-C."""
    if kind is not None and issubclass(kind, KeyboardInterrupt) and isinstance(target, ServerTarget):
        target.kill()
    else:
        target.stop()


def _target(
    options: TargetOptions, via: Callable[[str], str] | None, folder: Path, *, wanted: set[str], resources: ExitStack
) -> Target:
    connect_to = partial(
        Connector,
        password=options.password,
        timeout_s=options.timeout_s,
        commit_timeout_s=options.commit_timeout_s,
    )
    if options.url is not None:
        return RemoteTarget(options.url, connect_to(via(options.url) if via is not None else options.url))
    if options.embedded:
        return _embedded(options, resources)
    place = ["--in-memory"] if options.in_memory else ["--data-dir", _directory(options, resources)]
    clock_file = folder / "clock-offset" if {"clock", _ALL} & wanted else None
    loses = _keeps_what_it_says(options) and (_OF_VOLATILE_FILES | {_ALL}) & wanted
    flag = folder / "syncs-fail" if loses else None
    return ServerTarget(
        partial(_serve_command, options, tuple(place), clock_file, flag),
        connect_to,
        folder / "server.log",
        via=via,
        clock=None if clock_file is None else Offset(clock_file),
        syncs_fail=flag,
    )


def _keeps_what_it_says(options: TargetOptions) -> bool:
    """Whether the server owes what it acknowledged after a loss of power, too."""
    return options.fsync == "always" and not options.in_memory


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
    through = [] if clock_file is None else ["mvcc_kv.stress.clock", str(clock_file)]
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


def _follower(target: Target, work: Workload, settings: Settings) -> FeedFollower:
    jumps = {"clock", _ALL} & set(settings.nemesis)  # then what is kept by age may go at any time
    is_kept = settings.target.retain_seconds > 0 and settings.target.url is None and not jumps
    return FeedFollower(target.connect, prefix=work.prefix, seed=settings.seed, is_kept=is_kept)
