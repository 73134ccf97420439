"""The shell: its prompt tells how the transaction stands; lines go out and replies come back as they are."""

from __future__ import annotations

import io
import json
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from mvcc_kv.cli.prompt import CommandCompleter, new_prompt
from mvcc_kv.cli.shell import Shell, Standing, _require_prompt_toolkit, interact, keys_like, standing_after
from mvcc_kv.cli.speakers import EngineSpeaker, ServerSpeaker
from mvcc_kv.cli.target import Target
from mvcc_kv.database import MemoryKeeper
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import UnavailableError
from tests.cli.conftest import Run
from tests.contract.serving import serving


@pytest.mark.parametrize(
    ("standing", "verb", "code", "after"),
    [
        (Standing.NONE, "START", None, Standing.OPEN),
        (Standing.NONE, "START", "AUTH_REQUIRED", Standing.NONE),
        (Standing.NONE, "PUT", "BAD_REQUEST", Standing.NONE),
        (Standing.OPEN, "GET", "KEY_NOT_FOUND", Standing.OPEN),
        (Standing.OPEN, "START", "TRANSACTION_OPEN", Standing.OPEN),
        (Standing.OPEN, "PUSH", "UNKNOWN_COMMAND", Standing.DOOMED),
        (Standing.OPEN, "PUT", "LIMIT_EXCEEDED", Standing.DOOMED),
        (Standing.OPEN, "GET", "TIMEOUT", Standing.DOOMED),
        (Standing.OPEN, "COMMIT", "CONFLICT", Standing.NONE),
        (Standing.OPEN, "ROLLBACK", None, Standing.NONE),
        (Standing.DOOMED, "GET", "TRANSACTION_DOOMED", Standing.DOOMED),
        (Standing.DOOMED, "COMMIT", "TRANSACTION_DOOMED", Standing.NONE),
        (Standing.DOOMED, "START", None, Standing.OPEN),
    ],
)
def test_how_the_transaction_stands(standing: Standing, verb: str, code: str | None, after: Standing) -> None:
    assert standing_after(standing, verb, code) is after


@pytest.fixture
def store() -> VersionedStore:
    store = VersionedStore()
    for key in (b"user:1", b"user:2", b"User:3", b"a key", b"{}", b"", b"line\nbreak"):
        store.put(key, b"1")
    return store


@pytest.fixture
def speaker(store: VersionedStore) -> Iterator[EngineSpeaker]:
    speaker = EngineSpeaker(store, checkpoint=MemoryKeeper().checkpoint)
    yield speaker
    speaker.close()


@pytest.fixture
def out() -> Console:
    return Console(file=io.StringIO(), width=100, highlight=False)


