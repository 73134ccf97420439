"""No alarm on a history of a store that was right; and one on each in which something was changed."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvcc_kv.stress.checker import Verdict, check, level_of, pair
from mvcc_kv.stress.history import Event
from tests.stress.checker.simulated import Isolation, Mode, simulate

GIVEN: dict[Isolation, str] = {
    "serial": "strict-serializable",
    "serializable": "strict-serializable",
    "snapshot": "strong-snapshot-isolation",
}


@pytest.mark.parametrize("mode", ["list-append", "register"])
@pytest.mark.parametrize("isolation", GIVEN)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), transactions=st.integers(1, 90), processes=st.integers(1, 8))
def test_a_correct_history_raises_no_alarm(
    isolation: Isolation, mode: Mode, seed: int, transactions: int, processes: int
) -> None:
    events = simulate(seed, isolation, mode, transactions=transactions, processes=processes)
    assert check(pair(events)).holds(level_of(GIVEN[isolation])) is True


def test_snapshots_show_write_skew_in_some_history() -> None:
    verdicts = [check(pair(simulate(seed, "snapshot", "list-append"))) for seed in range(40)]
    assert any("G2-item" in verdict.anomalies for verdict in verdicts)
    assert all(verdict.holds(level_of("snapshot")) for verdict in verdicts)


Edit = Callable[[list[Event], Random], list[Event] | None]


def _ok_reads(events: list[Event], longest: int) -> list[tuple[int, int]]:
    """Where lists were read, with at least so many elements."""
    return [
        (at, place)
        for at, event in enumerate(events)
        if event.type == "ok"
        for place, (f, _, value) in enumerate(event.value)
        if f == "r" and len(value or ()) >= longest and _is_alone(event, place)
    ]


def _is_alone(event: Event, place: int) -> bool:
    """Whether the transaction does nothing else with that key."""
    return [key for _, key, _ in event.value].count(event.value[place][1]) == 1


def _with_read(events: list[Event], at: int, place: int, value: list[int]) -> list[Event]:
    micros = list(events[at].value)
    micros[place] = ("r", micros[place][1], value)
    return [*events[:at], msgspec.structs.replace(events[at], value=micros), *events[at + 1 :]]


def swap_two_elements(events: list[Event], random: Random) -> list[Event] | None:
    """In a list that isn't the only one to tell of its key."""
    reads = _ok_reads(events, 2)
    for at, place in random.sample(reads, len(reads)):
        _, key, value = events[at].value[place]
        others = [events[i].value[j][2] for i, j in reads if (i, j) != (at, place) and events[i].value[j][1] == key]
        if any(len(other) >= len(value) for other in others):
            return _with_read(events, at, place, [*value[:-2], value[-1], value[-2]])
    return None


def drop_an_element(events: list[Event], random: Random) -> list[Event] | None:
    """From the middle of a list: what comes after it was there."""
    reads = _ok_reads(events, 3)
    for at, place in random.sample(reads, len(reads)):
        _, key, value = events[at].value[place]
        others = [events[i].value[j][2] for i, j in reads if (i, j) != (at, place) and events[i].value[j][1] == key]
        if any(len(other) >= len(value) for other in others):
            return _with_read(events, at, place, [*value[:-2], value[-1]])
    return None


def repeat_an_element(events: list[Event], random: Random) -> list[Event] | None:
    reads = _ok_reads(events, 1)
    if not reads:
        return None
    at, place = random.choice(reads)
    value = events[at].value[place][2]
    return _with_read(events, at, place, [*value, value[-1]])


def invent_an_element(events: list[Event], random: Random) -> list[Event] | None:
    reads = _ok_reads(events, 0)
    if not reads:
        return None
    at, place = random.choice(reads)
    return _with_read(events, at, place, [*(events[at].value[place][2] or []), 1_000_000])


def fail_what_was_seen(events: list[Event], random: Random) -> list[Event] | None:
    """A committed transaction, told to have failed, whose append somebody saw."""
    seen = {element for at, place in _ok_reads(events, 1) for element in events[at].value[place][2]}
    candidates = [
        at
        for at, event in enumerate(events)
        if event.type == "ok" and any(f == "append" and value in seen for f, _, value in event.value)
    ]
    if not candidates:
        return None
    at = random.choice(candidates)
    return [*events[:at], msgspec.structs.replace(events[at], type="fail"), *events[at + 1 :]]


