"""The judge is handed histories that no engine should give, and says so; and some that are right, and says that too."""

from __future__ import annotations

from tests.explorer.programs import Mode, Operation, Program, TransactionProgram
from tests.explorer.stage import Answer, Event, History, Outcome, PageAnswer
from tests.explorer.verdict import fault

GET_A, GET_B = Operation("GET", "a"), Operation("GET", "b")
PUT_A, PUT_B = Operation("PUT", "a"), Operation("PUT", "b")
DEL_A, ADD_A = Operation("DEL", "a"), Operation("ADD", "a")
SCAN = Operation("SCAN")

# What the first and the second operation of the first, second and third transaction write.
X1, X2, Y1, Y2, Z1 = 10, 100, 10**5, 10**6, 10**9


def program(*transactions: list[Operation], present: str = "a", mode: Mode = "snapshot") -> Program:
    return Program(tuple(present), tuple(TransactionProgram(mode, tuple(operations)) for operations in transactions))


def value(number: int | None) -> bytes | None:
    return None if number is None else b"%d" % number


def page(following: str | None = None, **items: int) -> PageAnswer:
    told = tuple((key.encode(), b"%d" % number) for key, number in items.items())
    return PageAnswer(told, None if following is None else following.encode())


def history(
    events: str,
    *,
    start_ts: tuple[int, ...],
    answers: list[tuple[Answer, ...]],
    outcomes: list[int | dict[str, int]],
    final: dict[str, int],
) -> History:
    """`events`: "S1 S2 C1 C2". `outcomes`: the commit_ts, or for each key that was lost the commit that won it."""
    order: list[Event] = [("START" if event[0] == "S" else "COMMIT", int(event[1]) - 1) for event in events.split()]
    ends = [Outcome(end) if isinstance(end, int) else Outcome(None, tuple(end.items())) for end in outcomes]
    state = tuple(value(final.get(key)) for key in "abc")
    return History(tuple(order), start_ts, tuple(answers), tuple(ends), state)


def rejected(program: Program, history: History, because: str) -> None:
    found = fault(program, history)
    assert found is not None, "a history that is wrong was let pass"
    assert because in found


# Snapshot isolation


def test_a_lost_update_that_was_accepted_is_found() -> None:
    lost = history(
        "S1 S2 C1 C2", start_ts=(1, 1), answers=[(b"1", None), (b"1", None)], outcomes=[2, 3], final={"a": Y2}
    )
    rejected(program([GET_A, PUT_A], [GET_A, PUT_A]), lost, "t2 overlaps with t1, and both wrote ['a']")


def test_a_lost_update_that_was_refused_is_right() -> None:
    refused = history(
        "S1 S2 C1 C2", start_ts=(1, 1), answers=[(b"1", None), (b"1", None)], outcomes=[2, {"a": 2}], final={"a": X2}
    )
    assert fault(program([GET_A, PUT_A], [GET_A, PUT_A]), refused) is None


def test_blind_writers_that_were_both_accepted_are_found() -> None:
    both = history("S1 S2 C1 C2", start_ts=(1, 1), answers=[(None,), (None,)], outcomes=[2, 3], final={"a": Y1})
    rejected(program([PUT_A], [PUT_A]), both, "both wrote")


def test_a_dirty_read_is_found() -> None:
    dirty = history("S1 S2 C2 C1", start_ts=(1, 1), answers=[(None,), (value(X1),)], outcomes=[2, 1], final={"a": X1})
    rejected(program([PUT_A], [GET_A]), dirty, "GET a: told b'10', where 1 is right")


def test_a_read_of_what_was_refused_is_found() -> None:
    aborted = history(
        "S1 S2 C1 C2 S3 C3",
        start_ts=(1, 1, 2),
        answers=[(None,), (None,), (value(Y1),)],
        outcomes=[2, {"a": 2}, 2],
        final={"a": X1},
    )
    rejected(program([PUT_A], [PUT_A], [GET_A]), aborted, "t3, operation 1, GET a")


def test_a_torn_commit_is_found() -> None:
    torn = history(
        "S1 C1 S2 C2",
        start_ts=(2, 3),
        answers=[(None, None), (value(X1), b"2")],
        outcomes=[3, 3],
        final={"a": X1, "b": X2},
    )
    rejected(program([PUT_A, PUT_B], [GET_A, GET_B], present="ab"), torn, "t2, operation 2, GET b")


