"""`mvcc-kv shell`: the line protocol by hand, with a transaction's standing in the prompt.

    mvcc-kv>     no transaction       mvcc-kv*>    one is open       mvcc-kv!>    doomed: only ROLLBACK helps

What is typed goes to the server as it is, on one connection. Completion of keys reads them on another, so it
is no part of the transaction. Without a terminal there is no prompt: lines in, reply lines out, to the letter.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mvcc_kv.api import KeyRange, Store
from mvcc_kv.cli.reporting import complain
from mvcc_kv.cli.target import DataDir, Password, Target, Url, chosen, opened_directory
from mvcc_kv.cli.wire import decode_reply
from mvcc_kv.errors import Error, UnavailableError
from mvcc_kv.protocol.grammar import verb_of

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Shell", "Standing", "interact", "keys_like", "play_lines", "shell", "standing_after"]

Ask: TypeAlias = "Callable[[str], bytes]"

COMPLETIONS_MAX = 20
NO_LIMIT_BYTES = sys.maxsize  # embedded use has no limit on a transaction's bytes
_SESSION = "shell"
_LEAVING = ("EXIT", "QUIT")
_DOOMING = (
    "BAD_REQUEST",
    "LIMIT_EXCEEDED",
    "READ_ONLY",
    "TIMEOUT",
    "TRANSACTION_DOOMED",
    "UNKNOWN_COMMAND",
)


class Standing(Enum):
    """How the connection's transaction stands, as the prompt marks it."""

    NONE = ""
    OPEN = "*"
    DOOMED = "!"


def standing_after(standing: Standing, verb: str, code: str | None) -> Standing:
    """How it stands after a command was answered; `code` is the error's, None for an Ok."""
    if verb in ("COMMIT", "ROLLBACK"):
        return Standing.NONE
    if verb == "START" and code is None:
        return Standing.OPEN
    if standing is Standing.OPEN and code in _DOOMING:
        return Standing.DOOMED
    return standing


def shell(url: Url = None, password: Password = None, data_dir: DataDir = None) -> None:
    """Type commands and see their replies, with history and completion (Tab) of verbs and keys.

    Every line is a command of the protocol; HELP lists them. START opens a transaction, and the prompt shows a
    star until COMMIT or ROLLBACK, an exclamation mark if a command was refused and only ROLLBACK is left.
    `exit` or Ctrl-D leaves; a transaction that is open then is rolled back.

    Without a terminal, commands are read from standard input and the reply lines are printed as they are. The
    exit status is then 1 if any of them was an error.

    \b
      mvcc-kv shell
      mvcc-kv shell --data-dir data
      printf 'START\\nPUT a 1\\nCOMMIT\\n' | mvcc-kv shell
    """
    target = chosen(url, password, data_dir)
    is_interactive = sys.stdin.isatty() and sys.stdout.isatty()
    if is_interactive:
        _require_prompt_toolkit()
    with _opened(target) as (ask, store):
        sys.exit(interact(target, ask, store) if is_interactive else play_lines(sys.stdin, ask))


def _require_prompt_toolkit() -> None:
    try:
        import prompt_toolkit  # noqa: F401 (is it there?)
    except ImportError:
        raise UnavailableError("the interactive shell needs prompt-toolkit: pip install 'mvcc-kv[shell]'") from None


@contextmanager
def _opened(target: Target) -> Iterator[tuple[Ask, Store]]:
    """Who answers the commands, and a store in which to look keys up."""
    from mvcc_kv.cli.speakers import EngineSpeaker, ServerSpeaker

    if target.data_dir is not None:
        with opened_directory(target.data_dir, make=True) as (kept, checkpoint):
            engine = EngineSpeaker(kept, checkpoint=checkpoint, max_transaction_bytes=NO_LIMIT_BYTES)
            with closing(engine):
                yield lambda line: engine(_SESSION, line), kept
        return
    server = ServerSpeaker(target.address, target.password)
    with target.opened() as store, closing(server):
        server.connect(_SESSION)
        yield lambda line: server(_SESSION, line), store


def play_lines(lines: Iterable[str], ask: Ask) -> int:
    """Ask one line after the other and print the reply lines; the exit status, 1 if any was an error."""
    status = 0
    for line in lines:
        line = line.rstrip("\r\n")
        verb = verb_of(line.encode(errors="surrogateescape"))
        if not verb:
            continue
        if verb == "EXIT":
            break
        reply = ask(line)
        sys.stdout.buffer.write(reply + b"\n")
        sys.stdout.buffer.flush()
        if decode_reply(reply).error is not None:
            status = 1
        if verb == "QUIT":
            break
    return status


class Shell:
    """What happens to a line that somebody typed."""

    def __init__(self, ask: Ask, out: Console) -> None:
        self._ask = ask
        self._out = out
        self.standing = Standing.NONE

    @property
    def prompt(self) -> str:
        """What invites the next line."""
        return f"mvcc-kv{self.standing.value}> "

    def run(self, text: str) -> bool:
        """Ask every line of it and show the replies; whether to go on."""
        return all(self._run_line(line) for line in text.splitlines() if line.strip())

    def leave(self) -> None:
        """Say what becomes of an open transaction."""
        if self.standing is Standing.OPEN:
            self._out.print("The open transaction was rolled back.", style="yellow")

    def _run_line(self, line: str) -> bool:
        from mvcc_kv.cli.show import shown

        verb = verb_of(line.encode(errors="surrogateescape"))
        if verb in _LEAVING and len(line.split()) == 1:
            return False
        try:
            reply = self._ask(line)
            self._out.print(shown(line, reply))
        except Error as error:
            self._out.print(f"{error.message}{self._lost_with(verb)}", style="red", markup=False)
            self.standing = Standing.NONE
            return True
        error_told = decode_reply(reply).error
        self.standing = standing_after(self.standing, verb, None if error_told is None else error_told.code)
        return True

    def _lost_with(self, verb: str) -> str:
        """What else the loss of the connection means. The next command makes a new one."""
        if verb == "COMMIT" and self.standing is not Standing.NONE:
            return "; whether the transaction was committed can't be told: look before you repeat it"
        return "" if self.standing is Standing.NONE else "; the open transaction is rolled back"


def interact(target: Target, ask: Ask, store: Store) -> int:
    """Read lines from the terminal until somebody leaves; the exit status."""
    from rich.console import Console

    from mvcc_kv.cli.prompt import new_prompt
    from mvcc_kv.version import __version__

    out = Console(highlight=False)
    out.print(f"mvcc-kv {__version__}, {target.data_dir or target.address}. HELP lists the commands, exit leaves.")
    dialogue = Shell(ask, out)
    prompt = new_prompt(lambda prefix: keys_like(store, prefix), _history_path())
    while True:
        try:
            if not dialogue.run(prompt.prompt(dialogue.prompt)):
                break
        except KeyboardInterrupt:
            continue  # Ctrl-C gives the line up, not the shell
        except EOFError:
            break
    dialogue.leave()
    return 0


def keys_like(store: Store, prefix: str) -> list[str]:
    """Some keys that begin with `prefix`; none if the store can't say."""
    try:
        page = store.scan(KeyRange(prefix.encode()), limit=COMPLETIONS_MAX, keys_only=True)
    except (Error, UnicodeEncodeError):
        return []
    return [key.decode() for key, _ in page.items]


def _history_path() -> Path | None:
    """Where the history is kept, by the XDG rules; None, and a word about it, if that can't be written."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    path = Path(state, "mvcc-kv", "history")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError as error:
        complain(f"no history is kept: {path}: {error.strerror}")
        return None
    return path
