"""A command line to test: in this process, with its output apart from its complaints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import pytest
from typer.testing import CliRunner

from mvcc_kv.cli.app import app
from tests.contract.serving import serving

# What a command printed, what it said beside it, and its exit status.
Outcome: TypeAlias = tuple[str, str, int]
Run: TypeAlias = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("FORCE_COLOR", "MVCC_KV_URL", "MVCC_KV_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run() -> Run:
    """Runs `mvcc-kv` with the arguments, and with `stdin` on its standard input."""

    def run(*arguments: object, stdin: str | bytes = "") -> Outcome:
        result = CliRunner().invoke(app, list(map(str, arguments)), input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.stdout, result.stderr, result.exit_code

    return run


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with an empty store, which the commands find through their environment."""
    with serving() as address:
        monkeypatch.setenv("MVCC_KV_URL", address)
        yield address
