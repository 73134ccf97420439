"""What a run of `mvcc-kv stress` is asked for, and whether it makes sense: settled before anything is started.

weights_of      bank=3,queue=1      each a workload there is, once, with a weight above nought
refuse          --url --embedded    options of which one would be ignored
chosen_faults   kill,cut or all     each a fault that this target can have
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import typer

from mvcc_kv.stress.nemesis import KINDS, PROXY_KINDS
from mvcc_kv.stress.server import server_faults
from mvcc_kv.stress.target import embedded_faults
from mvcc_kv.stress.workloads import WORKLOADS

__all__ = ["Settings", "TargetOptions", "chosen_faults", "refuse", "weights_of", "without_password"]

_ALL = "all"
_HIDDEN = "***"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """What is put to the test: the options of the command that say so."""

    url: str | None = None
    password: str | None = field(default=None, repr=False)
    embedded: bool = False
    in_memory: bool = False
    data_dir: str | None = None
    fsync: str = "always"
    retain_seconds: float = 0.0
    serve_options: tuple[str, ...] = ()
    commit_timeout_s: float = 5.0
    timeout_s: float = 3.0

    @property
    def keeps_what_it_says(self) -> bool:
        """Whether what was acknowledged is owed after a loss of power, too."""
        return self.fsync == "always" and not self.in_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A run: the options of the command. `shape` are the workloads' own, None being theirs; `load` a `Load`'s.

    `come_back_s`: how long the state in the end is asked for, of a server that is away then.
    """

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
    come_back_s: float = 30.0
    command: tuple[str, ...] = ()

    def told(self) -> dict[str, Any]:
        """The settings for the report, without any password."""
        told = asdict(self) | {"command": without_password(self.command)}
        told["target"].pop("password")
        told["target"]["serve_options"] = without_password(self.target.serve_options)
        return told


def without_password(arguments: Iterable[str]) -> tuple[str, ...]:
    """The command's arguments as they may be shown to others, the server's own options among them.

    >>> without_password(["--password", "a", "--password=b", "--serve-option=--password=c", "--seed", "1"])
    ('--password', '***', '--password=***', '--serve-option=--password=***', '--seed', '1')
    """
    shown: list[str] = []
    is_next = False
    for argument in arguments:
        if is_next and argument != "--serve-option":
            argument = f"--serve-option={_HIDDEN}" if argument.startswith("--serve-option=") else _HIDDEN
            is_next = False
        shown.append(re.sub(r"(--password=).*", rf"\1{_HIDDEN}", argument, flags=re.DOTALL))
        is_next = is_next or argument.endswith("--password")
    return tuple(shown)


def weights_of(text: str) -> dict[str, float]:
    """The workloads that the option names, with their weights. Raises `BadParameter`.

    >>> weights_of("bank=3, queue")
    {'bank': 3.0, 'queue': 1.0}
    """
    if text.strip() == _ALL:
        return dict.fromkeys(WORKLOADS, 1.0)
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, weight = _weighted(part)
        if name in weights:
            raise typer.BadParameter(f"{name} is named twice in --workload; give it one weight: {name}=2")
        weights[name] = weight
    return weights


def _weighted(text: str) -> tuple[str, float]:
    name, equals, said = text.strip().partition("=")
    if name not in WORKLOADS:
        raise typer.BadParameter(f"there is no workload {name!r}; there are {', '.join(WORKLOADS)}, all")
    try:
        weight = float(said) if equals else 1.0
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise typer.BadParameter(f"a weight is a number above nought: {name}=2, not {text.strip()!r}")
    return name, weight


def refuse(settings: Settings) -> None:
    """Raises `BadParameter` if an option says the contrary of another one, or would mean nothing beside it."""
    options = settings.target
    if options.embedded and settings.load.get("processes"):
        raise typer.BadParameter("--processes needs a server: an embedded database is of one process")
    if options.in_memory and options.data_dir is not None:
        raise typer.BadParameter("--data-dir and --in-memory exclude each other: keep the data, or don't")
    if options.url is not None:
        _refuse_beside("--url", "that server is running, as it was started", _of_our_own(options))
    if options.embedded:
        of_servers = {"--serve-option": bool(options.serve_options)}
        _refuse_beside("--embedded", "there is no server", of_servers)


def _of_our_own(options: TargetOptions) -> dict[str, bool]:
    """The options that say what target to start, and whether they say it."""
    return {
        "--embedded": options.embedded,
        "--in-memory": options.in_memory,
        "--data-dir": options.data_dir is not None,
        "--fsync": options.fsync != "always",
        "--retain-seconds": options.retain_seconds > 0,
        "--serve-option": bool(options.serve_options),
    }


def _refuse_beside(option: str, why: str, others: Mapping[str, bool]) -> None:
    for other, is_said in others.items():
        if is_said:
            raise typer.BadParameter(f"{other} means nothing with {option}: {why}; leave one of them out")


def chosen_faults(nemesis: Sequence[str], options: TargetOptions) -> tuple[str, ...]:
    """The kinds of faults that the option names; of `all`, what can be done. Raises `BadParameter`."""
    possible = _possible(options)
    can = ", ".join(kind for kind in KINDS if kind in possible) or "none"
    for kind in nemesis:
        if kind not in (*KINDS, _ALL):
            raise typer.BadParameter(f"there is no fault {kind!r}; there are {', '.join(KINDS)}, all")
        if kind not in (*possible, _ALL) or not possible:
            why = _why_not(kind, options)
            raise typer.BadParameter(f"the fault {kind!r} can't be done here: {why}; those that can: {can}")
    if _ALL in nemesis:
        return tuple(kind for kind in KINDS if kind in possible)
    return tuple(dict.fromkeys(nemesis))


def _possible(options: TargetOptions) -> frozenset[str]:
    if options.url is not None:
        return PROXY_KINDS
    if options.embedded:
        return embedded_faults(is_durable=not options.in_memory)
    return PROXY_KINDS | server_faults(
        is_durable=not options.in_memory, has_clock=True, is_volatile=options.keeps_what_it_says
    )


def _why_not(kind: str, options: TargetOptions) -> str:
    if options.url is not None:
        return "the server at --url is not ours"
    if options.in_memory:
        return "with --in-memory a start finds nothing of what was there, and nothing is written"
    if options.embedded:
        return "an embedded database lives in this process"
    if kind in ("power-loss", "sync-error"):
        return f"at --fsync {options.fsync} nobody is owed what was not synced"
    return "this machine lacks what it takes (strace, or limits on another process)"
