"""What redis-benchmark prints is understood."""

from __future__ import annotations

import pytest

from benches.redis_benchmark import rates_in

HEAD = (
    '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms"'
)


def test_the_rates_of_all_tests_are_found() -> None:
    output = f'{HEAD}\n"SET","4842.62","0.2","0.0","0.1","0.6","3.7","5.2"\n"GET","94687.7","1","1","1","1","1","1"\n'
    assert rates_in(output) == {"SET": 4842.62, "GET": 94687.7}


def test_what_is_said_before_the_table_is_passed_over() -> None:
    output = f'WARNING: Could not fetch server CONFIG\n{HEAD}\n"INCR","7.5","0.2","0.0","0.1","0.6","3.7","5.2"\n'
    assert rates_in(output) == {"INCR": 7.5}


def test_a_time_too_short_to_measure_is_no_error() -> None:
    assert rates_in(f'{HEAD}\n"SET","inf","0","0","0","0","0","0"\n') == {"SET": float("inf")}


@pytest.mark.parametrize("output", ["", "Could not connect to Redis at 127.0.0.1:1: Connection refused\n"])
def test_what_is_no_table_is_an_error(output: str) -> None:
    with pytest.raises(RuntimeError, match="redis-benchmark printed"):
        rates_in(output)
