"""`mvcc-kv serve`: put the listeners, a store, its data directory and the loop together, and run them."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
import sys
import time
from typing import Annotated, Any, Literal

import typer

from mvcc_kv.api import TransactionOptions
from mvcc_kv.collector import give_back, paused, settled
from mvcc_kv.durability import DataDirectory
from mvcc_kv.engine import VersionedStore
from mvcc_kv.engine.history import CommitHistory, retained_history
from mvcc_kv.errors import Error
from mvcc_kv.server import Listeners, Server, Settings
from mvcc_kv.server.logs import LogFormat, configure, event
from mvcc_kv.server.settings import Fsync

__all__ = ["run", "serve"]

_DESCRIPTORS_BESIDE_CONNECTIONS = 64
_SAME_SIGNAL_S = 0.05
_KEYS_MANY = 100_000  # what loading them leaves behind is worth some milliseconds
_CHECKPOINT = TransactionOptions(read_only=True, label="checkpoint")
_DEFAULTS = Settings()


def _option(name: str, help_text: str, panel: str, **more: Any) -> Any:
    """An option of `serve`, which the environment can set too."""
    variable = "MVCC_KV_" + name.removeprefix("--").replace("-", "_").upper()
    return typer.Option(name, help=help_text, rich_help_panel=panel, envvar=variable, **more)


_WHERE, _ASK, _HOLD, _DISK, _LOG = "Where", "What a client may ask for", "What a client may hold", "Disk", "Logs"
_KEEP, _FEED = "What is kept of the past", "The change feed"


def serve(
    context: typer.Context,
    host: Annotated[str, _option("--host", "Address or name to listen on.", _WHERE)] = _DEFAULTS.host,
    port: Annotated[
        int, _option("--port", "Port to listen on; 0 picks a free one.", _WHERE, min=0, max=65535)
    ] = _DEFAULTS.port,
    data_dir: Annotated[
        str | None,
        _option("--data-dir", "Directory that keeps the data; made if missing.", _DISK, show_default="data"),
    ] = None,
    in_memory: Annotated[bool, _option("--in-memory", "Keep nothing on disk.", _DISK)] = False,
    checkpoint_interval_s: Annotated[
        float,
        _option(
            "--checkpoint-interval-s", "Write checkpoint.json this often if anything changed; 0: never.", _DISK, min=0
        ),
    ] = _DEFAULTS.checkpoint_interval_s,
    checkpoint_log_bytes: Annotated[
        int, _option("--checkpoint-log-bytes", "Write checkpoint.json when the log has grown by so much.", _DISK, min=1)
    ] = _DEFAULTS.checkpoint_log_bytes,
    fsync: Annotated[
        Fsync,
        _option(
            "--fsync",
            "When commits are forced to disk. always: before their reply; a crash loses none that was answered. "
            "interval: ten times a second; a power loss may take the last 100 ms. never: left to the system. "
            "A killed process loses nothing in any of them.",
            _DISK,
        ),
    ] = _DEFAULTS.fsync,
    retain_seconds: Annotated[
        float,
        _option(
            "--retain-seconds",
            "Keep what commits of the last so many seconds changed, for reads in the past; of 256 MiB at most, unless "
            "--retain-bytes says otherwise. 0: as --retain-bytes says, or nothing.",
            _KEEP,
            min=0,
        ),
    ] = _DEFAULTS.retain_seconds,
    retain_bytes: Annotated[
        int,
        _option(
            "--retain-bytes",
            "Keep what the last commits changed as far as so much memory reaches, however old. "
            "0: as --retain-seconds says, or nothing.",
            _KEEP,
            min=0,
        ),
    ] = _DEFAULTS.retain_bytes,
    max_transaction_bytes: Annotated[
        int,
        _option("--max-transaction-bytes", "A transaction's commands, or a single command, in bytes.", _ASK, min=16),
    ] = _DEFAULTS.max_transaction_bytes,
    line_quiet_ms: Annotated[
        int, _option("--line-quiet-ms", "A last line without a newline is complete after this silence.", _ASK, min=1)
    ] = _DEFAULTS.line_quiet_ms,
    strict_lines: Annotated[
        bool, _option("--strict-lines", "Only a newline ends a command.", _ASK)
    ] = _DEFAULTS.strict_lines,
    max_bulk_bytes: Annotated[
        int, _option("--max-bulk-bytes", "One argument of a command in Redis's protocol, in bytes.", _ASK, min=1)
    ] = _DEFAULTS.max_bulk_bytes,
    max_array_members: Annotated[
        int, _option("--max-array-members", "Arguments of a command in Redis's protocol, its name too.", _ASK, min=1)
    ] = _DEFAULTS.max_array_members,
    password: Annotated[
        str | None,
        _option(
            "--password",
            "Clients must AUTH with it. Better set in the environment, where ps doesn't show it.",
            _WHERE,
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[
        bool, _option("--insecure", "Allow other machines to connect without a password.", _WHERE)
    ] = False,
    max_connections: Annotated[
        int, _option("--max-connections", "Connections served at once.", _HOLD, min=1)
    ] = _DEFAULTS.max_connections,
    idle_timeout_s: Annotated[
        float, _option("--idle-timeout-s", "Close a connection that sent nothing for so long; 0: never.", _HOLD, min=0)
    ] = _DEFAULTS.idle_timeout_s,
    transaction_timeout_s: Annotated[
        float, _option("--transaction-timeout-s", "Roll back a transaction open for longer; 0: never.", _HOLD, min=0)
    ] = _DEFAULTS.transaction_timeout_s,
    receive_bytes: Annotated[
        int, _option("--receive-bytes", "Taken from a connection in one turn of the loop.", _HOLD, min=512)
    ] = _DEFAULTS.receive_bytes,
    commands_per_turn: Annotated[
        int, _option("--commands-per-turn", "Commands run for a connection in one turn of the loop.", _HOLD, min=1)
    ] = _DEFAULTS.commands_per_turn,
    output_high_bytes: Annotated[
        int,
        _option(
            "--output-high-bytes",
            "A client that leaves more replies unread is not served until it reads.",
            _HOLD,
            min=1,
        ),
    ] = _DEFAULTS.output_high_bytes,
    output_max_bytes: Annotated[
        int, _option("--output-max-bytes", "A client that leaves more unread is disconnected.", _HOLD, min=1)
    ] = _DEFAULTS.output_max_bytes,
    max_read_set_bytes: Annotated[
        int,
        _option(
            "--max-read-set-bytes",
            "What remembering a serializable transaction's reads may take; the read past it is refused.",
            _HOLD,
            min=1024,
        ),
    ] = _DEFAULTS.max_read_set_bytes,
    max_pinned_bytes: Annotated[
        int,
        _option(
            "--max-pinned-bytes",
            "Old versions that open transactions may keep alive; past it the oldest snapshot is ended. 0: no limit.",
            _HOLD,
            min=0,
        ),
    ] = _DEFAULTS.max_pinned_bytes,
    feed_heartbeat_s: Annotated[
        float,
        _option(
            "--feed-heartbeat-s", "A change feed that is silent says where it is so often; 0: never.", _FEED, min=0
        ),
    ] = _DEFAULTS.feed_heartbeat_s,
    changes_buffer_bytes: Annotated[
        int,
        _option(
            "--changes-buffer-bytes",
            "How much of the last commits is kept, from the first CHANGES on, for consumers that fall behind or come "
            "back.",
            _FEED,
            min=0,
        ),
    ] = _DEFAULTS.changes_buffer_bytes,
    stop_grace_s: Annotated[
        float, _option("--stop-grace-s", "How long a stop waits for clients to read their replies.", _HOLD, min=0)
    ] = _DEFAULTS.stop_grace_s,
    busy_poll_us: Annotated[
        int,
        _option(
            "--busy-poll-us",
            "How long to stay awake for the next command, where the last one came so soon: quicker answers for "
            "processor time. 0: sleep at once.",
            _HOLD,
            min=0,
            max=1_000_000,
        ),
    ] = _DEFAULTS.busy_poll_us,
    log_format: Annotated[LogFormat, _option("--log-format", "For people or for programs.", _LOG)] = "text",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _option("--log-level", "The least that is logged, on standard error.", _LOG),
    ] = "info",
) -> None:
    """Start the server.

    It prints one line, `listening on 127.0.0.1:8080`, when it accepts connections. SIGTERM or Ctrl-C stops it:
    what was received is finished and checkpoint.json is written. A second signal ends it at once.
    """
    configure(log_format, log_level)
    if in_memory and data_dir is not None:
        if _is_given(context, "data_dir") == _is_given(context, "in_memory"):
            raise typer.BadParameter("--data-dir and --in-memory exclude each other: keep the data, or don't")
        in_memory = _is_given(context, "in_memory")  # what is said here counts for more than the environment
    if password == "":
        raise typer.BadParameter("an empty password is none: set one, or leave --password and MVCC_KV_PASSWORD out")
    settings = Settings(
        host=host,
        port=port,
        password=password,
        insecure=insecure,
        max_transaction_bytes=max_transaction_bytes,
        line_quiet_ms=line_quiet_ms,
        strict_lines=strict_lines,
        max_bulk_bytes=max_bulk_bytes,
        max_array_members=max_array_members,
        max_connections=max_connections,
        idle_timeout_s=idle_timeout_s,
        transaction_timeout_s=transaction_timeout_s,
        receive_bytes=receive_bytes,
        commands_per_turn=commands_per_turn,
        output_high_bytes=output_high_bytes,
        output_max_bytes=output_max_bytes,
        max_read_set_bytes=max_read_set_bytes,
        max_pinned_bytes=max_pinned_bytes,
        feed_heartbeat_s=feed_heartbeat_s,
        changes_buffer_bytes=changes_buffer_bytes,
        fsync=fsync,
        checkpoint_interval_s=checkpoint_interval_s,
        checkpoint_log_bytes=checkpoint_log_bytes,
        retain_seconds=retain_seconds,
        retain_bytes=retain_bytes,
        stop_grace_s=stop_grace_s,
        busy_poll_us=busy_poll_us,
    )
    sys.exit(run(settings, None if in_memory else data_dir or "data"))


def _is_given(context: typer.Context, option: str) -> bool:
    """Whether the option is on the command line, and not from the environment or a default."""
    source = context.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"


def run(settings: Settings, data_dir: str | None) -> int:
    """Serve until a signal says stop; the exit status. With no `data_dir` nothing is kept on disk.

    The order is such that a start that can't succeed has changed nothing: first the port, then the directory's
    lock, then its content.
    """
    with contextlib.ExitStack() as resources:
        try:
            listeners = Listeners(settings)
            resources.callback(listeners.close)
            history = retained_history(settings.retain_seconds, settings.retain_bytes)
            store = VersionedStore(
                time_us=lambda: time.time_ns() // 1000,
                history=history,
                read_set_bytes_max=settings.max_read_set_bytes,
                pinned_bytes_max=settings.max_pinned_bytes,
            )
            kept: dict[str, Any] = {}
            with paused():
                if data_dir is not None:
                    directory = DataDirectory.open(data_dir)
                    resources.callback(directory.close)
                    kept = _load(directory, store, history)
                    resources.callback(kept["log"].close)
                    if store.keys_total > _KEYS_MANY:
                        give_back()
                resources.enter_context(settled())
            listeners.listen()
        except Error as error:
            print(f"mvcc-kv: {error}", file=sys.stderr)
            return 1
        _raise_descriptor_limit(settings.max_connections)
        server = Server(store, settings, listeners, **kept)
        _stop_on_signals(server)
        print(f"listening on {listeners.address}", flush=True)
        try:
            return 0 if server.serve() else 1
        finally:
            signal.set_wakeup_fd(-1)


def _load(directory: DataDirectory, store: VersionedStore, history: CommitHistory | None) -> dict[str, Any]:
    """Fill the store and its history with what the directory holds; what the server needs to keep it there."""

    def progress(commits: int) -> None:
        event(logging.INFO, "recovering", commits_replayed=commits)

    recovered = directory.recover(progress, history)
    recovery = recovered.recovery
    store.restore(recovered.commit_ts, recovered.items, recovery.tokens)
    event(
        logging.INFO,
        "loaded",
        path=directory.path,
        keys=len(recovered.items),
        commit_ts=recovered.commit_ts,
        commits_replayed=recovery.commits_replayed,
        **({} if history is None else {"oldest_ts": history.base_ts}),
    )
    if recovery.torn is not None:
        event(logging.WARNING, "dropped an unfinished tail", at=str(recovery.torn), bytes=recovery.torn.dropped_bytes)
    if recovery.history_lost is not None:
        event(
            logging.WARNING,
            "some of the past is lost, and no data",
            at=str(recovery.history_lost),
            oldest_ts=recovery.history_lost.commits[1],
        )
    if recovery.is_log_missing:
        event(logging.WARNING, "no log beside the checkpoint: commits after it, if there were any, are not here")
    log = directory.begin_log(recovered)
    store.attach(log)
    return {
        "begin_checkpoint": lambda: directory.begin_checkpoint(store.begin(_CHECKPOINT, is_ours=True)),
        "checkpoint_ts": directory.checkpoint_ts,
        "log": log,
        "tokens": lambda: store.outcomes,
    }


def _stop_on_signals(server: Server) -> None:
    """The first SIGTERM or SIGINT winds the server down, the second ends the process at once.

    What comes within 50 ms of the first is the first once more: supervisors, `timeout` and `make` pass a
    signal on, and signal the whole group too.
    """
    first_at: float | None = None

    def on_signal(number: int, _: object) -> None:
        nonlocal first_at
        now = time.monotonic()
        if first_at is None:
            first_at = now
            server.stop()
        elif now - first_at > _SAME_SIGNAL_S:
            os._exit(128 + number)

    # The system may hand a signal to any thread; this wakes the loop's, which alone runs the handler.
    signal.set_wakeup_fd(server.wake_descriptor, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)


def _raise_descriptor_limit(max_connections: int) -> None:
    """Make room for every connection, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max_connections + _DESCRIPTORS_BESIDE_CONNECTIONS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if limit < wanted:
        event(logging.WARNING, "few open files allowed", open_files_max=limit, max_connections=max_connections)
