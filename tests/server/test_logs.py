"""Logs: one event a line, for people or for programs."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from mvcc_kv.server.logs import LogFormat, configure, event, logger


@pytest.fixture(autouse=True)
def restored(logs: pytest.LogCaptureFixture) -> Iterator[None]:
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def logged(log_format: LogFormat, level: str = "debug") -> io.StringIO:
    stream = io.StringIO()
    configure(log_format, level, stream)
    return stream


def test_text_is_a_line_of_time_level_event_and_facts() -> None:
    stream = logged("text")
    event(logging.INFO, "connection closed", peer="127.0.0.1:5", reason='it said "no"\n', empty="", count=3)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO connection closed "
        r'peer=127\.0\.0\.1:5 reason="it said \\"no\\"\\n" empty="" count=3\n',
        stream.getvalue(),
    )


def test_json_is_an_object_a_line() -> None:
    stream = logged("json")
    event(logging.WARNING, "connection refused", peer="é", count=3, odd=Exception("x"))
    event(logging.INFO, "stopped")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("time"))
    assert first == {"level": "WARNING", "event": "connection refused", "peer": "é", "count": 3, "odd": "x"}
    assert (second["level"], second["event"]) == ("INFO", "stopped")


def failed() -> None:
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        event(logging.ERROR, "internal error", peer="p", exc_info=True)


def test_an_internal_error_is_logged_with_its_traceback() -> None:
    text = logged("text")
    failed()
    assert "ERROR internal error peer=p\nTraceback" in text.getvalue()
    as_json = logged("json")
    failed()
    (line,) = as_json.getvalue().splitlines()
    assert "RuntimeError: a bug" in json.loads(line)["traceback"]


def test_a_line_of_json_stays_one_whatever_a_fact_holds() -> None:
    stream = logged("json")
    event(logging.INFO, "x", fact="a\nb\u2028\x00")
    assert stream.getvalue().count("\n") == 1
    assert json.loads(stream.getvalue())["fact"] == "a\nb\u2028\x00"


def test_what_is_below_the_level_is_not_logged() -> None:
    stream = logged("text", "warning")
    event(logging.INFO, "chatter")
    event(logging.WARNING, "news")
    assert "chatter" not in stream.getvalue() and "news" in stream.getvalue()


def test_configuring_anew_replaces_what_was_before() -> None:
    before, after = logged("text"), logged("json")
    event(logging.INFO, "x")
    assert before.getvalue() == ""
    assert after.getvalue().count("\n") == 1
