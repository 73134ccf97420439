"""`mvcc-kv play`: every step with its answer beside it, the chains below, and a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run

SCRIPT = """\
# Two writers.
t1: START
t2: PUT a 3

# Too late:
t1: PUT a 2
t1: DEL b
t1: COMMIT
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.txt"
    path.write_text(SCRIPT)
    return path


def test_every_step_is_printed_with_its_answer_beside_it(run: Run, script: Path) -> None:
    expected = """\
# Two writers.
t1: START        Transaction started
    t2: PUT a 3  Ok

# Too late:
t1: PUT a 2      Ok (lost a to 1)
t1: DEL b        Error KEY_NOT_FOUND b
t1: COMMIT       Error CONFLICT a (start_ts 0, won by commit_ts 1)
"""
    assert run("play", str(script)) == (expected, "", 0)


def test_chains_are_drawn_below_what_changed_them(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "script.txt"
    script.write_text('t1: PUT a 1\nt2: START\nt1: DEL a\nt1: PUT {"key": "a", "value": [1.0]}\nt2: GET a\nt2: QUIT\n')
    expected = """\
t1: PUT a 1                           Ok
                                      | a: 1@1
    t2: START                         Transaction started
                                      | a: 1@1   snapshots: t2 at 1
t1: DEL a                             Ok
                                      | a: x@2 -> 1@1   snapshots: t2 at 1
t1: PUT {"key": "a", "value": [1.0]}  Ok
                                      | a: [1.0]@3 -> 1@1   snapshots: t2 at 1
    t2: GET a                         a = "1"
    t2: QUIT                          Bye
                                      | a: [1.0]@3
"""
    assert run("play", str(script), "--show-chains") == (expected, "", 0)


def test_answers_as_expected_are_said_to_be(run: Run, script: Path) -> None:
    script.write_text(
        f"{SCRIPT}---\nt1: Ok (lost a to 1)\nt1: Error KEY_NOT_FOUND b\n"
        f"t1: Error CONFLICT a (start_ts 0, won by commit_ts 1)\n"
    )
    out, err, status = run("play", str(script))
    assert (err, status) == ("", 0)
    assert out.endswith("\n\nThe answers are those expected.\n")


def test_other_answers_are_shown_as_a_diff(run: Run, script: Path) -> None:
    script.write_text(f"{SCRIPT}---\nt1: Ok (lost a to 1)\nt1: Error KEY_NOT_FOUND b\n")
    out, err, status = run("play", str(script))
    assert (err, status) == ("", 1)
    assert out.endswith(
        "The answers are not those expected (- expected, + came):\n"
        "  t1: Ok (lost a to 1)\n"
        "  t1: Error KEY_NOT_FOUND b\n"
        "+ t1: Error CONFLICT a (start_ts 0, won by commit_ts 1)\n"
    )


def test_a_script_plays_on_a_server(run: Run, script: Path, server: str) -> None:
    alone = run("play", str(script))
    assert run("play", "--url", server, str(script)) == alone
    assert run("get", "a")[0] == '"3"\n'
    script.write_text(f"{SCRIPT}---\n")
    assert "On a server that isn't empty" in run("play", "--url", server, str(script))[0]


def test_a_server_in_the_environment_is_left_alone(run: Run, script: Path, server: str) -> None:
    run("play", str(script))
    assert run("dump")[0] == "{}\n"


def test_chains_of_a_server_can_not_be_drawn(run: Run, script: Path, server: str) -> None:
    out, err, status = run("play", "--url", server, "--show-chains", str(script))
    assert (out, status) == ("", 2)
    assert "--show-chains" in err


def test_a_script_that_can_not_be_read_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "script.txt"
    assert run("play", str(path)) == ("", f"mvcc-kv: {path}: No such file or directory\n", 1)
    path.write_text("t1: PING\nnonsense\n")
    assert run("play", str(path))[1].startswith(f"mvcc-kv: {path}: line 2 is no step")
    path.write_bytes(b"t1: \xff\n")
    assert run("play", str(path))[1] == f"mvcc-kv: {path}: a script is UTF-8 text\n"


def test_a_checkpoint_has_nowhere_to_go_in_memory(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "script.txt"
    path.write_text("t1: CHECKPOINT\n---\nt1: Error UNAVAILABLE\n")
    assert run("play", str(path))[2] == 0
