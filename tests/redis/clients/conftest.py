"""redis-py in both protocols, against both servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from ..servers import Place


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def protocol(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def client(place: Place, protocol: int) -> Iterator[redis.Redis]:
    """As its users make it: nothing chosen but where, and the protocol."""
    with redis.Redis(host=place.host, port=place.port, protocol=protocol) as client:
        yield client


@pytest.fixture
def our_client(ours: Place, protocol: int) -> Iterator[redis.Redis]:
    with redis.Redis(host=ours.host, port=ours.port, protocol=protocol) as client:
        yield client
