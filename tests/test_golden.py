"""Golden scripts: each is played on the engine without a server, checked after every step, and on a server over TCP.

`UPDATE_GOLDEN=1 pytest tests/test_golden.py` writes what the engine answered below each script's line of dashes;
then read the diff, because that is the review.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from mvcc_kv.cli.play import HISTORY_BYTES
from mvcc_kv.cli.speakers import EngineSpeaker, ServerSpeaker
from mvcc_kv.database import MemoryKeeper
from mvcc_kv.engine import CommitHistory, VersionedStore
from mvcc_kv.stress.script import Script, Turn, differences, parse, play, rewritten
from tests.contract.serving import serving

UPDATES = os.environ.get("UPDATE_GOLDEN") == "1"
GOLDEN = Path(__file__).parent / "golden"
SCRIPTS = sorted(GOLDEN.rglob("*.txt"))

each_script = pytest.mark.parametrize(
    "path", SCRIPTS, ids=lambda path: path.relative_to(GOLDEN).with_suffix("").as_posix()
)


@each_script
def test_the_engine_answers_as_the_script_expects(path: Path) -> None:
    text = path.read_text()
    turns = _played_on_the_engine(parse(text))
    if UPDATES:
        path.write_text(rewritten(text, turns))
        return
    _judge(parse(text), turns)


@each_script
def test_a_server_answers_as_the_script_expects(path: Path) -> None:
    script = parse(path.read_text())
    with serving(_fresh_store(script)) as address, closing(ServerSpeaker(address)) as speak:
        turns = list(play(script, speak))
    _judge(script, turns)


def test_every_script_says_what_it_is_about_and_what_it_expects() -> None:
    assert len(SCRIPTS) >= 30
    for path in SCRIPTS:
        assert path.read_text().startswith("# "), f"{path.name} begins with a comment that states its claim"
        assert parse(path.read_text()).expected, f"{path.name} expects something"


def _fresh_store(script: Script) -> VersionedStore:
    return VersionedStore(history=CommitHistory(retain_bytes=HISTORY_BYTES) if script.looks_back else None)


def _played_on_the_engine(script: Script) -> list[Turn]:
    store = _fresh_store(script)
    speak = EngineSpeaker(store, checkpoint=MemoryKeeper().checkpoint)
    turns = []
    for turn in play(script, speak):
        store.check()
        turns.append(turn)
    speak.close()
    store.check()
    assert store.stats()["active_transactions"] == 0
    return turns


def _judge(script: Script, turns: list[Turn]) -> None:
    different = differences(script.expected or (), turns)
    assert not different, "\n".join(["- expected, + came; UPDATE_GOLDEN=1 accepts what came:", *different])
