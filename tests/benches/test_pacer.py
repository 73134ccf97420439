"""Percentiles of waits."""

from __future__ import annotations

import pytest

from benches.pacer import percentile


@pytest.mark.parametrize(("share", "expected"), [(0.5, 501.0), (0.99, 991.0), (0.999, 1000.0), (1.0, 1000.0)])
def test_a_percentile_is_a_wait_that_was_seen(share: float, expected: float) -> None:
    assert percentile([float(number) for number in range(1, 1001)], share) == expected


def test_the_only_wait_is_every_percentile() -> None:
    assert {percentile([7.0], share) for share in (0.0, 0.5, 1.0)} == {7.0}
