"""The command line as a process of its own: help, streams and exit statuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_dump_and_load import many
from tests.contract.serving import serving

COMMANDS = ["serve", "shell", "get", "put", "del", "dump", "load", "stats", "changes", "play"]


def mvcc_kv(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mvcc_kv", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        env={**os.environ, "COLUMNS": "100", **environment},
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does(run: Run, command: str) -> None:
    out, err, status = run(command, "--help")
    assert (err, status) == ("", 0)
    assert f"mvcc-kv {command} " in out or command == "serve"
    assert "\b" not in out


def test_help_lists_every_command_and_shows_a_beginning(run: Run) -> None:
    out, err, status = run("-h")
    assert (err, status) == ("", 0)
    for command in COMMANDS:
        assert f" {command} " in out
    assert "mvcc-kv load data/example.json" in out


def test_the_version(run: Run) -> None:
    import mvcc_kv as package

    assert run("--version") == (f"mvcc-kv {package.__version__}\n", "", 0)


def test_a_usage_error_is_status_2(run: Run) -> None:
    for arguments in (["get"], ["nonsense"], ["put", "a"], ["stats", "--nonsense"]):
        assert run(*arguments)[2] == 2


def test_values_are_utf8_whatever_the_locale(tmp_path: Path) -> None:
    directory = str(tmp_path / "data")
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
    assert mvcc_kv("put", "name", "-", "--data-dir", directory, stdin="Zoë\n", **plain).returncode == 0
    assert mvcc_kv("get", "name", "--data-dir", directory, **plain).stdout == '"Zoë"\n'
    assert mvcc_kv("dump", "--data-dir", directory, **plain).stdout == '{\n"name": "Zoë"\n}\n'


def test_an_error_is_one_line_and_no_traceback(tmp_path: Path) -> None:
    result = mvcc_kv("get", "a", "--data-dir", str(tmp_path / "nowhere"))
    assert (result.stdout, result.returncode) == ("", 1)
    assert result.stderr.startswith("mvcc-kv: ")
    assert result.stderr.count("\n") == 1


def test_a_reader_that_leaves_ends_a_dump_quietly() -> None:
    with serving(many(20_000)) as address:
        command = f"{sys.executable} -m mvcc_kv dump --url {address} | head -n 2"
        result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert result.stdout == '{\n"key000000": 0,\n'
    assert result.stderr == ""


def test_the_shell_takes_a_pipe() -> None:
    with serving() as address:
        result = mvcc_kv("shell", stdin="PUT name Zoë\nGET name\n", MVCC_KV_URL=address)
    assert result.stdout.splitlines()[-1] == '{"status": "Ok", "result": {"key": "name", "value": "Zoë"}}'
    assert (result.stderr, result.returncode) == ("", 0)
