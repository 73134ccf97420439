"""BACKUP: one snapshot in many replies, made as the client reads them."""

from __future__ import annotations

import json
from typing import Any

from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import UnavailableError
from mvcc_kv.server import Settings
from mvcc_kv.server.connection import Connection
from mvcc_kv.server.served import Services

KEYS = 1_300


class House:
    def __init__(self, store: VersionedStore | None = None, **chosen: Any) -> None:
        self.settings = Settings(**chosen)
        self.store = store or full()
        self.services = Services(
            store=self.store, stats=self.store.stats, checkpoint=lambda answer: None, clock=lambda: 0.0
        )

    def asked(self, *lines: bytes) -> Connection:
        connection = Connection(self.services, self.settings)
        connection.receive(b"".join(line + b"\n" for line in lines), is_burst_end=True)
        return connection


def full() -> VersionedStore:
    store = VersionedStore()
    store.restore(7, [(b"k%05d" % n, b"%d" % n) for n in range(KEYS)])
    return store


class SlowLog:
    """A log that makes nothing durable."""

    failure: UnavailableError | None = None

    def append(self, *_: object) -> bool:
        return False

    def settle(self, commit_ts: int, *, waits: bool = True) -> None:
        pass


def results(said: bytes) -> list[Any]:
    return [json.loads(line)["result"] for line in said.splitlines()]


def run_out(connection: Connection) -> list[Any]:
    said = b""
    while connection.can_run:
        connection.run()
        said += connection.take_output()
    return results(said)


def test_all_of_it_comes_from_one_snapshot() -> None:
    house = House()
    connection = house.asked(b"BACKUP")
    connection.run()
    house.store.put(b"k00000", b'"later"')
    house.store.put(b"k01299", b'"later"')
    house.store.delete(b"k01298")
    pages = results(connection.take_output()) + run_out(connection)
    assert [page["commit_ts"] for page in pages] == [7] * 3
    assert [(item["key"], item["value"]) for page in pages for item in page["items"]] == [
        (f"k{n:05}", n) for n in range(KEYS)
    ]
    assert [page["next"] for page in pages] == ["k00500", "k01000", None]
    assert house.store.stats()["active_transactions"] == 0
    house.store.check()


def test_a_prefix_narrows_it_and_an_empty_store_is_one_reply() -> None:
    assert [len(page["items"]) for page in run_out(House().asked(b'BACKUP {"prefix": "k012"}'))] == [100]
    assert run_out(House(VersionedStore()).asked(b"backup")) == [{"commit_ts": 0, "items": [], "next": None}]


def test_one_reply_a_turn_and_what_follows_waits() -> None:
    connection = House().asked(b"BACKUP", b"PING")
    for _ in range(3):
        connection.run()
        assert len(results(connection.take_output())) == 1
    connection.run()
    assert results(connection.take_output()) == ["PONG"]
    assert not connection.can_run


def test_nothing_more_is_made_while_the_client_leaves_too_much_unread() -> None:
    connection = House(output_high_bytes=1000).asked(b"BACKUP")
    connection.run()
    assert (connection.can_run, connection.can_receive, connection.is_served) == (False, False, False)
    connection.take_output()
    assert (connection.can_run, connection.can_receive) == (True, False)


def test_a_client_that_leaves_ends_the_snapshot() -> None:
    house = House()
    connection = house.asked(b"BACKUP")
    connection.run()
    assert house.store.stats()["oldest_start_ts"] == 7
    connection.close()
    assert house.store.stats()["active_transactions"] == 0


def test_a_client_that_sends_no_more_gets_the_rest() -> None:
    connection = House().asked(b"BACKUP")
    connection.end()
    assert not connection.is_done
    assert run_out(connection)[-1]["next"] is None
    assert connection.is_done


def test_inside_a_transaction_it_is_refused_and_dooms() -> None:
    said = run_out(House().asked(b"START", b"PUT a 1", b"BACKUP", b"COMMIT"))
    assert [result["code"] for result in said[2:]] == ["BAD_REQUEST", "TRANSACTION_DOOMED"]


def test_it_shows_nothing_that_a_crash_could_take_away() -> None:
    house = House()
    house.store.attach(SlowLog())
    connection = house.asked(b"PUT a 1", b"BACKUP")
    while connection.can_run:
        connection.run()
    assert connection.take_output() == b"" and connection.is_held
    house.store.publish(8)
    connection.release(8)
    said = results(connection.take_output())
    assert said[1]["commit_ts"] == 8
    assert said[1]["items"][0] == {"key": "a", "value": "1"}


def test_a_log_that_fails_under_it_ends_it_with_an_error() -> None:
    house = House()
    house.store.attach(SlowLog())
    connection = house.asked(b"PUT a 1", b"BACKUP")
    connection.run()
    connection.refuse_held(UnavailableError("the log failed"))
    assert {result["code"] for result in results(connection.take_output())} == {"UNAVAILABLE"}
    assert not connection.can_run
    assert house.store.stats()["active_transactions"] == 0


def test_a_backup_whose_snapshot_was_ended_ends_with_an_error_line() -> None:
    house = House()
    connection = house.asked(b"BACKUP", b"PING")
    connection.run()
    assert results(connection.take_output())[0]["next"] == "k00500"
    (opened,) = house.store.transactions()
    assert opened.label == "BACKUP"
    house.store.kill(opened.id)
    ended, pong = run_out(connection)
    assert (ended["code"], pong) == ("TRANSACTION_DOOMED", "PONG")
    assert house.store.stats()["active_transactions"] == 0
