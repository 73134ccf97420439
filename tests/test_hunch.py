"""Hunches: what it takes to have one, to keep it, and to lose it."""

from __future__ import annotations

from functools import partial

from mvcc_kv.hunch import FUNCTIONS_MAX, HEAT_MAX, LOSS, STAY_MIN, Hunch, hunch_of

HITS, OTHER = b"hits", b"other"


class Place:
    """Something to have hunches about."""


def hot() -> Hunch:
    hunch = Hunch()
    for _ in range(2):
        hunch.lost(HITS)
    assert hunch.turn == HITS
    return hunch


def turns_until_trial(hunch: Hunch) -> int:
    """How many turns in contention it takes until first attempts try without."""
    for taken in range(1, 100_000):
        hunch.took_turn(wrote_key=True, is_contended=True)
        if hunch.turn is None:
            return taken
    raise AssertionError


def test_a_chance_loss_is_no_hunch() -> None:
    hunch = Hunch()
    for _ in range(10):
        hunch.lost(HITS)
        assert hunch.turn is None
        for _ in range(LOSS):
            hunch.won()


def test_two_losses_in_a_row_are() -> None:
    assert hot().turn == HITS


def test_losing_now_this_key_and_now_that_is_none() -> None:
    hunch = Hunch()
    for n in range(100):
        hunch.lost(b"%d" % (n % 3))
        assert hunch.turn is None


def test_it_changes_with_the_key_that_is_lost() -> None:
    hunch = hot()
    for _ in range(5):
        hunch.lost(OTHER)
    assert hunch.turn == OTHER


def test_turns_that_nobody_else_wanted_end_it() -> None:
    hunch = hot()
    for _ in range(HEAT_MAX):
        hunch.took_turn(wrote_key=True, is_contended=False)
    assert hunch.turn is None


def test_turns_on_a_key_that_was_not_written_end_it_sooner() -> None:
    hunch = hot()
    hunch.took_turn(wrote_key=False, is_contended=True)
    assert hunch.turn is None


def test_in_contention_it_is_tried_without_now_and_then_and_one_loss_ends_the_trial() -> None:
    hunch = hot()
    stays = []
    for _ in range(4):
        stays.append(turns_until_trial(hunch))
        hunch.won()
        hunch.lost(HITS)
        assert hunch.turn == HITS
    assert stays == [STAY_MIN, 2 * STAY_MIN, 4 * STAY_MIN, 8 * STAY_MIN]


def test_a_trial_without_a_loss_ends_it() -> None:
    hunch = hot()
    turns_until_trial(hunch)
    for _ in range(HEAT_MAX):
        hunch.won()
    hunch.lost(HITS)
    assert hunch.turn is None
    hunch.lost(HITS)
    assert turns_until_trial(hunch) == STAY_MIN


def test_while_a_retry_is_under_way_others_ask_too_and_it_does_not_cool() -> None:
    hunch, run = Hunch(), object()
    hunch.lost(HITS)
    hunch.retries(run, HITS)
    for _ in range(100):
        hunch.won()
        hunch.took_turn(wrote_key=True, is_contended=False)
        assert hunch.turn == HITS
    for _ in range(2):
        hunch.is_over(run)
        assert hunch.turn is None


def test_retries_of_other_keys_are_none_of_its_business() -> None:
    hunch = Hunch()
    hunch.lost(HITS)
    hunch.retries(object(), OTHER)
    assert hunch.turn is None


def test_a_lambda_made_anew_is_the_same_function() -> None:
    db = Place()
    first, second = (lambda: None for _ in range(2))
    assert hunch_of(db, first) is hunch_of(db, second)
    assert hunch_of(db, partial(partial(first))) is hunch_of(db, first)
    assert hunch_of(db, lambda: None) is not hunch_of(db, first)


def test_what_is_callable_without_code_goes_by_its_type() -> None:
    class Work:
        def __call__(self) -> None: ...

    db = Place()
    assert hunch_of(db, Work()) is hunch_of(db, Work()) is not hunch_of(db, print)


def test_labels_and_databases_are_kept_apart() -> None:
    db = Place()
    assert hunch_of(db, "nightly") is hunch_of(db, "nightly")
    assert len({hunch_of(db, "nightly"), hunch_of(db, "daily"), hunch_of(db, None), hunch_of(Place(), None)}) == 4


def test_however_many_functions_there_are_what_is_remembered_is_bounded() -> None:
    db = Place()
    first = hunch_of(db, "0")
    for n in range(FUNCTIONS_MAX + 1):
        hunch_of(db, str(n))
    assert hunch_of(db, "0") is not first
