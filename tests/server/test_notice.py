"""Early notice: said as soon as it pays to look, exactly when asked, and never of what nobody can see yet."""

from __future__ import annotations

from mvcc_kv.server.notice import EarlyNotice


class Losing:
    """A transaction that counts how often it is looked at."""

    start_ts = 5

    def __init__(self, clash: tuple[bytes, int] | None = None) -> None:
        self.lost = clash
        self.looks = 0

    def clash(self) -> tuple[bytes, int] | None:
        self.looks += 1
        return self.lost


def test_what_is_lost_is_named_with_who_took_it() -> None:
    notice = EarlyNotice(Losing((b"a'b", 7)))
    said = notice.after(1, 7, exactly=False)
    assert said == 'this transaction has lost key "a\'b" to commit 7 already; ROLLBACK and run it again'
    assert notice.is_given


def test_nobody_looks_while_nobody_else_has_committed() -> None:
    losing = Losing()
    notice = EarlyNotice(losing)
    for _ in range(100):
        assert notice.after(1, losing.start_ts, exactly=True) is None
    assert losing.looks == 0


def test_looks_cost_eight_times_what_was_read_and_written_at_most() -> None:
    losing = Losing()
    notice = EarlyNotice(losing)
    cost = 0
    for keys in range(1, 10_001):
        before = losing.looks
        notice.after(1, 7, exactly=False)
        cost += keys * (losing.looks - before)
    assert losing.looks < 100
    assert cost < 10 * 10_000


def test_a_loss_is_noticed_before_a_transaction_has_grown_by_a_sixth() -> None:
    losing = Losing()
    notice = EarlyNotice(losing)
    notice.after(800, 7, exactly=False)
    losing.lost = (b"a", 7)
    unnoticed = 0
    while notice.after(1, 7, exactly=False) is None:
        unnoticed += 1
    assert 100 <= unnoticed < 800 / 6


def test_who_asks_is_told_exactly() -> None:
    losing = Losing()
    notice = EarlyNotice(losing)
    notice.after(1000, 7, exactly=False)
    losing.lost = (b"a", 7)
    assert notice.after(1, 7, exactly=False) is None
    assert notice.after(1, 7, exactly=True) is not None


def test_what_was_said_is_said_again_without_looking_until_it_is_taken_back() -> None:
    losing = Losing((b"a", 7))
    notice = EarlyNotice(losing)
    said = notice.after(1, 7, exactly=False)
    assert [notice.after(1, 8, exactly=False) for _ in range(50)] == [said] * 50
    assert losing.looks == 1
    losing.lost = None
    assert notice.after(1, 8, exactly=True) is None
    assert not notice.is_given


def test_nothing_is_said_of_a_commit_that_is_not_visible_yet() -> None:
    """Who began again at once would read the snapshot before it, and lose to it once more."""
    notice = EarlyNotice(Losing((b"a", 8)))
    assert notice.after(1, 7, exactly=True) is None
    assert notice.after(1, 8, exactly=True) is not None
