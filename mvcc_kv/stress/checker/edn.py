r"""EDN: the notation of Jepsen's and Elle's histories, as far as these use it.

    {:index 3, :type :ok, :process 0, :time 41, :f :txn, :value [[:append 5 1] [:r 6 [2 3]]]}

Keywords are strings without their colon and of a type of their own, as symbols and characters are (identities.py);
lists, vectors and sets are lists, `nil` is None. A tag (`#jepsen.history.Op{...}`, `#inst "..."`) and a map's namespace
(`#:op{...}`) are passed over, and what they stand before is what counts. What comes after `;` or `#_` is a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from mvcc_kv.errors import BadRequestError
from mvcc_kv.stress.checker.identities import Keyword, Odd, Symbol, identity
from mvcc_kv.stress.checker.loose import loose_event
from mvcc_kv.stress.history import Event

__all__ = ["decode_edn", "edn_events", "encode_edn", "encode_edn_event", "encode_edn_value"]

_TOKEN = re.compile(
    r"""[\s,]*(?:;[^\n]*(?:\n|$)[\s,]*)*(?:
      (?P<open>[(\[{]|\#\{) | (?P<close>[)\]}]) | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<discard>\#_) | (?P<tag>\#:{0,2}[A-Za-z][\w.\-/*+!?$%&=<>]*|\#::(?=[\s,]*\{))
    | (?P<character>\\(?:newline|return|space|tab|formfeed|backspace|u[0-9A-Fa-f]{4}|o[0-7]{1,3}|.))
    | (?P<atom>[^\s,()\[\]{}"';]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
_REST = re.compile(r"[\s,]*(?:;[^\n]*(?:\n|$)[\s,]*)*")
_CLOSING = {"(": ")", "[": "]", "{": "}", "#{": "}"}
_CONSTANTS: dict[str, Any] = {"nil": None, "true": True, "false": False}
_NUMBER = re.compile(r"[+-]?[0-9]+N?")
_FLOAT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?M?")
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|[0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\"}
_DISCARDED = object()
_DEPTH_MAX = 100
_DIGITS_MAX = 1000
_NO_JSON = "if it is JSON, read it with --format jsonl"


def decode_edn(text: str) -> Iterator[tuple[int, Any]]:
    """Each form at the top, with the line it begins on. Raises `BadRequestError`, which names the line.

    >>> list(decode_edn("{:f :txn :value [[:r 1 nil]]} ; done"))
    [(1, {:f: :txn, :value: [[:r, 1, None]]})]
    """
    reader = _Reader(text)
    line, counted = 1, 0
    while (token := reader.token()) is not None:
        at = token.start(token.lastgroup or 0)
        line, counted = line + text.count("\n", counted, at), at
        form = reader.form(token)
        if form is not _DISCARDED:
            yield line, form


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    def token(self) -> re.Match[str] | None:
        """The next token; None at the end."""
        found = _TOKEN.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            return found
        rest = _REST.match(self._text, self._at)
        if rest is not None and rest.end() < len(self._text):
            raise self._error(rest.end(), "something here is no EDN")
        return None

    def form(self, token: re.Match[str]) -> Any:
        """The form that begins with the token."""
        kind = token.lastgroup
        if kind == "atom":
            return self._atom(token["atom"], token.start("atom"))
        if kind == "open":
            return self._collection(token["open"], token.start("open"))
        if kind == "string":
            return self._string(token["string"], token.start("string"))
        if kind == "character":
            return Symbol(token["character"])
        if kind == "tag":
            return self._whole_form(token.start("tag"))
        if kind == "discard":
            self._whole_form(token.start("discard"))
            return _DISCARDED
        raise self._error(token.start("close"), f"{token['close']!r} closes nothing")

    def _whole_form(self, at: int) -> Any:
        self._deeper(at)
        while (token := self.token()) is not None:
            form = self.form(token)
            if form is not _DISCARDED:
                self._depth -= 1
                return form
        raise self._error(at, "it breaks off here")

    def _deeper(self, at: int) -> None:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise self._error(at, "it is nested too deeply")

    def _collection(self, opened: str, at: int) -> Any:
        self._deeper(at)
        items: list[Any] = []
        while (token := self.token()) is not None:
            if token.lastgroup == "close":
                self._depth -= 1
                if token["close"] != _CLOSING[opened]:
                    told = f"{token['close']!r} closes the {opened!r} of line {self._line(at)}"
                    raise self._error(token.start("close"), told)
                return self._mapping(items, at) if opened == "{" else items
            form = self.form(token)
            if form is not _DISCARDED:
                items.append(form)
        raise self._error(at, f"{opened!r} is never closed; is the file cut short?")

    def _mapping(self, items: list[Any], at: int) -> dict[Any, Any]:
        if len(items) % 2:
            raise self._error(at, "a map has a key without a value")
        keys = [it if isinstance(it, str) else identity(it) for it in items[::2]]
        return dict(zip(keys, items[1::2], strict=True))

    def _atom(self, text: str, at: int) -> Any:
        if text == ":":
            raise self._error(at, f"a colon without a name; {_NO_JSON}")
        if text[0] == ":":
            return Keyword(text[1:])
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _NUMBER.fullmatch(text):
            if len(text) > _DIGITS_MAX:
                raise self._error(at, f"a number has more than {_DIGITS_MAX} digits")
            return int(text.rstrip("N"))
        return float(text.rstrip("M")) if _FLOAT.fullmatch(text) else Symbol(text)

    def _string(self, quoted: str, at: int) -> str:
        if "\\" not in quoted:
            return quoted[1:-1]
        text = _ESCAPE.sub(_escaped, quoted[1:-1])
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._error(at, "a string holds half of a surrogate pair") from None

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def _error(self, at: int, what: str) -> BadRequestError:
        told = f"line {self._line(at)}: {what}"
        return BadRequestError(f"{told}; a history in EDN is a map such as {{:type :ok, ...}} a transaction")


def _escaped(found: re.Match[str]) -> str:
    code = found[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code[0].isdigit() and code[0] < "8" else _ESCAPES.get(code, code)


def edn_events(text: str) -> Iterator[Event]:
    """The events of a history in EDN: one map each, or a vector of them. Raises `BadRequestError`, with the line.

    What isn't by a client (`:process :nemesis`) is passed over. An event without an index gets its place in the vector,
    or its line.
    """
    for line, form in decode_edn(text):
        for index, one in enumerate(form) if isinstance(form, list) else [(line - 1, form)]:
            event = _event(one, line, index)
            if event is not None:
                yield event


def _event(form: Any, line: int, place: int) -> Event | None:
    if isinstance(form, dict) and form and not any(isinstance(key, Keyword) for key in form):
        raise BadRequestError(f"line {line}: its keys are no keywords; {_NO_JSON}")
    try:
        return loose_event(form, place)
    except ValueError as error:
        told = f"line {line}: {error}"
        raise BadRequestError(
            f"{told}; an event is such as {{:type :ok, :process 0, :value [[:append 5 1]]}}"
        ) from None


def encode_edn_event(event: Event) -> str:
    """The event as a line of EDN.

    >>> encode_edn_event(Event(index=0, time=5, process=1, type="ok", value=[("r", "x", [1])]))
    '{:index 0, :time 5, :process 1, :type :ok, :f :txn, :value [[:r "x" [1]]]}\\n'
    """
    micros = " ".join(f"[:{f} {encode_edn_value(key)} {encode_edn_value(value)}]" for f, key, value in event.value)
    members = [f":index {event.index}", f":time {event.time}", f":process {event.process}", f":type :{event.type}"]
    members += [f":f :{event.f}", f":value [{micros}]"]
    members += [f":error {encode_edn_value(event.error)}"] if event.error is not None else []
    return f"{{{', '.join(members)}}}\n"


def encode_edn_value(value: Any) -> str:
    """The value in EDN; a string stays one."""
    match value:
        case None:
            return "nil"
        case bool():
            return "true" if value else "false"
        case Keyword() | Symbol():
            return repr(value)
        case Odd():
            return encode_edn_value(value.value)
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'"{escaped}"'
        case list() | tuple():
            return f"[{' '.join(map(encode_edn_value, value))}]"
        case dict():
            return f"{{{', '.join(f'{encode_edn_value(k)} {encode_edn_value(v)}' for k, v in value.items())}}}"
    return repr(value)


def encode_edn(events: Iterable[Event]) -> str:
    """The history in EDN."""
    return "".join(map(encode_edn_event, events))
