"""Golden scripts: what several sessions say, interleaved, and what they should be told.

    # Lost update: the first committer wins.      comments and blank lines, as you like
    t1: START                                     a session is made when it is first mentioned;
    t2: START                                     the rest of the line is a command of the line protocol,
    t1: PUT a 2                                   to the letter
    t2: PUT a 3
    t1: COMMIT
    t2: COMMIT
    ---                                           below, in order, each answer that says more than "done"
    t2: Error CONFLICT a (start_ts 1, won by commit_ts 2)

One line is said and answered before the next, so a script has exactly one outcome, and timestamps can be
part of it. A script without `---` expects nothing in particular.

An answer is summarized by looking at the command and its reply only:

    Ok to START, PUT, DEL, ...     Ok, or the server's words     not listed below the line
    GET a                          a = "x"                       the value's JSON text as it came
    SCAN {"limit": 2}              [a = 1, b = 2], next c
    START {}, COMMIT {}            start_ts 1, commit_ts 2
    HISTORY a                      a: 2@5 "nightly", deleted@4, 1@2; oldest_ts 0      times are left out
    TRANSACTIONS                   1 at 0 (2 keys written), 2 at 1 (serializable, "nightly")
    anything refused               Error CODE evidence
    a command that succeeds in a   what it is otherwise, and: (lost a to 7)
    transaction that has lost
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import ndiff
from typing import Any, TypeAlias

import msgspec

from mvcc_kv.errors import BadRequestError

__all__ = [
    "Answer",
    "Script",
    "Speak",
    "Step",
    "Turn",
    "differences",
    "key_text",
    "parse",
    "play",
    "refusal",
    "rewritten",
    "summarize",
]

Speak: TypeAlias = "Callable[[str, str], bytes]"
"""Has the session of that name say a command; the reply line."""

_SEPARATOR = "---"
_STEP = re.compile(r"([A-Za-z_][\w-]*): ?(\s*\S.*)")
_LOOKS_BACK = re.compile(r"\s*(HISTORY\b|START\s.*\"at\")", re.IGNORECASE)
_LOST = re.compile(r"lost key '(?P<key>.*)' to commit (?P<ts>[0-9]+)")
_PLAIN_KEY = re.compile(r"[^\s\"'\[\]{}(),=]+")


@dataclass(frozen=True, slots=True)
class Step:
    """A command that a session says; `above` are the comments and blank lines before it."""

    session: str
    command: str
    above: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """Steps in their order, and the answers expected; None where the script doesn't say."""

    steps: tuple[Step, ...]
    expected: tuple[str, ...] | None

    @property
    def sessions(self) -> tuple[str, ...]:
        """The sessions' names, as they are first mentioned."""
        return tuple(dict.fromkeys(step.session for step in self.steps))

    @property
    def looks_back(self) -> bool:
        """Whether a step reads the past: then it is to be played on a store that retains history."""
        return any(_LOOKS_BACK.match(step.command) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply in few words. A bare one only acknowledges."""

    text: str
    is_bare: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """A step that was taken, and its answer."""

    step: Step
    answer: Answer

    @property
    def line(self) -> str | None:
        """The answer as it stands in a script; None if it doesn't, because it is bare."""
        return None if self.answer.is_bare else f"{self.step.session}: {self.answer.text}"


def parse(text: str) -> Script:
    """The script in `text`. Raises `BadRequestError`, which names the line.

    >>> parse("t1: GET a\\n---\\nt1: Error KEY_NOT_FOUND a").steps
    (Step(session='t1', command='GET a', above=()),)
    """
    said, separator, expected = _halves(text)
    answers = [line.strip() for line in expected if line.strip() and not line.startswith("#")]
    return Script(tuple(_steps(said)), tuple(answers) if separator else None)


def _halves(text: str) -> tuple[list[str], str, list[str]]:
    lines = text.replace("\r\n", "\n").split("\n")  # not splitlines, which knows newlines that a command may hold
    at = next((at for at, line in enumerate(lines) if line.rstrip() == _SEPARATOR), None)
    return (lines, "", []) if at is None else (lines[:at], _SEPARATOR, lines[at + 1 :])


def _steps(lines: Sequence[str]) -> Iterator[Step]:
    above: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            above.append(line.rstrip())
            continue
        found = _STEP.fullmatch(line)
        if found is None:
            raise BadRequestError(f"line {number} is no step; a step is `session: COMMAND`, not {line!r}")
        yield Step(found[1], found[2], tuple(above))
        above = []


def play(script: Script, speak: Speak) -> Iterator[Turn]:
    """Take the steps one after the other, each when its turn is asked for."""
    for step in script.steps:
        yield Turn(step, summarize(step.command, speak(step.session, step.command)))


def differences(expected: Iterable[str], turns: Iterable[Turn]) -> list[str]:
    """Where the answers are not those expected: "- " what was expected, "+ " what came; empty if they are."""
    actual = [turn.line for turn in turns if turn.line is not None]
    compared = [line for line in ndiff(list(expected), actual) if not line.startswith("?")]
    return compared if any(not line.startswith(" ") for line in compared) else []


def rewritten(text: str, turns: Iterable[Turn]) -> str:
    """The script's text with these turns' answers as what it expects."""
    said, _, _ = _halves(text)
    while said and not said[-1].strip():
        said.pop()
    answers = [turn.line for turn in turns if turn.line is not None]
    return "\n".join([*said, _SEPARATOR, *answers]) + "\n"


# Replies in few words


class _Reply(msgspec.Struct):
    status: str
    result: msgspec.Raw = msgspec.Raw(b"null")
    message: str = ""


class _Item(msgspec.Struct):
    key: str
    value: msgspec.Raw = msgspec.Raw()  # empty where only keys were asked for


class _Items(msgspec.Struct):
    items: list[_Item]
    next: str | None


class _Version(msgspec.Struct):
    commit_ts: int
    label: str | None = None
    value: msgspec.Raw = msgspec.Raw(b"deleted")


class _History(msgspec.Struct):
    key: str
    versions: list[_Version]
    next: int | None
    oldest_ts: int


class _Opened(msgspec.Struct):
    transaction: int
    start_ts: int
    isolation: str
    read_only: bool
    label: str | None
    keys_written: int


class _AllOpened(msgspec.Struct):
    transactions: list[_Opened]


_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_evidence = msgspec.json.Decoder(dict[str, Any]).decode
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_items = msgspec.json.Decoder(_Items).decode
_decode_history = msgspec.json.Decoder(_History).decode
_decode_opened = msgspec.json.Decoder(_AllOpened).decode


def summarize(command: str, reply: bytes) -> Answer:
    """The reply to a command, in few words.

    >>> summarize("GET a", b'{"status": "Ok", "result": {"key": "a", "value": 1.0}}').text
    'a = 1.0'
    """
    decoded = _decode_reply(reply)
    if decoded.status != "Ok":
        return Answer(refusal(_decode_evidence(decoded.result)))
    answer = _answer(command, decoded.result)
    if not decoded.message:
        return answer
    return Answer(f"{answer.text} ({_notice(decoded.message)})")


def _answer(command: str, result: msgspec.Raw) -> Answer:
    if not bytes(result).startswith(b"{"):
        return Answer(str(msgspec.json.decode(result)), is_bare=True)
    members = _decode_members(result)
    verb = command.split(None, 1)[0].upper()
    if set(members) in ({"key"}, {"key", "by"}, {"transaction"}) or verb == "PUT":
        return Answer("Ok", is_bare=True)
    if set(members) == {"key", "value"}:
        return Answer(f"{key_text(msgspec.json.decode(members['key'], type=str))} = {_text(members['value'])}")
    if set(members) == {"items", "next"}:
        return Answer(_page(_decode_items(result)))
    if "versions" in members:
        return Answer(_history(_decode_history(result)))
    if "transactions" in members:
        return Answer(", ".join(map(_opened, _decode_opened(result).transactions)) or "none")
    return Answer(", ".join(f"{name} {_text(value)}" for name, value in members.items()))


def _notice(message: str) -> str:
    found = _LOST.search(message)
    return message if found is None else f"lost {found['key']} to {found['ts']}"


def _page(page: _Items) -> str:
    items = (f"{key_text(it.key)} = {_text(it.value)}" if bytes(it.value) else key_text(it.key) for it in page.items)
    return f"[{', '.join(items)}]" + ("" if page.next is None else f", next {key_text(page.next)}")


def _history(history: _History) -> str:
    versions = (f"{_text(it.value)}@{it.commit_ts}{_quoted(it.label)}" for it in history.versions)
    following = "" if history.next is None else f", next {history.next}"
    return f"{key_text(history.key)}: {', '.join(versions) or 'nothing'}{following}; oldest_ts {history.oldest_ts}"


def _opened(opened: _Opened) -> str:
    """What doesn't depend on the clock, on who plays it, and on how much memory things take."""
    facts = [f"{opened.keys_written} key{'s' * (opened.keys_written != 1)} written"] if opened.keys_written else []
    facts += ["serializable"] if opened.isolation == "serializable" else []
    facts += ["read-only"] if opened.read_only else []
    facts += [_quoted(opened.label).strip()] if opened.label is not None else []
    return f"{opened.transaction} at {opened.start_ts}" + (f" ({', '.join(facts)})" if facts else "")


def _quoted(label: str | None) -> str:
    return "" if label is None else f" {json.dumps(label, ensure_ascii=False)}"


def refusal(result: dict[str, Any]) -> str:
    """An error's `to_result` in few words. Takes it apart."""
    code = result.pop("code", "ERROR")
    result.pop("retryable", None)
    words = _EVIDENCE.get(code, _facts)(result)
    return f"Error {code} {words}".rstrip()


def _conflict(evidence: Mapping[str, Any]) -> str:
    """Keys that lost to the same commit are told together."""
    lost: dict[str, list[str]] = {}
    for key, winner in evidence["winners"].items():
        won = f"won by commit_ts {winner['commit_ts']}{_quoted(winner.get('label'))}"
        lost.setdefault(won, []).append(key_text(key))
    start = f"start_ts {evidence['start_ts']}"
    return "; ".join(f"{', '.join(keys)} ({start}, {won})" for won, keys in lost.items())


def _facts(evidence: Mapping[str, Any]) -> str:
    facts = ", ".join(f"{name} {json.dumps(fact, ensure_ascii=False)}" for name, fact in evidence.items())
    return f"({facts})" if facts else ""


_EVIDENCE: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "CONFLICT": _conflict,
    "KEY_NOT_FOUND": lambda evidence: key_text(evidence["key"]),
    "TRANSACTION_DOOMED": lambda evidence: f"by {evidence['cause']['code']}",
}


def key_text(key: str) -> str:
    """The key, in quotes if it wants them."""
    return key if _PLAIN_KEY.fullmatch(key) else json.dumps(key, ensure_ascii=False)


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode()
