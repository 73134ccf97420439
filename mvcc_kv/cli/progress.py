"""A progress bar on standard error: only for people, and only when there is something to wait for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

__all__ = ["watched"]

T = TypeVar("T")
PATIENCE_S = 0.5


def watched(
    items: Iterable[T],
    what: str,
    total: int,
    *,
    size_of: Callable[[T], int] = lambda _: 1,
    patience_s: float = PATIENCE_S,
) -> Iterator[T]:
    """The items themselves, with a bar that shows up once they took `patience_s`, if a terminal is there to see it.

    `size_of` an item is how much of the `total` it stands for.
    """
    if not sys.stderr.isatty():
        yield from items
        return
    begun_s, done, iterator = time.monotonic(), 0, iter(items)
    for item in iterator:
        yield item
        done += size_of(item)
        if time.monotonic() - begun_s > patience_s:
            break
    else:
        return
    yield from _with_bar(iterator, what, done, total, size_of)


def _with_bar(items: Iterator[T], what: str, done: int, total: int, size_of: Callable[[T], int]) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, completed=done, total=total)
        for item in items:
            yield item
            bar.advance(task, size_of(item))