def test_a_read_that_changes_its_mind_is_found() -> None:
    fuzzy = history(
        "S1 S2 C2 C1", start_ts=(1, 1), answers=[(b"1", value(Y1)), (None,)], outcomes=[1, 2], final={"a": Y1}
    )
    rejected(program([GET_A, GET_A], [PUT_A]), fuzzy, "t1, operation 2, GET a")


def test_a_read_behind_a_commit_that_came_before_the_start_is_found() -> None:
    stale = history("S1 C1 S2 C2", start_ts=(1, 2), answers=[(None,), (b"1",)], outcomes=[2, 2], final={"a": X1})
    rejected(program([PUT_A], [GET_A]), stale, "told b'1', where 10 is right")


def test_an_own_write_that_a_read_misses_is_found() -> None:
    missed = history("S1 C1", start_ts=(1,), answers=[(None, b"1")], outcomes=[2], final={"a": X1})
    rejected(program([PUT_A, GET_A]), missed, "t1, operation 2, GET a")


def test_an_own_write_that_a_scan_misses_is_found() -> None:
    missed = history("S1 C1", start_ts=(1,), answers=[(None, page(a=1))], outcomes=[2], final={"a": 1, "b": X1})
    rejected(program([PUT_B, SCAN]), missed, "t1, operation 2, SCAN")


def test_a_deletion_that_says_the_wrong_thing_is_found() -> None:
    wrong = history("S1 C1", start_ts=(0,), answers=[(True,)], outcomes=[0], final={})
    rejected(program([DEL_A], present=""), wrong, "told True, where False is right")


def test_a_commit_that_is_gone_when_it_is_over_is_found() -> None:
    gone = history("S1 C1", start_ts=(1,), answers=[(None,)], outcomes=[2], final={"a": 1})
    rejected(program([PUT_A]), gone, "it ends with")


def test_a_refused_write_that_is_there_when_it_is_over_is_found() -> None:
    there = history("S1 S2 C1 C2", start_ts=(1, 1), answers=[(None,), (None,)], outcomes=[2, {"a": 2}], final={"a": Y1})
    rejected(program([PUT_A], [PUT_A]), there, "it ends with")


# Pages


def test_a_page_may_be_short_when_it_says_where_the_rest_begins() -> None:
    scan = Operation("SCAN", limit=2)
    for told in (page("b", a=1), page("c", a=1, b=2), page(a=1, b=2), page("b", a=1)):
        short = history("S1 C1", start_ts=(2,), answers=[(told,)], outcomes=[2], final={"a": 1, "b": 2})
        assert fault(program([scan], present="ab"), short) is None


def test_a_page_that_leaves_something_out_or_goes_nowhere_is_found() -> None:
    scan, back = Operation("SCAN", limit=1), Operation("SCAN", limit=1, reverse=True)
    wrong = [
        (scan, page(a=1)),
        (scan, page(a=1, b=2)),
        (scan, page("c", a=1)),
        (scan, page("")),
        (scan, page("b")),
        (back, page("b", a=1)),
        (back, page("a", b=2)),
    ]
    for operation, told in wrong:
        bad = history("S1 C1", start_ts=(2,), answers=[(told,)], outcomes=[2], final={"a": 1, "b": 2})
        rejected(program([operation], present="ab"), bad, "t1, operation 1, SCAN")


# Adding


def test_adds_that_both_count_are_right() -> None:
    merged = history(
        "S1 S2 C1 C2", start_ts=(1, 1), answers=[(None,), (None,)], outcomes=[2, 3], final={"a": 1 + X1 + Y1}
    )
    assert fault(program([ADD_A], [ADD_A]), merged) is None


def test_an_add_that_is_lost_is_found() -> None:
    lost = history("S1 S2 C1 C2", start_ts=(1, 1), answers=[(None,), (None,)], outcomes=[2, 3], final={"a": 1 + Y1})
    rejected(program([ADD_A], [ADD_A]), lost, "it ends with")


def test_an_add_that_is_refused_because_of_an_add_is_found() -> None:
    for mode in ("snapshot", "serializable"):
        refused = history(
            "S1 S2 C1 C2", start_ts=(1, 1), answers=[(None,), (None,)], outcomes=[2, {"a": 2}], final={"a": 1 + X1}
        )
        rejected(program([ADD_A], [ADD_A], mode=mode), refused, "t2 was refused for nothing")


def test_an_add_beside_a_put_that_was_accepted_is_found() -> None:
    both = history("S1 S2 C1 C2", start_ts=(1, 1), answers=[(None,), (None,)], outcomes=[2, 3], final={"a": X1 + Y1})
    rejected(program([PUT_A], [ADD_A]), both, "both wrote")


