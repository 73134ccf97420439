"""Ratios, and what they are compared with."""

from __future__ import annotations

import pytest

from benches.targets import TARGETS, Comparison, Target, ratios, targets_table

MORE = Target("work", "peer", 0.85, 1.0)
LESS = Target("work", "peer", 3, 1, less_is_better=True)


def test_a_ratio_is_taken_round_by_round() -> None:
    """Round by round: 2, 2, 2. The ratio of the medians, 40 to 10, would be a neighbour's doing."""
    assert Comparison("memory", "row", ratios([2, 40, 400], [1, 20, 200])).ratio == 2
    assert Comparison("memory", "row", ratios([10, 40, 40], [10, 10, 40])).ratio == 1


def test_a_side_that_was_not_there_has_no_ratio() -> None:
    comparison = Comparison("memory", "row", ratios([1.0, 2.0], []))
    assert comparison.ratio is None and comparison.verdict == "not measured"


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (MORE, 0.84, "NOT REACHED"),
        (MORE, 0.85, "reached"),
        (MORE, 1.0, "reached, and the wish too"),
        (LESS, 3.01, "NOT REACHED"),
        (LESS, 3.0, "reached"),
        (LESS, 0.9, "reached, and the wish too"),
        (LESS, None, "not measured"),
    ],
)
def test_a_verdict_is_of_the_better_bound_that_holds(target: Target, value: float | None, verdict: str) -> None:
    assert target.verdict(value) == verdict


def test_what_is_wished_is_never_less_than_what_is_to_be() -> None:
    for target in TARGETS.values():
        assert target.verdict(target.wished) == "reached, and the wish too"
        assert target.verdict(target.least) == "reached"


def test_a_target_is_reached_only_in_all_of_its_rows() -> None:
    comparisons = [
        Comparison("memory", "written", [2.0, 2.2, 2.1]),
        Comparison("memory", "loaded", [2.6]),
        Comparison("embedded", "one key", [7.0]),
        Comparison("load", "checkpoint", []),
    ]
    made = targets_table(comparisons)
    assert made.rows[0] == [
        *("embedded transactions", "ZODB MappingStorage", "one key"),
        *("7.00", "7.00 to 7.00", "≥ 5", "≥ 10", "reached"),
    ]
    assert [row[2:5] for row in made.rows[1:3]] == [
        ["written", "2.10", "2.00 to 2.20"],
        ["loaded", "2.60", "2.60 to 2.60"],
    ]
    assert [row[-1] for row in made.rows] == ["reached", "reached", "NOT REACHED", "not measured"]
    assert made.caption == "Reached: 2 of 3 rows; 1 of 2 targets in all of their rows."


def test_a_comparison_comes_back_from_json_with_its_rounds() -> None:
    comparison = Comparison("memory", "written", [2.0, 3.0])
    assert Comparison.from_json(comparison.to_json()) == comparison
