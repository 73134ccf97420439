"""When the loop stays awake for the next question, and when it doesn't."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mvcc_kv.server.polling import BusyPolling

MOST_S = 0.0001
SOON_S, LATE_S = 0.00005, 0.001


def hear(polling: BusyPolling, took_s: float) -> bool:
    """Hear something after so long; whether it stayed awake for that."""
    was_awake = polling.spell_s > 0
    polling.heard(took_s, was_awake=was_awake)
    return was_awake


def test_it_stays_awake_where_the_last_question_came_soon() -> None:
    polling = BusyPolling(MOST_S)
    assert [hear(polling, took_s) for took_s in (LATE_S, LATE_S, SOON_S, SOON_S, SOON_S)] == [False] * 3 + [True] * 2
    assert polling.spell_s == MOST_S


def test_after_a_spell_in_vain_it_sleeps_and_passes_over_more_the_more_often_that_happens() -> None:
    polling = BusyPolling(MOST_S)
    passed_over = []
    for _ in range(12):
        asleep = 0
        while not polling.spell_s:
            assert not hear(polling, SOON_S)
            asleep += 1
        assert hear(polling, LATE_S)
        passed_over.append(asleep - 1)
    assert passed_over == [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 1023]


def test_spells_that_pay_make_up_for_those_in_vain() -> None:
    polling = BusyPolling(MOST_S)
    for _ in range(100):
        while not hear(polling, SOON_S):
            pass
        for _ in range(10):
            hear(polling, SOON_S)
        hear(polling, LATE_S)
    asleep = 0
    while not hear(polling, SOON_S):
        asleep += 1
    assert asleep <= 2


def test_of_no_length_there_are_no_spells() -> None:
    polling = BusyPolling(0.0)
    assert not any(hear(polling, took_s) for took_s in [0.0, SOON_S, 0.0] * 100)


@given(st.lists(st.sampled_from([SOON_S, LATE_S])))
def test_spells_in_vain_are_few(took: list[float]) -> None:
    """However questions come, at most as many as those that paid, and a few more."""
    polling = BusyPolling(MOST_S)
    outcomes = [took_s == SOON_S for took_s in took if hear(polling, took_s)]
    assert outcomes.count(False) <= outcomes.count(True) + 1 + len(took) ** 0.5
