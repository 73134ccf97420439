"""Redis's own suite: as many tests pass as are on record, and none fails."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .source import source
from .suite import run
from .units import PASSED, SKIPPED


@pytest.fixture(scope="module")
def folder() -> Path:
    assert shutil.which("tclsh"), "tclsh is missing: apt-get install tcl"
    return source()


@pytest.mark.parametrize("unit", PASSED)
def test_a_unit_of_redis_passes(unit: str, folder: Path) -> None:
    skipped = [skip.test for skip in SKIPPED if skip.unit == unit]
    outcome = run(unit, skipped, folder)
    assert not outcome.failed
    assert sorted(outcome.skipped) == sorted(skipped), "each skipped test is one that there is"
    assert len(outcome.passed) >= PASSED[unit]


def test_the_first_nine_units_pass_208_tests() -> None:
    assert sum(list(PASSED.values())[:9]) >= 208


def test_a_test_is_skipped_for_what_we_lack_and_nothing_else() -> None:
    lacking = ("lists", "sets", "hashes", "sorted sets", "streams", "Lua", "config set maxmemory", "CLIENT TRACKING")
    assert all(skip.reason.startswith((*lacking, "MONITOR", "ACL")) for skip in SKIPPED)
    assert all(skip.unit in PASSED for skip in SKIPPED)