def read_the_past(events: list[Event], random: Random) -> list[Event] | None:
    """A list as it was before what its reader's own process had appended there."""
    for at, place in _ok_reads(events, 1):
        event = events[at]
        _, key, value = event.value[place]
        mine = {
            element
            for earlier in events[:at]
            if earlier.process == event.process and earlier.type == "ok"
            for f, its_key, element in earlier.value
            if f == "append" and its_key == key
        }
        first = next((i for i, element in enumerate(value) if element in mine), None)
        if first is not None:
            return _with_read(events, at, place, value[:first])
    return None


def _own_pairs(events: list[Event], random: Random) -> list[tuple[object, int, int]]:
    """Two appends of one committed transaction to one key, one next after the other, which somebody saw."""
    seen = {(events[at].value[place][1], it) for at, place in _ok_reads(events, 1) for it in events[at].value[place][2]}
    found = []
    for event in events:
        appends = [(key, value) for f, key, value in event.value if f == "append" and event.type == "ok"]
        for one, other in pairwise(appends):
            if one[0] == other[0] and other in seen and len([it for it in event.value if it[1] == one[0]]) == 2:
                found.append((*one, other[1]))
    return random.sample(found, len(found))


def _with_lists(events: list[Event], key: object, change: Callable[[list[int]], list[int]]) -> list[Event]:
    """Every list read at the key, changed in the same way."""

    def changed(event: Event) -> Event:
        micros = [(f, k, change(v) if f == "r" and k == key and v else v) for f, k, v in event.value]
        return msgspec.structs.replace(event, value=micros)

    return [changed(it) if it.type == "ok" else it for it in events]


def swap_a_transaction_s_own_appends(events: list[Event], random: Random) -> list[Event] | None:
    """In every list, so that no two lists differ."""
    for key, one, other in _own_pairs(events, random):
        swapped = {one: other, other: one}
        return _with_lists(events, key, lambda values: [swapped.get(it, it) for it in values])  # noqa: B023
    return None


def drop_a_transaction_s_earlier_append(events: list[Event], random: Random) -> list[Event] | None:
    """From every list."""
    for key, one, _ in _own_pairs(events, random):
        return _with_lists(events, key, lambda values: [it for it in values if it != one])  # noqa: B023
    return None


EDITS: dict[Edit, tuple[set[str], str]] = {
    swap_two_elements: ({"incompatible-order"}, "read-committed"),
    drop_an_element: ({"incompatible-order"}, "read-committed"),
    repeat_an_element: ({"duplicate-elements"}, "read-uncommitted"),
    swap_a_transaction_s_own_appends: ({"incompatible-order"}, "read-uncommitted"),
    drop_a_transaction_s_earlier_append: ({"G1b"}, "read-committed"),
    invent_an_element: ({"garbage-read"}, "read-committed"),
    fail_what_was_seen: ({"G1a"}, "read-committed"),
    read_the_past: (
        {"G-single-item-process", "G-single-item", "G1b", "G-nonadjacent-item"},
        "strong-session-snapshot-isolation",
    ),
}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_one_edit_is_found_and_named(edit: Edit) -> None:
    names, excluded = EDITS[edit]
    edited = 0
    for seed in range(60):
        events = edit(list(simulate(seed, "serial", "list-append", transactions=120)), Random(seed))
        if events is None:
            continue
        edited += 1
        verdict = check(pair(events))
        assert names & set(verdict.anomalies), f"seed {seed}: {sorted(verdict.anomalies)}"
        assert verdict.holds(level_of(excluded)) is False, f"seed {seed}"
    assert edited >= 40


def swap_two_register_reads(events: list[Event], random: Random) -> list[Event] | None:
    """The later of two reads of a process, which saw another version, gets what the earlier one saw, and so on."""
    last: dict[tuple[int, object], tuple[int, int, object]] = {}
    for at, event in enumerate(events):
        for place, (f, key, value) in enumerate(event.value if event.type == "ok" else ()):
            before = last.get((event.process, key))
            if f == "r" and _is_alone(event, place):
                if before is not None and None not in (before[2], value) and before[2] != value:
                    there, its_place, seen = before
                    micros = list(events[there].value)
                    micros[its_place] = ("r", key, value)
                    events[there] = msgspec.structs.replace(events[there], value=micros)
                    micros = list(event.value)
                    micros[place] = ("r", key, seen)
                    events[at] = msgspec.structs.replace(event, value=micros)
                    return events
                last[event.process, key] = (at, place, value)
    return None


def test_two_reads_swapped_are_found_in_registers() -> None:
    edited = 0
    for seed in range(60):
        events = swap_two_register_reads(list(simulate(seed, "serial", "register", transactions=60)), Random(seed))
        if events is not None:
            edited += 1
            verdict: Verdict = check(pair(events))
            assert verdict.holds(level_of("strict-serializable")) is False, f"seed {seed}"
            assert verdict.anomalies
    assert edited >= 40
