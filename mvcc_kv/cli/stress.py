"""`mvcc-kv stress`: its options. What they are put together to is in stress_wiring.py.

Exit status 1 means that something was violated, and nothing else does: what can't be run ends with 2."""

from __future__ import annotations

import functools
import math
import random
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from mvcc_kv.api import Isolation
from mvcc_kv.cli.reporting import note, told
from mvcc_kv.cli.target import Password
from mvcc_kv.errors import Error
from mvcc_kv.server.settings import Fsync

__all__ = ["stress"]

_WORKLOADS = "list-append, register, bank, write-skew, predicate, pairs, counters, queue"
_WORK, _WHERE, _BREAK, _TELL = "The work", "The target", "What goes wrong", "What is told"


_INVALID = 2
_WEEK_S = 7 * 86_400.0
_FAULTS = "kill, restart, pause, disk-full, slow-disk, power-loss, sync-error, clock, cut, half-open, slow"


def _option(name: str, help_text: str, panel: str, **more: Any) -> Any:
    return typer.Option(name, help=help_text, rich_help_panel=panel, **more)


def _number(name: str, help_text: str, panel: str, **more: Any) -> Any:
    """An option that is a number; `nan` isn't, and an infinite one is none either."""

    def finite(value: float | None) -> float | None:
        if value is not None and not math.isfinite(value):
            raise typer.BadParameter(f"{name} is a finite number, not {value}")
        return value

    return _option(name, help_text, panel, callback=finite, **more)


_seconds = functools.partial(_number, max=_WEEK_S)


