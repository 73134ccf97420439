"""A short torture in every run of the suite; `make torture ROUNDS=n` is the long one."""

from __future__ import annotations

from pathlib import Path

from tests.torture import torture

SEED = 20261123


def test_servers_killed_under_load_lose_nothing_that_they_acknowledged(tmp_path: Path) -> None:
    print(f"seed {SEED}")
    assert torture(rounds=12, seed=SEED, directory=tmp_path / "data") > 12 * 50
