"""The fronts that the contract holds for. A test that asks for `db` runs once over each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

import mvcc_kv
from mvcc_kv.database import StoreDatabase
from mvcc_kv.engine import VersionedStore

from .serving import serving


@contextmanager
def in_memory(_: Path) -> Iterator[StoreDatabase]:
    with mvcc_kv.open(":memory:") as db:
        yield db


@contextmanager
def in_a_directory(path: Path) -> Iterator[StoreDatabase]:
    with mvcc_kv.open(path / "data") as db:
        yield db


@contextmanager
def over_tcp(_: Path) -> Iterator[StoreDatabase]:
    store = VersionedStore(time_us=lambda: time.time_ns() // 1000)
    with serving(store, max_transaction_bytes=16 * 1024 * 1024) as address, mvcc_kv.connect(address) as db:
        yield db


Front = Callable[[Path], AbstractContextManager[StoreDatabase]]


@pytest.fixture(params=[in_memory, in_a_directory, over_tcp])
def front(request: pytest.FixtureRequest) -> Front:
    chosen: Front = request.param
    return chosen


@pytest.fixture
def db(front: Front, tmp_path: Path) -> Iterator[StoreDatabase]:
    with front(tmp_path) as db:
        yield db
