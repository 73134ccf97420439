from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.redis.real import RealRedis, connected_redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    """A connection to a real redis-server, which all tests of a run share: FLUSHALL it first."""
    with connected_redis(tmp_path_factory.mktemp("redis")) as client:
        yield client
