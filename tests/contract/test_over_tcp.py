"""What only a server does to a Database: limits, logins, restarts, and room for so many."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

import mvcc_kv
from mvcc_kv.api import Transaction
from mvcc_kv.engine import VersionedStore
from mvcc_kv.errors import AuthRequiredError, LimitExceededError, TransactionDoomedError, UnavailableError

from .serving import serving


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def put_and_read(tx: Transaction, key: str, value: object) -> None:
    tx[key] = value
    tx.get(key)


def test_a_put_that_the_server_refuses_surfaces_at_the_commit_and_nothing_is_applied() -> None:
    with serving() as address, mvcc_kv.connect(address) as db:
        tx = db.transaction()
        tx["small"] = 1
        tx["large"] = "x" * 2000
        tx["after"] = 1
        with pytest.raises(LimitExceededError) as caught:
            tx.commit()
        assert caught.value.evidence["limit"] == 1024
        assert caught.value.evidence["setting"] == "--max-transaction-bytes"
        assert not caught.value.retryable
        assert list(db) == []
        db["again"] = 1
        assert db["again"] == 1


def test_a_refused_put_surfaces_at_the_next_read_and_dooms_the_rest() -> None:
    with serving() as address, mvcc_kv.connect(address, connections_max=1) as db:
        tx = db.transaction()
        tx["large"] = "x" * 2000
        with pytest.raises(LimitExceededError):
            tx.get("large")
        with pytest.raises(TransactionDoomedError) as caught:
            tx.commit()
        assert caught.value.evidence["cause"]["code"] == "LIMIT_EXCEEDED"
        assert "large" not in db


def test_a_block_that_a_refusal_ends_leaves_its_connection_usable() -> None:
    with serving() as address, mvcc_kv.connect(address, connections_max=1) as db:
        with pytest.raises(LimitExceededError), db.transaction() as tx:
            put_and_read(tx, "large", "x" * 2000)
        db["k"] = 1
        assert db.stats()["connections"] == 1


def test_the_password_is_needed_and_checked_when_connecting() -> None:
    with serving(password="open sesame") as address:
        with mvcc_kv.connect(address, password="open sesame") as db:
            db["k"] = 1
        with pytest.raises(AuthRequiredError, match="wants a password"):
            mvcc_kv.connect(address)
        with pytest.raises(AuthRequiredError, match="wrong password"):
            mvcc_kv.connect(address, password="guess")


def test_a_restarted_server_is_found_again_without_an_error() -> None:
    store = VersionedStore()
    with serving(store) as address:
        db = mvcc_kv.connect(address)
        db["k"] = 1
    with serving(store, port=port_of(address)):
        assert db["k"] == 1
        db["k"] = 2
        with db.transaction() as tx:
            assert tx["k"] == 2
        db.close()


def test_a_transaction_that_a_restart_ended_is_run_again() -> None:
    store, running = VersionedStore(), ExitStack()
    address = running.enter_context(serving(store))
    db = mvcc_kv.connect(address)
    db["n"] = 0
    tries = 0
    for attempt in db.attempts():
        with attempt as tx:
            tx["n"] = tx["n"] + 1
            tries += 1
            if tries == 1:
                running.close()
                running.enter_context(serving(store, port=port_of(address)))
    assert (tries, db["n"]) == (2, 1)
    db.close()
    running.close()


def test_a_server_with_no_room_says_so_and_may_be_asked_later() -> None:
    with serving(max_connections=1) as address, mvcc_kv.connect(address) as db:
        with pytest.raises(UnavailableError, match="--max-connections") as caught:
            mvcc_kv.connect(address)
        assert caught.value.retryable
        assert db.get("k") is None


def test_a_disconnected_transaction_is_rolled_back_by_the_server() -> None:
    store = VersionedStore()
    with serving(store) as address:
        db = mvcc_kv.connect(address)
        tx = db.transaction()
        tx["k"] = 1
        assert tx["k"] == 1
        del tx
        db.close()
    assert store.stats()["active_transactions"] == 0
    assert store.get(b"k") is None
