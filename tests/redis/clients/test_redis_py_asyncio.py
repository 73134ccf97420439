"""redis-py under asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import WatchError

from ...server.running import DEADLINE_S
from ..servers import Place


def run(place: Place, protocol: int, scenario: Callable[[Any], Awaitable[None]]) -> None:
    async def main() -> None:
        async with Redis(host=place.host, port=place.port, protocol=protocol) as client:
            await asyncio.wait_for(scenario(client), DEADLINE_S)

    asyncio.run(main())


def test_strings_and_expiry(place: Place, protocol: int) -> None:
    async def scenario(client: Any) -> None:
        assert await client.set("a", b"\x00\xff", ex=100) is True
        assert await client.get("a") == b"\x00\xff"
        assert 90 < await client.ttl("a") <= 100
        assert await client.mget("a", "b") == [b"\x00\xff", None]
        assert [key async for key in client.scan_iter()] == [b"a"]

    run(place, protocol, scenario)


def test_many_at_once(place: Place, protocol: int) -> None:
    async def scenario(client: Any) -> None:
        counted = await asyncio.gather(*(client.incr("n") for _ in range(100)))
        assert sorted(counted) == list(range(1, 101))

    run(place, protocol, scenario)


def test_pipelines_and_watches(place: Place, protocol: int) -> None:
    async def scenario(client: Any) -> None:
        async with client.pipeline() as pipe:
            assert await pipe.set("a", 1).incr("a").execute() == [True, 2]
            await pipe.watch("a")
            await client.set("a", 5)
            pipe.multi()
            pipe.set("a", 6)
            with pytest.raises(WatchError):
                await pipe.execute()
        assert await client.get("a") == b"5"

    run(place, protocol, scenario)


def test_subscriptions(place: Place, protocol: int) -> None:
    async def scenario(client: Any) -> None:
        async with client.pubsub() as listener:
            await listener.subscribe("news")
            assert (await listener.get_message(timeout=DEADLINE_S))["type"] == "subscribe"
            assert await client.publish("news", "hello") == 1
            assert (await listener.get_message(timeout=DEADLINE_S))["data"] == b"hello"

    run(place, protocol, scenario)