def printed(out: Console) -> str:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_the_prompt_marks_an_open_and_a_doomed_transaction(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    prompts = [shell.prompt]
    for line in ("START", "bad", "ROLLBACK", "START", "COMMIT {}"):
        shell.run(line)
        prompts.append(shell.prompt)
    assert prompts == ["mvcc-kv> ", "mvcc-kv*> ", "mvcc-kv!> ", "mvcc-kv> ", "mvcc-kv*> ", "mvcc-kv> "]


def test_replies_are_laid_out_for_people(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    shell.run('PUT {"key": "a", "value": {"pi": 3.140, "text": "' + "long " * 20 + '"}}\nGET a')
    assert printed(out).startswith('Ok\n{\n  "pi": 3.140,\n  "text": "long long')
    shell.run('GET nope\nSCAN {"prefix": "user:", "limit": 1}\nSCAN {"prefix": "z"}\nSTATS\nHELP\nDEL a')
    shown = printed(out)
    assert "KEY_NOT_FOUND Key not found" in shown
    assert "user:1" in shown
    assert "more from 'user:2'" in shown
    assert "nothing there" in shown
    assert "commits_total" in shown
    assert "ROLLBACK: forget the transaction" in shown


def test_histories_and_open_transactions_are_tables(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    shell.run("HISTORY nobody\nTRANSACTIONS")
    assert "no version is known" in printed(out)
    assert "no transaction is open" in printed(out)
    speaker("other", 'START {"label": "nightly [red]"}')
    shell.run("PUT a 1\nDEL a\nPUT a 2\nHISTORY a\nTRANSACTIONS")
    shown = printed(out)
    assert "history goes back to 10" in shown
    assert "nightly [red]" in shown
    assert " 0 keys" in shown
    shell.run('HISTORY {"key": "a", "limit": 1}')
    assert "Error" not in shown


def test_a_notice_is_shown_below_the_answer(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    shell.run("START\nPUT a 1")
    speaker("other", "PUT a 2")
    shell.run("GET a")
    assert printed(out).splitlines()[-2] == '"1"'
    assert "has lost key 'a'" in printed(out).splitlines()[-1]


def test_a_sum_is_shown_where_it_is_known(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    shell.run('ADD {"key": "n", "by": 41}\nSTART\nADD {"key": "n"}\nCOMMIT\nGET n')
    assert printed(out).split("\n")[:-1] == ["41", "Transaction started", "Ok", "Transaction commited", "42"]


def test_what_is_stored_is_no_markup(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    shell.run("PUT [red]a [/nonsense]\nGET [red]a\nSCAN\n[bold]")
    assert "[/nonsense]" in printed(out)
    assert "[red]a" in printed(out)


def test_what_is_stored_gives_the_terminal_no_orders(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    shell.run('PUT {"key": "\\u001b[2J", "value": "\x9b2J"}\nSCAN {"prefix": "\\u001b"}\nGET {"key": "\\u001b[2J"}')
    assert "\x1b" not in printed(out) and "\x9b" not in printed(out)
    assert printed(out).count("\\u009b2J") == 2


def test_the_keys_that_conflicts_are_about_are_listed(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    shell.run("STATS")
    assert re.search(r"hot_keys +-\n", printed(out))
    shell.run('START\nPUT {"key": "hot\\u009b", "value": 1}')
    speaker("other", 'PUT {"key": "hot\\u009b", "value": 2}')
    shell.run("COMMIT\nSTATS")
    assert "hot\\u009b 1" in printed(out)


def test_exit_and_quit_leave_and_blank_lines_do_not(speaker: EngineSpeaker, out: Console) -> None:
    shell = Shell(lambda line: speaker("shell", line), out)
    assert shell.run("") and shell.run("  \n\n")
    assert not shell.run("exit")
    assert not shell.run("QUIT")
    shell.run("START")
    shell.leave()
    assert printed(out).endswith("The open transaction was rolled back.\n")


def test_a_lost_connection_is_told_and_the_next_command_makes_a_new_one(out: Console) -> None:
    store = VersionedStore()
    with serving(store) as address:
        port = int(address.rpartition(":")[2])
        speaker = ServerSpeaker(address)
        shell = Shell(lambda line: speaker("shell", line), out)
        shell.run("START")
        shell.run("PUT a 1")
    assert shell.run("GET a")
    assert "was lost: the server closed it; the open transaction is rolled back" in " ".join(printed(out).split())
    assert shell.prompt == "mvcc-kv> "
    assert shell.run("GET a")
    assert "is the server running?" in printed(out)
    with serving(store, port=port):
        shell.run("PING")
    speaker.close()
    assert printed(out).endswith("PONG\n")


def test_a_commit_that_was_cut_off_is_not_called_rolled_back(out: Console) -> None:
    def ask(line: str) -> bytes:
        if line == "COMMIT":
            raise UnavailableError("the connection was lost")
        return b'{"status": "Ok", "result": "Transaction started"}'

    shell = Shell(ask, out)
    shell.run("START\nCOMMIT")
    assert "whether the transaction was committed can't be told" in printed(out)


def completions(store: VersionedStore, text: str) -> list[str]:
    completer = CommandCompleter(lambda prefix: keys_like(store, prefix))
    return [it.text for it in completer.get_completions(Document(text), CompleteEvent())]


def test_verbs_and_keys_are_completed(store: VersionedStore) -> None:
    assert completions(store, "ST") == ["START", "STATS"]
    assert completions(store, "roll") == ["ROLLBACK"]
    assert completions(store, "ex") == ["exit"]
    assert completions(store, "get us") == ["user:1", "user:2"]
    assert completions(store, "GET ") == ["User:3", "user:1", "user:2"], (
        "keys that the plain form can't hold are left out"
    )
    assert completions(store, "HISTORY us") == ["user:1", "user:2"]
    assert completions(store, "PUT user:1 us") == []
    assert completions(store, 'GET {"key": "us') == []
    assert completions(store, "SCAN us") == []


def test_completion_survives_a_server_that_is_gone() -> None:
    class Gone(VersionedStore):
        def scan(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            raise UnavailableError("gone")

    assert completions(Gone(), "GET a") == []


def test_a_dialogue_at_a_terminal(
    store: VersionedStore,
    speaker: EngineSpeaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("START\rPUT a 1\rAUTH secret\rGE\x03GET a\rROLLBACK\rexit\r")
        assert interact(Target("here:1", None, None), lambda line: speaker("shell", line), store) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("mvcc-kv ")
    assert "Transaction started\nOk\n" in shown
    history = tmp_path / "mvcc-kv" / "history"
    assert "+PUT a 1\n" in history.read_text()
    assert "secret" not in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600


def test_end_of_input_leaves_and_rolls_back(
    store: VersionedStore, speaker: EngineSpeaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as environment, create_pipe_input() as keys:
        environment.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
        (tmp_path / "file").write_text("so no history can be kept here")
        with create_app_session(input=keys, output=DummyOutput()):
            keys.send_text("START\r\x04")
            assert interact(Target("here:1", None, "data"), lambda line: speaker("shell", line), store) == 0
    shown = capsys.readouterr()
    assert shown.out.endswith("The open transaction was rolled back.\n")
    assert "no history is kept" in shown.err


def test_the_prompt_reads_a_line() -> None:
    with create_pipe_input() as keys:
        keys.send_text("PING\r")
        assert new_prompt(lambda _: [], None, input=keys, output=DummyOutput()).prompt("> ") == "PING"


def test_without_prompt_toolkit_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(UnavailableError, match=r"pip install 'mvcc-kv\[shell\]'"):
        _require_prompt_toolkit()


def test_without_a_terminal_replies_are_printed_as_they_are(run: Run, server: str) -> None:
    out, err, status = run("shell", stdin="START\r\nPUT a 1\n\nCOMMIT {}\nGET a")
    assert (err, status) == ("", 0)
    assert out.splitlines() == [
        '{"status": "Ok", "result": "Transaction started"}',
        '{"status": "Ok", "result": {"key": "a", "value": "1"}}',
        '{"status": "Ok", "result": {"commit_ts": 1}}',
        '{"status": "Ok", "result": {"key": "a", "value": "1"}}',
    ]


def test_without_a_terminal_an_error_is_the_exit_status_and_the_rest_goes_on(run: Run, server: str) -> None:
    out, err, status = run("shell", stdin="GET nope\nPING\nQUIT\nPING\n")
    assert (err, status) == ("", 1)
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["Error", "Ok", "Ok"]
    assert run("shell", stdin="PING\nexit\nnonsense\n")[1:] == ("", 0)


def test_a_directory_has_a_shell_too_without_a_limit(run: Run, tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    out, _, status = run("shell", "--data-dir", directory, stdin=f"PUT a {'x' * 2000}\nCHECKPOINT\n")
    assert status == 0
    assert out.endswith('{"status": "Ok", "result": {"checkpoint_ts": 1}}\n')
    assert run("get", "a", "--data-dir", directory)[0] == f'"{"x" * 2000}"\n'
