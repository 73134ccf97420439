"""Golden scripts: reading, playing and rewriting them, and replies in few words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.script import Answer, Script, Step, Turn, differences, parse, play, rewritten, summarize

LOST_UPDATE = """\
# Lost update.

t1: START
t2: PUT a  two spaces

# Then:
t1: COMMIT
---
# answers
t1: a = 1
"""


def test_a_script_is_read_to_the_letter() -> None:
    assert parse(LOST_UPDATE) == Script(
        steps=(
            Step("t1", "START", ("# Lost update.", "")),
            Step("t2", "PUT a  two spaces"),
            Step("t1", "COMMIT", ("", "# Then:")),
        ),
        expected=("t1: a = 1",),
    )
    assert parse(LOST_UPDATE).sessions == ("t1", "t2")


@pytest.mark.parametrize(
    ("command", "looks_back"),
    [
        ("HISTORY a", True),
        ('history {"key": "a"}', True),
        ('START {"label": "x", "at": 3}', True),
        ('START {"label": "x"}', False),
        ("START", False),
        ('PUT HISTORY "at"', False),
    ],
)
def test_a_script_that_reads_the_past_is_known(command: str, looks_back: bool) -> None:
    assert parse(f"t1: PING\nt2: {command}\n").looks_back is looks_back


def test_a_script_without_dashes_expects_nothing_in_particular() -> None:
    assert parse("t1: PING").expected is None
    assert parse("t1: PING\n---\n").expected == ()


@pytest.mark.parametrize("line", ["START", "t1 START", ": START", "t1:", "1: START", "t 1: START"])
def test_a_line_that_is_no_step_is_named(line: str) -> None:
    with pytest.raises(BadRequestError, match="line 2 is no step"):
        parse(f"t1: PING\n{line}\n---\n")


def test_steps_are_said_in_order_and_one_at_a_time() -> None:
    said: list[tuple[str, str]] = []

    def speak(session: str, command: str) -> bytes:
        said.append((session, command))
        return b'{"status": "Ok", "result": "Done"}'

    turns = play(parse(LOST_UPDATE), speak)
    assert said == []
    next(turns)
    assert said == [("t1", "START")]
    assert [turn.answer for turn in turns] == [Answer("Done", is_bare=True)] * 2
    assert said == [("t1", "START"), ("t2", "PUT a  two spaces"), ("t1", "COMMIT")]


def test_differences_show_what_was_expected_and_what_came() -> None:
    turns = [Turn(Step("t1", "GET a"), Answer("a = 1")), Turn(Step("t1", "PUT a 2"), Answer("Ok", is_bare=True))]
    assert differences(["t1: a = 1"], turns) == []
    assert differences(["t1: a = 2"], turns) == ["- t1: a = 2", "+ t1: a = 1"]
    assert differences([], turns) == ["+ t1: a = 1"]
    assert differences(["t1: a = 1", "t1: b = 1"], turns) == ["  t1: a = 1", "- t1: b = 1"]


def test_rewriting_keeps_the_steps_and_comments() -> None:
    turns = [Turn(Step("t1", "GET a"), Answer("a = 2"))]
    steps = LOST_UPDATE.partition("---")[0]
    assert rewritten(LOST_UPDATE, turns) == f"{steps}---\nt1: a = 2\n"
    assert rewritten(steps, turns) == f"{steps}---\nt1: a = 2\n"
    assert rewritten(steps, []) == f"{steps}---\n"


commands = st.text('aZ1 #:-{}"\\ë京😀', min_size=1, max_size=12).filter(str.strip)
texts = st.text('aZ1#:-{}"\\ë京😀', max_size=12)


@given(st.lists(st.tuples(st.sampled_from(["t1", "t2", "long-name_3"]), commands, texts), min_size=1))
def test_what_was_rewritten_expects_what_was_answered(said: list[tuple[str, str, str]]) -> None:
    text = "\r\n".join(f"{session}: {command.lstrip()}" for session, command, _ in said)
    steps = parse(text).steps
    assert [(it.session, it.command) for it in steps] == [(session, command.lstrip()) for session, command, _ in said]
    turns = [Turn(step, Answer(answer, is_bare=not answer)) for step, (_, _, answer) in zip(steps, said, strict=True)]
    again = rewritten(text, turns)
    assert parse(again).steps == steps
    assert differences(parse(again).expected or (), turns) == []
    assert rewritten(again, turns) == again


@pytest.mark.parametrize(
    ("command", "reply", "answer"),
    [
        ("START", '{"status": "Ok", "result": "Transaction started"}', Answer("Transaction started", is_bare=True)),
        ("put a 1", '{"status": "Ok", "result": {"key": "a", "value": "1"}}', Answer("Ok", is_bare=True)),
        ("DEL a", '{"status": "Ok", "result": {"key": "a"}}', Answer("Ok", is_bare=True)),
        ("GET a", '{"status": "Ok", "result": {"key": "a", "value": {"n":  1.0}}}', Answer('a = {"n":  1.0}')),
        ("GET x", '{"status": "Ok", "result": {"key": "a b", "value": null}}', Answer('"a b" = null')),
        ("START {}", '{"status": "Ok", "result": {"start_ts": 41}}', Answer("start_ts 41")),
        ("SCAN", '{"status": "Ok", "result": {"items": [], "next": null}}', Answer("[]")),
        (
            "SCAN",
            '{"status": "Ok", "result": {"items": [{"key": "a", "value": 1}, {"key": "b", "value": ""}], "next": "c"}}',
            Answer('[a = 1, b = ""], next c'),
        ),
        ("SCAN", '{"status": "Ok", "result": {"items": [{"key": "a"}], "next": null}}', Answer("[a]")),
        (
            "COMMIT",
            '{"status": "Error", "result": {"code": "CONFLICT", "retryable": true, "keys": ["a", "b", "c"], '
            '"start_ts": 1, "winners": {"a": {"commit_ts": 2}, "b": {"commit_ts": 3, "label": "x"}, '
            '"c": {"commit_ts": 2}}}, "message": "..."}',
            Answer('Error CONFLICT a, c (start_ts 1, won by commit_ts 2); b (start_ts 1, won by commit_ts 3 "x")'),
        ),
        (
            "GET a",
            '{"status": "Error", "result": {"code": "KEY_NOT_FOUND", "retryable": false, "key": "a"}}',
            Answer("Error KEY_NOT_FOUND a"),
        ),
        (
            "COMMIT",
            '{"status": "Error", "result": {"code": "TRANSACTION_DOOMED", "cause": {"code": "BAD_REQUEST"}}}',
            Answer("Error TRANSACTION_DOOMED by BAD_REQUEST"),
        ),
        ("X", '{"status": "Error", "result": {"code": "UNKNOWN_COMMAND"}}', Answer("Error UNKNOWN_COMMAND")),
        ('ADD {"key": "n"}', '{"status": "Ok", "result": {"key": "n", "value": 5}}', Answer("n = 5")),
        ('ADD {"key": "n"}', '{"status": "Ok", "result": {"key": "n", "by": 5}}', Answer("Ok", is_bare=True)),
        ('KILL {"transaction": 1}', '{"status": "Ok", "result": {"transaction": 1}}', Answer("Ok", is_bare=True)),
        (
            "HISTORY a",
            '{"status": "Ok", "result": {"key": "a", "versions": [{"commit_ts": 5, "time": "2026-11-23T09:29:17.1Z", '
            '"label": "x", "value": 1.0}, {"commit_ts": 4, "deleted": true}], "next": 4, "oldest_ts": 2}}',
            Answer('a: 1.0@5 "x", deleted@4, next 4; oldest_ts 2'),
        ),
        (
            "HISTORY a",
            '{"status": "Ok", "result": {"key": "a", "versions": [], "next": null, "oldest_ts": 2}}',
            Answer("a: nothing; oldest_ts 2"),
        ),
        (
            "TRANSACTIONS",
            '{"status": "Ok", "result": {"transactions": [{"transaction": 3, "age_s": 1.5, "start_ts": 2, "isolation": '
            '"serializable", "read_only": true, "label": "x", "client": "c", "keys_written": 1, "read_set_bytes": 9, '
            '"pinned_bytes": 9}], "total": 1}}',
            Answer('3 at 2 (1 key written, serializable, read-only, "x")'),
        ),
        ("TRANSACTIONS", '{"status": "Ok", "result": {"transactions": [], "total": 0}}', Answer("none")),
        (
            "PUT b 1",
            '{"status": "Ok", "result": {"key": "b", "value": "1"}, "message": "this transaction has lost key \'a\' to '
            'commit 7 already; ROLLBACK and run it again"}',
            Answer("Ok (lost a to 7)"),
        ),
        (
            "GET b",
            '{"status": "Ok", "result": {"key": "b", "value": 1}, "message": "hurry up"}',
            Answer("b = 1 (hurry up)"),
        ),
        (
            "GET a",
            '{"status": "Error", "result": {"code": "SNAPSHOT_GONE", "oldest_ts": 4}}',
            Answer("Error SNAPSHOT_GONE (oldest_ts 4)"),
        ),
    ],
)
def test_a_reply_in_few_words(command: str, reply: str, answer: Answer) -> None:
    assert summarize(command, reply.encode()) == answer
