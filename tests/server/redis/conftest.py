from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.redis.real import PROGRAM, RealRedis, running_redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    """A connection to a real redis-server, which all tests of a run share: FLUSHALL it first."""
    if PROGRAM is None:
        pytest.skip("redis-server is not installed")
    with running_redis(tmp_path_factory.mktemp("redis")) as client:
        yield client
