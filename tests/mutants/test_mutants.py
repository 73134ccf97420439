"""The stress harness finds bugs that are known to be there: three of the table, quickly. All: `make mutants`."""

from __future__ import annotations

import pytest

from mvcc_kv.stress.workloads import WORKLOADS
from tests.mutants.running import PACKAGE, changed, try_to_find
from tests.mutants.table import MUTANTS, Mutant

QUICK = ("no conflict check", "the read set is ignored", "gets read the newest version")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda it: it.name)
def test_every_mutant_has_one_place_in_the_source(mutant: Mutant) -> None:
    compile(changed(mutant, (PACKAGE / mutant.file).read_text()), mutant.file, "exec")


def test_every_workload_has_a_mutant_to_find() -> None:
    assert {mutant.workload for mutant in MUTANTS} == set(WORKLOADS)


@pytest.mark.parametrize("mutant", [it for it in MUTANTS if it.name in QUICK], ids=lambda it: it.name)
def test_a_mutant_is_found_within_seconds(mutant: Mutant) -> None:
    finding = try_to_find(mutant, seconds=1.0)
    assert finding.is_found, finding


def test_a_mutant_whose_place_is_gone_is_told_so() -> None:
    with pytest.raises(AssertionError, match="0 times, not once; mend the table"):
        changed(MUTANTS[0], "nothing of it")
