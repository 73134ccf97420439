"""Replies for people: values laid out, tables for what has rows, errors in red."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from rich import box
from rich.console import Group, RenderableType
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from mvcc_kv.cli.reporting import printable
from mvcc_kv.cli.wire import decode_reply
from mvcc_kv.errors import Error
from mvcc_kv.protocol.grammar import verb_of

__all__ = ["shown", "table_of"]

_highlighted = JSONHighlighter()
_RIGHT = {"id", "age", "start_ts", "writes", "reads", "pins"}
_LINE_CHARACTERS_MAX = 60  # a value longer than that is laid out over several lines


class _Item(msgspec.Struct):
    key: str
    value: msgspec.Raw = msgspec.Raw()  # empty where only keys were asked for


class _Page(msgspec.Struct):
    items: list[_Item]
    next: str | None


class _Version(msgspec.Struct):
    commit_ts: int
    time: str = ""
    label: str = ""
    value: msgspec.Raw = msgspec.Raw(b"deleted")


class _History(msgspec.Struct):
    versions: list[_Version]
    next: int | None
    oldest_ts: int


class _Opened(msgspec.Struct):
    transaction: int
    age_s: float
    start_ts: int
    isolation: str
    read_only: bool
    label: str | None
    client: str | None
    keys_written: int
    read_set_bytes: int
    pinned_bytes: int


class _AllOpened(msgspec.Struct):
    transactions: list[_Opened]
    total: int


def shown(line: str, reply: bytes) -> RenderableType:
    """What to print for the reply to a command line."""
    decoded = decode_reply(reply)
    error = decoded.error
    if error is not None:
        return _error(error)
    answer = _answer(line, bytes(decoded.result))
    return Group(answer, Text(printable(decoded.message), style="yellow")) if decoded.message else answer


def _answer(line: str, result: bytes) -> RenderableType:
    if not result.startswith(b"{"):
        return Text(str(msgspec.json.decode(result)), style="green")
    verb = verb_of(line.encode(errors="replace"))
    if verb in ("PUT", "DEL"):
        return Text("Ok", style="green")
    if verb in ("GET", "ADD"):
        value = msgspec.json.decode(result, type=_Item).value
        return _value(value) if bytes(value) else Text("Ok", style="green")
    if verb == "SCAN":
        return _page(msgspec.json.decode(result, type=_Page))
    if verb == "HISTORY":
        return _history(msgspec.json.decode(result, type=_History))
    if verb == "TRANSACTIONS":
        return _opened(msgspec.json.decode(result, type=_AllOpened))
    return table_of(msgspec.json.decode(result, type=dict[str, msgspec.Raw]))


def table_of(members: Mapping[str, Any]) -> Table:
    """A table of names and what they stand for; numbers to the right."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, member in members.items():
        table.add_row(Text(name), _plainly(member))
    return table


def _plainly(member: Any) -> Text:
    if isinstance(member, msgspec.Raw) and bytes(member)[:1] in (b'"', b"n", b"["):
        member = msgspec.json.decode(member)
    if isinstance(member, msgspec.Raw):
        return Text(printable(bytes(member).decode()))
    if isinstance(member, list):  # of what is counted by key
        member = (
            ", ".join(" ".join(map(str, it.values())) if isinstance(it, dict) else str(it) for it in member) or None
        )
    return Text("-" if member is None else printable(str(member)))


def _error(error: Error) -> Text:
    return Text.assemble((error.code, "bold red"), " ", (printable(error.message), "red"))


def _page(page: _Page) -> RenderableType:
    if not page.items:
        return Text("nothing there" if page.next is None else f"nothing there up to {page.next!r}", style="dim")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("key", style="bold", overflow="fold")
    if bytes(page.items[0].value):
        table.add_column("value", overflow="fold")
    for item in page.items:
        table.add_row(Text(printable(item.key)), *([_highlighted(_text(item.value))] if bytes(item.value) else []))
    if page.next is None:
        return table
    return Group(table, Text(f"more from {page.next!r}", style="dim"))


def _history(page: _History) -> RenderableType:
    if not page.versions:
        return Text(f"no version is known; history goes back to {page.oldest_ts}", style="dim")
    table = Table("commit_ts", "time", "label", "value", box=box.SIMPLE_HEAD, pad_edge=False)
    for it in page.versions:
        table.add_row(str(it.commit_ts), it.time, Text(printable(it.label)), _highlighted(_text(it.value)))
    more = f"more before {page.next}" if page.next is not None else f"history goes back to {page.oldest_ts}"
    return Group(table, Text(more, style="dim"))


def _opened(opened: _AllOpened) -> RenderableType:
    if not opened.transactions:
        return Text("no transaction is open", style="dim")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("id", "age", "start_ts", "kind", "label", "client", "writes", "reads", "pins"):
        table.add_column(name, overflow="fold", justify="right" if name in _RIGHT else "left")
    for it in opened.transactions:
        facts = (
            str(it.transaction),
            f"{it.age_s:.1f} s",
            str(it.start_ts),
            f"{it.isolation}, read-only" if it.read_only else it.isolation,
            it.label or "-",
            it.client or "-",
            f"{it.keys_written} keys",
            f"{it.read_set_bytes} B",
            f"{it.pinned_bytes} B",
        )
        table.add_row(*(Text(printable(fact)) for fact in facts))
    hidden = opened.total - len(opened.transactions)
    return Group(table, Text(f"and {hidden} more", style="dim")) if hidden else table


def _value(value: msgspec.Raw) -> Text:
    text = _text(value)
    if len(text) > _LINE_CHARACTERS_MAX and text.plain[0] in "{[":
        text = Text(msgspec.json.format(text.plain, indent=2))  # leaves every number's text alone
    return _highlighted(text)


def _text(value: msgspec.Raw) -> Text:
    return Text(printable(bytes(value).decode()))