def test_adds_after_reads_that_were_both_accepted_are_found() -> None:
    for read, answer in ((GET_A, b"1"), (SCAN, page(a=1))):
        both = history(
            "S1 S2 C1 C2", start_ts=(1, 1), answers=[(answer, None), (None,)], outcomes=[2, 3], final={"a": 1 + X2 + Y1}
        )
        rejected(program([read, ADD_A], [ADD_A]), both, "both wrote")


def test_adds_before_reads_that_were_both_accepted_are_found() -> None:
    both = history(
        "S1 S2 C1 C2",
        start_ts=(1, 1),
        answers=[(None, value(1 + X1)), (None,)],
        outcomes=[2, 3],
        final={"a": 1 + X1 + Y1},
    )
    rejected(program([ADD_A, GET_A], [ADD_A]), both, "both wrote")


def test_an_add_behind_a_put_and_an_add_is_found() -> None:
    """The newest write of the key is an add; the one that counts is below it."""
    hidden = history(
        "S1 S2 C2 S3 C3 C1",
        start_ts=(1, 1, 2),
        answers=[(None,), (None,), (None,)],
        outcomes=[4, 2, 3],
        final={"a": Y1 + Z1 + X1},
    )
    rejected(program([ADD_A], [PUT_A], [ADD_A]), hidden, "t1 overlaps with t2")


# Serializability

SKEW = ([GET_A, PUT_B], [GET_B, PUT_A])


def _skew() -> History:
    return history(
        "S1 S2 C1 C2",
        start_ts=(2, 2),
        answers=[(b"1", None), (b"2", None)],
        outcomes=[3, 4],
        final={"a": Y2, "b": X2},
    )


def test_write_skew_is_right_at_snapshot() -> None:
    assert fault(program(*SKEW, present="ab"), _skew()) is None


def test_write_skew_that_was_accepted_is_found_at_serializable() -> None:
    rejected(program(*SKEW, present="ab", mode="serializable"), _skew(), "no serial order of t1, t2")


def test_write_skew_beside_one_who_does_not_mind_is_right() -> None:
    """The serializable one comes first; the other, at snapshot, is content with what it was told."""
    mixed = Program(
        ("a", "b"),
        (TransactionProgram("serializable", tuple(SKEW[0])), TransactionProgram("snapshot", tuple(SKEW[1]))),
    )
    assert fault(mixed, _skew()) is None


def test_write_skew_beside_one_who_minds_is_found() -> None:
    """t1, serializable, read what t2 wrote and both wrote c's sum: it comes neither before t2 nor after it."""
    mixed = Program(
        ("a",),
        (
            TransactionProgram("serializable", (GET_A, Operation("ADD", "b"))),
            TransactionProgram("snapshot", (GET_B, PUT_A, Operation("ADD", "c"))),
            TransactionProgram("serializable", (GET_A, GET_B)),
        ),
    )
    seen = history(
        "S1 S2 C2 S3 C3 C1",
        start_ts=(1, 1, 2),
        answers=[(b"1", None), (None, None, None), (value(Y2), None)],
        outcomes=[3, 2, 2],
        final={"a": Y2, "b": X2, "c": 10**7},
    )
    rejected(mixed, seen, "no serial order of t1, t2, t3")


def test_a_phantom_that_was_accepted_is_found() -> None:
    phantom = history(
        "S1 S2 C1 C2",
        start_ts=(0, 0),
        answers=[(page(), None), (page(), None)],
        outcomes=[1, 2],
        final={"a": X2, "b": Y2},
    )
    skew = ([SCAN, PUT_A], [SCAN, PUT_B])
    assert fault(program(*skew, present=""), phantom) is None
    rejected(program(*skew, present="", mode="serializable"), phantom, "no serial order")


def test_an_absent_key_that_came_is_found() -> None:
    absent = history(
        "S1 S2 C1 C2", start_ts=(0, 0), answers=[(None, None), (None, None)], outcomes=[1, 2], final={"a": Y2, "b": X2}
    )
    rejected(program([GET_A, PUT_B], [GET_B, PUT_A], present="", mode="serializable"), absent, "no serial order")


