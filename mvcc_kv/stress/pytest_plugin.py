"""The pytest plugin: the fixture `interleavings`, and what the command line says of it.

    def test_transfers_keep_the_total(interleavings): ...        see mvcc_kv.stress.schedule
    pytest --interleavings-seed=5 --interleavings-schedules=10000
    MVCC_KV_INTERLEAVINGS_SEED=5 MVCC_KV_INTERLEAVINGS_SCHEDULES=10000 pytest

It is loaded in every test session of an environment that has mvcc-kv, so it imports what it needs when it is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mvcc_kv.stress.schedule import Interleavings

__all__ = ["interleavings", "pytest_addoption"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Both options go before what a test says itself, and before the environment."""
    group = parser.getgroup("mvcc-kv", "mvcc-kv's interleavings")
    group.addoption(
        "--interleavings-seed",
        type=int,
        metavar="N",
        help="Draw every test's schedules from this seed, as a failure names it (or MVCC_KV_INTERLEAVINGS_SEED).",
    )
    group.addoption(
        "--interleavings-schedules",
        type=int,
        metavar="N",
        help="How many schedules each test tries by chance (or MVCC_KV_INTERLEAVINGS_SCHEDULES).",
    )


@pytest.fixture
def interleavings(request: pytest.FixtureRequest) -> Iterator[Interleavings]:
    """Runs clients of a database under many interleavings: see `mvcc_kv.stress.schedule`."""
    import mvcc_kv
    from mvcc_kv.stress.schedule import Interleavings

    made = Interleavings(
        mvcc_kv.open,
        schedules=_setting(request.config, "schedules", least=1),
        seed=_setting(request.config, "seed"),
        failures=(Exception, pytest.fail.Exception),
    )
    yield made
    if made.clients and not made.was_run:
        pytest.fail("the test added clients and never ran them: call interleavings.run()", pytrace=False)


def _setting(config: pytest.Config, name: str, *, least: int | None = None) -> int | None:
    """What the command line says, or else the environment."""
    value: int | None = config.getoption(f"--interleavings-{name}")
    variable = f"MVCC_KV_INTERLEAVINGS_{name.upper()}"
    if value is None and (text := os.environ.get(variable)):
        try:
            value = int(text)
        except ValueError:
            raise pytest.UsageError(f"{variable} is a whole number, not {text!r}") from None
    if value is not None and least is not None and value < least:
        raise pytest.UsageError(f"--interleavings-{name} is at least {least}, not {value}")
    return value
