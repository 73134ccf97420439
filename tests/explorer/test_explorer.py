"""The explorer itself: a reduced set on every run, and broken engines that this reduced set has to find."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from random import Random

import pytest

from mvcc_kv.cli.speakers import EngineSpeaker
from mvcc_kv.database import MemoryKeeper
from mvcc_kv.engine import VersionedStore
from mvcc_kv.protocol.grammar import parse as parse_command
from mvcc_kv.stress.script import parse, play
from tests.explorer import interleavings
from tests.explorer.explore import Engine, Finding, Tally, examine, explore, schedules, smallest
from tests.explorer.programs import KEYS, Operation, Program, Space, TransactionProgram, menu
from tests.explorer.saboteurs import HONEST, SABOTEURS
from tests.explorer.script import golden_script

SEED = 20

REDUCED = [
    (Space(2, 3), 0, 800),
    (Space(2, 4, KEYS), 0, 400),
    (Space(3, 1, ("a",)), 0, 150),
    (Space(2, 1), 20, None),
    (Space(2, 2), 70, 150),
    (Space(3, 1), 0, 60),
    (Space(3, 2), 0, 40),
    (Space(3, 4, KEYS), 0, 8),
]
"""Spaces, up to how many interleavings of a program are all run, and how many programs: some 80,000 interleavings."""


def reduced(engine: Engine) -> tuple[Tally, Finding | None]:
    """Explore the reduced set; stops at the first thing found."""
    total = Tally()
    for space, every_max, programs_max in REDUCED:
        tally, _, found = explore(space, seed=SEED, every_max=every_max, programs_max=programs_max, engine=engine)
        total.add(tally)
        if found is not None:
            return total, found
    return total, None


def test_every_history_of_the_reduced_set_is_what_its_levels_promise() -> None:
    tally, found = reduced(VersionedStore)
    print(f"seed {SEED}: {tally}")
    assert found is None, _told(found, VersionedStore)
    assert tally.interleavings > 70_000
    assert min(tally.refusals["snapshot"], tally.refusals["serializable"]) > 2_000
    assert tally.refusals["read-only"] == 0


@pytest.mark.parametrize("saboteur", SABOTEURS)
def test_a_broken_engine_is_found(saboteur: str) -> None:
    _, found = reduced(SABOTEURS[saboteur])
    assert found is not None, f"nothing that {saboteur} does was found"
    shown = smallest(found, SABOTEURS[saboteur])
    operations = sum(len(transaction.operations) for transaction in shown.program.transactions)
    assert len(shown.program.transactions) <= 3 and operations <= 5, golden_script(*shown)


def test_an_engine_that_nobody_bends_passes_through_the_same_hands() -> None:
    assert explore(Space(2, 1), seed=SEED, every_max=0, engine=HONEST).found is None


def test_a_finding_is_a_script_that_the_engine_can_be_told() -> None:
    program, schedule, problem = _first_found(Space(2, 2), "NoConflicts")
    script = parse(golden_script(program, schedule, problem))
    speak = EngineSpeaker(VersionedStore(), checkpoint=MemoryKeeper().checkpoint)
    turns = list(play(script, speak))
    speak.close()
    refused = [turn.line for turn in turns if turn.line is not None and "Error" in turn.line]
    assert len(refused) == 1 and "CONFLICT" in refused[0], "the real engine refuses what the broken one let through"


def test_every_operation_can_be_told_as_a_script() -> None:
    for operation in menu(KEYS):
        program = Program(("a",), (TransactionProgram("serializable", (operation,)),))
        put, start, command, commit, _ = (step.command for step in parse(golden_script(program, (0, 0, 0), "")).steps)
        assert (put, start, commit) == (
            'PUT {"key": "a", "value": 1}',
            'START {"isolation": "serializable"}',
            "COMMIT {}",
        )
        assert command.startswith(operation.verb)
        parse_command(command.encode())


def test_the_smallest_lost_update_is_two_blind_writes() -> None:
    found = smallest(_first_found(Space(2, 3), "NoConflicts"), SABOTEURS["NoConflicts"])
    assert [len(transaction.operations) for transaction in found.program.transactions] == [1, 1]


def _first_found(space: Space, saboteur: str) -> Finding:
    found = explore(space, seed=SEED, every_max=0, engine=SABOTEURS[saboteur]).found
    assert found is not None
    return found


def _told(found: Finding, engine: Engine) -> str:
    return f"{found.problem}\n\n{golden_script(*smallest(found, engine))}"


# What is explored


def test_every_interleaving_keeps_each_transactions_own_order_and_none_is_missing() -> None:
    assert set(interleavings.every((3, 2, 1))) == set(permutations((0, 0, 0, 1, 1, 2)))
    for steps in [(3, 3), (4, 4), (3, 3, 3)]:
        assert len(interleavings.every(steps)) == interleavings.count(steps)


def test_one_interleaving_of_each_class_stands_for_all() -> None:
    for steps in [(3, 3), (4, 3), (4, 4), (2, 3, 3)]:
        chosen = [_class(schedule, steps) for schedule in interleavings.representatives(steps, Random(SEED))]
        assert len(chosen) == len(set(chosen))
        assert set(chosen) == {_class(schedule, steps) for schedule in interleavings.every(steps)}


def _class(schedule: Iterable[int], steps: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The COMMITs in their order, each with how far everybody was: all that is left when other steps may be swapped."""
    taken = [0] * len(steps)
    classes = []
    for t in schedule:
        taken[t] += 1
        if taken[t] == steps[t]:
            classes.append((t, *taken))
    return tuple(classes)


def test_programs_that_are_the_same_but_for_names_are_explored_once() -> None:
    put_a, put_b = Operation("PUT", "a"), Operation("PUT", "b")
    programs = _all(Space(2, 1))
    same = [
        Program(present, (TransactionProgram("snapshot", (one,)), TransactionProgram("serializable", (other,))))
        for present, one, other in [(("a",), put_a, put_b), (("b",), put_b, put_a)]
    ]
    swapped = [Program(program.present, program.transactions[::-1]) for program in same]
    assert sum(program in programs for program in [*same, *swapped]) == 1
    assert len(programs) == len(set(programs))


def test_every_operation_meets_every_other() -> None:
    met = {
        frozenset((one.operations[0].verb, other.operations[0].verb))
        for one, other in (program.transactions for program in _all(Space(2, 1)))
    }
    verbs = ("GET", "PUT", "DEL", "ADD", "SCAN")
    all_pairs = {frozenset((one, other)) for one in verbs for other in verbs}
    assert all_pairs - met == {frozenset(("GET",)), frozenset(("SCAN",)), frozenset(("GET", "SCAN"))}


def test_shares_of_a_space_are_all_of_it() -> None:
    whole = explore(Space(2, 1), seed=SEED, every_max=0)
    shares = [explore(Space(2, 1), seed=SEED, every_max=0, share=(share, 3)) for share in range(3)]
    assert sum(share.walked for share in shares) == whole.walked == Space(2, 1).size
    assert sum(share.tally.programs for share in shares) == whole.tally.programs


def test_an_engine_that_raises_is_found() -> None:
    def broken() -> VersionedStore:
        raise RuntimeError("no engine today")

    program = Program((), (TransactionProgram("snapshot", (Operation("PUT", "a"),)),))
    found = examine(program, schedules(program, Random(SEED)), Tally(), broken)
    assert found is not None and "no engine today" in found.problem


def _all(space: Space) -> list[Program]:
    programs = (space.program(number) for number in range(space.size))
    return [program for program in programs if program is not None]
