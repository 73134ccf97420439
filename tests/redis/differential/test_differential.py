"""Whatever is said, both servers answer the same. Deterministic here; `make redis-fuzz` goes on with other seeds."""

from __future__ import annotations

from ..servers import Place
from .meeting import Meeting


def test_redis_and_we_answer_the_same(real_redis: Place, our_server: Place) -> None:
    meeting = Meeting(real_redis, our_server)
    meeting.go()
    assert meeting.said > 5_000, meeting
