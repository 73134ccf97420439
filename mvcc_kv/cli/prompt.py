"""The shell's prompt: history, completion, and the usage of the verb at hand below. All of prompt-toolkit is here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output

from mvcc_kv.protocol.grammar import verb_of
from mvcc_kv.protocol.usage import USAGE

__all__ = ["CommandCompleter", "new_prompt"]

_LEAVING = "exit"
_KEYBOARD = "Tab completes, Up and Ctrl-R go back in the history, Ctrl-D leaves"
_WITH_KEY = ("GET", "PUT", "DEL", "HISTORY")


class CommandCompleter(Completer):
    """Completes the verb, and the key where one comes next. `keys_like` lists keys that begin with a text."""

    def __init__(self, keys_like: Callable[[str], list[str]]) -> None:
        self._keys_like = keys_like

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """What the text before the cursor could become."""
        before = document.text_before_cursor.lstrip()
        verb, space, argument = before.partition(" ")
        if not space:
            yield from _completions(verb, [*USAGE, _LEAVING], verb.casefold())
        elif verb.upper() in _WITH_KEY and not argument.startswith("{") and " " not in argument:
            keys = [key for key in self._keys_like(argument) if _is_plain(key)]
            yield from _completions(argument, keys, argument)


def _completions(typed: str, candidates: Iterable[str], beginning: str) -> Iterable[Completion]:
    for it in candidates:
        if it.startswith(beginning) or it.casefold().startswith(beginning):
            yield Completion(it, start_position=-len(typed))


def _is_plain(key: str) -> bool:
    """Whether the key can stand in a command's plain form."""
    return bool(key) and not key.startswith("{") and key.isprintable() and not any(map(str.isspace, key))


class _Discreet(FileHistory):
    """A history on disk, less the passwords."""

    def store_string(self, string: str) -> None:
        if verb_of(string.encode(errors="replace")) != "AUTH":
            super().store_string(string)


def _usage() -> str:
    """How to use the verb that is being typed."""
    return USAGE.get(verb_of(get_app().current_buffer.text.encode(errors="replace")), _KEYBOARD)


def new_prompt(
    keys_like: Callable[[str], list[str]],
    history_path: Path | None,
    *,
    input: Input | None = None,
    output: Output | None = None,
) -> PromptSession[str]:
    """A prompt that completes while one types, without making one wait for it."""
    history: History = InMemoryHistory() if history_path is None else _Discreet(str(history_path))
    return PromptSession(
        history=history,
        completer=CommandCompleter(keys_like),
        complete_in_thread=True,
        complete_while_typing=False,
        enable_history_search=True,
        bottom_toolbar=_usage,
        input=input,
        output=output,
    )