def test_the_read_only_anomaly_is_found() -> None:
    """Fekete, O'Neil, O'Neil 2004: t3, who only reads, sees t2's deposit and not t1's withdrawal and its fee."""
    anomaly = history(
        "S1 S2 C2 S3 C3 C1",
        start_ts=(2, 2, 3),
        answers=[(b"1", b"2", None), (b"2", None), (b"1", value(Y2))],
        outcomes=[4, 3, 3],
        final={"a": 1000, "b": Y2},
    )
    banking = ([GET_A, GET_B, PUT_A], [GET_B, PUT_B], [GET_A, GET_B])
    assert fault(program(*banking, present="ab"), anomaly) is None
    rejected(program(*banking, present="ab", mode="serializable"), anomaly, "no serial order of t1, t2, t3")


def test_a_put_and_its_deletion_that_hide_a_dependency_are_found() -> None:
    """t2 read b before t1 wrote it, and what t2 put under a would not have outlived t1's deletion."""
    hidden = history(
        "S1 S2 C2 C1",
        start_ts=(0, 0),
        answers=[(None, True, None), (None, None)],
        outcomes=[2, 1],
        final={"a": Y2, "b": 1000},
    )
    rejected(program([PUT_A, DEL_A, PUT_B], [GET_B, PUT_A], present="", mode="serializable"), hidden, "no serial order")


# Precision


def test_a_needless_refusal_is_found() -> None:
    needless = history(
        "S1 S2 C1 C2", start_ts=(2, 2), answers=[(None,), (None,)], outcomes=[3, {"b": 3}], final={"a": X1, "b": 2}
    )
    for mode in ("snapshot", "serializable"):
        rejected(program([PUT_A], [PUT_B], present="ab", mode=mode), needless, "t2 was refused for nothing")


def test_a_refusal_because_of_a_read_is_right_at_serializable_only() -> None:
    refused = history(
        "S1 S2 C1 C2", start_ts=(2, 2), answers=[(None,), (b"1", None)], outcomes=[3, {"a": 3}], final={"a": X1, "b": 2}
    )
    reader = ([PUT_A], [GET_A, PUT_B])
    assert fault(program(*reader, present="ab", mode="serializable"), refused) is None
    rejected(program(*reader, present="ab"), refused, "t2 was refused for nothing")


def test_a_refusal_because_of_what_lies_behind_a_page_is_found() -> None:
    first = Operation("SCAN", limit=1)
    behind = history(
        "S1 S2 C1 C2",
        start_ts=(2, 2),
        answers=[(None,), (page("b", a=1), None)],
        outcomes=[3, {"b": 3}],
        final={"a": 1, "b": X1},
    )
    writer = [first, Operation("PUT", "c")]
    rejected(program([PUT_B], writer, present="ab", mode="serializable"), behind, "t2 was refused for nothing")


def test_a_refusal_of_one_who_wrote_nothing_is_found() -> None:
    refused = history(
        "S1 S2 C1 C2", start_ts=(1, 1), answers=[(None,), (b"1",)], outcomes=[2, {"a": 2}], final={"a": X1}
    )
    rejected(program([PUT_A], [GET_A], mode="serializable"), refused, "t2 wrote nothing and was refused")


def test_a_refusal_that_names_the_wrong_key_or_commit_is_found() -> None:
    for winners in ({"b": 3}, {"a": 2}, {"a": 3, "b": 3}, {}):
        refused = history(
            "S1 S2 C1 C2",
            start_ts=(2, 2),
            answers=[(None,), (None, None)],
            outcomes=[3, winners],
            final={"a": X1, "b": 2},
        )
        rejected(program([PUT_A], [PUT_A, PUT_B], present="ab"), refused, "t2 was told that it lost")


def test_a_refusal_that_leaves_out_a_lost_key_is_found() -> None:
    both: list[Operation] = [PUT_A, PUT_B]
    for winners, is_right in (({"a": 3, "b": 3}, True), ({"a": 3}, False)):
        refused = history(
            "S1 S2 C1 C2",
            start_ts=(2, 2),
            answers=[(None, None), (None, None)],
            outcomes=[3, winners],
            final={"a": X1, "b": X2},
        )
        found = fault(program(both, both, present="ab"), refused)
        assert (found is None) is is_right


def test_timestamps_that_jump_are_found() -> None:
    jump = history("S1 C1", start_ts=(1,), answers=[(None,)], outcomes=[3], final={"a": X1})
    rejected(program([PUT_A]), jump, "t1 commits at 3, not 2")
    early = history("S1 C1", start_ts=(0,), answers=[(None,)], outcomes=[2], final={"a": X1})
    rejected(program([PUT_A]), early, "t1 starts at 0")