def stress(
    workload: Annotated[
        str,
        _option(
            "--workload",
            f"{_WORKLOADS}; several at once: bank,queue, or weighted: bank=3,queue=1; or all.",
            _WORK,
        ),
    ] = "list-append",
    isolation: Annotated[Isolation, _option("--isolation", "The level of every transaction.", _WORK)] = "snapshot",
    clients: Annotated[int, _option("--clients", "Clients, of each process.", _WORK, min=1)] = 8,
    processes: Annotated[
        int, _option("--processes", "Processes of clients; 0: threads of this one.", _WORK, min=0)
    ] = 0,
    seconds: Annotated[float, _seconds("--seconds", "How long.", _WORK, min=0.1)] = 10.0,
    transactions: Annotated[
        int | None, _option("--transactions", "How many steps at most.", _WORK, min=1, show_default=False)
    ] = None,
    rate: Annotated[
        float, _number("--rate", "Steps a second, of all clients together; 0: as many as they can.", _WORK, min=0)
    ] = 0.0,
    pause_ms: Annotated[
        float, _number("--pause-ms", "Between the operations of a step, at most.", _WORK, min=0, max=60_000)
    ] = 0.0,
    keys: Annotated[
        int | None, _option("--keys", "Keys that are fought over.", _WORK, min=2, show_default="the workload's")
    ] = None,
    skew: Annotated[
        float | None,
        _number("--skew", "Of the keys' popularity, as Zipf's law has it; 0: none.", _WORK, min=0, show_default="its"),
    ] = None,
    read_share: Annotated[
        float | None, _number("--read-share", "How much of it reads.", _WORK, min=0, max=0.99, show_default="its")
    ] = None,
    seed: Annotated[
        int | None, _option("--seed", "Replays the steps and the faults.", _WORK, min=0, show_default="drawn")
    ] = None,
    url: Annotated[
        str | None,
        _option(
            "--url",
            "A server that is running, instead of one of our own. It needs --max-transaction-bytes above its default.",
            _WHERE,
            metavar="HOST:PORT",
            show_default=False,
        ),
    ] = None,
    password: Password = None,
    embedded: Annotated[bool, _option("--embedded", "A database of this process instead of a server.", _WHERE)] = False,
    in_memory: Annotated[bool, _option("--in-memory", "Keep nothing on disk.", _WHERE)] = False,
    data_dir: Annotated[
        str | None,
        _option("--data-dir", "A directory for the data.", _WHERE, show_default="a temporary one"),
    ] = None,
    fsync: Annotated[Fsync, _option("--fsync", "As of serve: always, interval or never.", _WHERE)] = "always",
    retain_seconds: Annotated[
        float,
        _number("--retain-seconds", "As of serve; then a feed consumer misses nothing over kills.", _WHERE, min=0),
    ] = 0.0,
    serve_option: Annotated[
        list[str] | None,
        _option("--serve-option", "Another option for the server: --serve-option=--checkpoint-log-bytes=20000", _WHERE),
    ] = None,
    commit_timeout_s: Annotated[
        float,
        _seconds("--commit-timeout-s", "How long every other client asks what became of a commit.", _WHERE, min=0),
    ] = 5.0,
    timeout_s: Annotated[float, _seconds("--timeout-s", "How long clients wait for a reply.", _WHERE, min=0.1)] = 3.0,
    nemesis: Annotated[
        str,
        _option(
            "--nemesis",
            f"{_FAULTS}; several: kill,cut; or all.",
            _BREAK,
        ),
    ] = "",
    faults_max: Annotated[
        int | None, _option("--faults-max", "How many at most.", _BREAK, min=1, show_default=False)
    ] = None,
    feed: Annotated[bool, _option("--feed/--no-feed", "Have a consumer follow the change feed.", _BREAK)] = True,
    min_commits: Annotated[int, _option("--min-commits", "With fewer the run is invalid.", _TELL, min=0)] = 100,
    check: Annotated[bool, _option("--check/--no-check", "Have the checker judge the history.", _TELL)] = True,
    report: Annotated[
        str | None, _option("--report", "A folder for the report.", _TELL, show_default="stress-report-SEED")
    ] = None,
    quiet: Annotated[bool, _option("--quiet", "Only the verdict.", _TELL)] = False,
) -> None:
    """Run many clients hard, break things meanwhile, and prove from what they saw which isolation they got.

    It starts a server of its own, unless --url or --embedded says otherwise. Clients take seeded steps of the
    workload; a step that conflicts has failed and is not run again. The exit status is 0 if everything held,
    1 if something was violated, 2 if the run is invalid: too little happened to say anything, or it could not be run.

    \b
      mvcc-kv stress --workload list-append --seconds 30 --nemesis kill,pause,cut
      mvcc-kv stress --workload all --isolation serializable --embedded
    """
    from mvcc_kv.cli.stress_display import print_summary
    from mvcc_kv.cli.stress_settings import Settings, TargetOptions
    from mvcc_kv.cli.stress_wiring import stressed

    settings = Settings(
        workload=workload,
        shape={"keys": keys, "skew": skew, "read_share": read_share},
        load={
            "clients": clients,
            "processes": processes,
            "seconds": seconds,
            "transactions": transactions,
            "rate": rate,
            "pause_s": pause_ms / 1000,
            "isolation": isolation,
        },
        target=TargetOptions(
            url=url,
            password=password,
            embedded=embedded,
            in_memory=in_memory,
            data_dir=data_dir,
            fsync=fsync,
            retain_seconds=retain_seconds,
            serve_options=tuple(serve_option or ()),
            commit_timeout_s=commit_timeout_s,
            timeout_s=timeout_s,
        ),
        seed=random.SystemRandom().randrange(10**6) if seed is None else seed,
        nemesis=tuple(kind.strip() for kind in nemesis.split(",") if kind.strip()),
        faults_max=faults_max,
        feed=feed,
        min_commits=min_commits,
        check=check,
        command=tuple(sys.argv[1:]),
    )
    folder = Path(report or f"stress-report-{settings.seed}")
    with _refusing():
        summary = stressed(settings, folder, quiet=quiet)
        print_summary(summary, folder, settings.seed)
    raise typer.Exit(summary.exit_status)


@contextmanager
def _refusing() -> Iterator[None]:
    """What can't be run ends with status 2: a line that says why; of the harness's own failures, where."""
    try:
        yield
    except (Error, OSError) as error:
        note(told(error))
        sys.exit(_INVALID)
    except typer.BadParameter:
        raise
    except Exception:  # noqa: BLE001 (the command's edge: status 1 would say that the target has failed)
        traceback.print_exc()
        sys.exit(_INVALID)
