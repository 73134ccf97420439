"""Both servers, for all tests here; `place` is each of them in turn: the expectation is Redis's, not ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import servers
from .servers import Place


@pytest.fixture(scope="session")
def our_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with servers.our_server(tmp_path_factory.mktemp("ours")) as place:
        yield place


@pytest.fixture(scope="session")
def real_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with servers.real_redis(tmp_path_factory.mktemp("redis")) as place:
        yield place


@pytest.fixture(params=["our_server", "real_redis"])
def place(request: pytest.FixtureRequest) -> Place:
    """A server without any keys."""
    found: Place = request.getfixturevalue(request.param)
    return _emptied(found)


@pytest.fixture
def ours(our_server: Place) -> Place:
    """Our server without any keys, for what Redis doesn't have."""
    return _emptied(our_server)


def _emptied(place: Place) -> Place:
    with place.connect() as connection:
        assert connection.ask("FLUSHALL") == b"+OK\r\n"
    return place
