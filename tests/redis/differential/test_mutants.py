"""The machine finds bugs that are known to be there: two of the table, quickly. All: `make redis-mutants`."""

from __future__ import annotations

import pytest

from ...mutants.running import PACKAGE, changed
from ..servers import Place
from .hunt import hunt
from .mutants import MUTANTS, Mutant

QUICK = ("WATCH misses the very next commit", "COPY loses the expiry")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda it: it.name)
def test_every_mutant_has_one_place_in_the_source(mutant: Mutant) -> None:
    compile(changed(mutant, (PACKAGE / mutant.file).read_text()), mutant.file, "exec")


@pytest.mark.parametrize("mutant", [it for it in MUTANTS if it.name in QUICK], ids=lambda it: it.name)
def test_a_mutant_is_found_within_seconds(mutant: Mutant, real_redis: Place) -> None:
    finding = hunt(mutant, real_redis)
    assert finding.words, finding
