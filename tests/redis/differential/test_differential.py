"""Whatever is said, both servers answer the same. Deterministic here; `make redis-fuzz` goes on with other seeds."""

from __future__ import annotations

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from ..servers import Place
from .machine import Twins


def test_redis_and_we_answer_the_same(real_redis: Place, our_server: Place) -> None:
    class Meeting(Twins):
        places = (real_redis, our_server)

    run_state_machine_as_test(
        Meeting,
        settings=hypothesis.settings(
            derandomize=True,
            deadline=None,
            max_examples=150,
            stateful_step_count=60,
            suppress_health_check=list(hypothesis.HealthCheck),
        ),
    )
