"""`mvcc-kv check`: the verdict, the status, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from mvcc_kv.stress.checker.edn import encode_edn
from mvcc_kv.stress.history import Event, EventType, Micro, encode_event
from tests.cli.conftest import Run
from tests.stress.checker.told import events

WRITE_SKEW = "0< rx ay1\n1< ry ax1\n0: rx: ay1\n1: ry: ax1"


@pytest.fixture
def skewed(tmp_path: Path) -> str:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(map(encode_event, events(WRITE_SKEW))))
    return str(path)


def test_a_level_that_holds_is_status_0(run: Run, skewed: str) -> None:
    out, complaints, status = run("check", skewed, "--level", "snapshot")
    assert (complaints, status) == ("", 0)
    assert "2 transactions (2 committed, 0 failed, 0 unknown), 2 reads and 2 writes of 2 keys (list-append)" in out
    assert "snapshot-isolation holds, as far as the clients saw." in out


def test_a_level_that_does_not_is_status_1_and_told_in_words(run: Run, skewed: str) -> None:
    out, complaints, status = run("check", skewed, "--level", "serializable")
    assert (complaints, status) == ("", 1)
    assert "T2 came before T3: T2 saw x without a value, before T3 appended 1 (rw)" in out
    assert "serializable doesn't hold. The strongest that do: strong-snapshot-isolation." in out


def test_a_history_in_which_nothing_was_committed_passes_no_level(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "history.edn"
    path.write_text(encode_edn(events("0< ax1\n0! ax1")))
    out, _, status = run("check", str(path), "--level", "read-uncommitted")
    assert status == 1 and "Nothing was committed, so this shows nothing." in out and "holds" not in out


def test_programs_get_json(run: Run, skewed: str) -> None:
    out, _, status = run("check", skewed, "--json")
    told = json.loads(out)
    assert (status, told["level"], told["holds"], told["strongest"]) == (
        1,
        "serializable",
        False,
        ["strong-snapshot-isolation"],
    )
    assert told["anomalies"]["G2-item"][0]["transactions"] == ["T2", "T3"]


def test_standard_input_and_edn_are_read(run: Run) -> None:
    out, _, status = run("check", "-", "--level", "si", stdin=encode_edn(events(WRITE_SKEW)))
    assert status == 0 and "G2-item" in out


def test_labelled_histories_are_counted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "labelled.jsonl"
    path.write_text('{"ops": "w,x,1,0,0 r,x,1,1,1"}\n{"ops": "w,x,1,0,0 w,x,2,0,1 r,x,1,0,2"}\n')
    out, _, status = run("check", str(path))
    assert (out, status) == ("serializable holds in 1 of 2 histories\n  line 2: G-single-item-process\n", 1)
    lines = run("check", str(path), "--json")[0].splitlines()
    assert [(json.loads(it)["line"], json.loads(it)["holds"]) for it in lines] == [(1, True), (2, False)]


def test_explanations_are_written_in_words_and_pictures(run: Run, skewed: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    run("check", skewed, "--explain-to", str(found))
    assert "T3 came before T2" in (found / "G2-item.txt").read_text()
    assert json.loads((found / "verdict.json").read_text())["strongest"] == ["strong-snapshot-isolation"]
    picture = ElementTree.parse(found / "G2-item-1.svg")
    words = {it.text for it in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert {"T2", "T3", "r x nothing", "append y 1", "rw"} <= words


def test_a_png_comes_with_matplotlib(run: Run, skewed: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    run("check", skewed, "--explain-to", str(tmp_path / "found"))
    assert (tmp_path / "found" / "G2-item-1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("text", "arguments", "told"),
    [
        ("nonsense", [], "line 1: an event is a map, not nonsense"),
        ('{"index": 0', [], "line 1 is no event"),
        ("", [], "there is nothing in it"),
        ("[]", ["--level", "best"], "there is no level 'best'; levels are read-uncommitted, "),
        ("[]", ["--format", "xml"], "there is no format 'xml'; formats are auto, jsonl, edn, dbcop"),
    ],
)
def test_what_can_t_be_read_is_status_2(run: Run, tmp_path: Path, text: str, arguments: list[str], told: str) -> None:
    path = tmp_path / "history"
    path.write_text(text)
    out, complaints, status = run("check", str(path), *arguments)
    assert (out, status) == ("", 2)
    assert complaints.startswith(f"mvcc-kv: {path}: {told}")


def test_a_file_that_is_not_there_is_status_2(run: Run) -> None:
    assert run("check", "nowhere.jsonl") == (
        "",
        "mvcc-kv: nowhere.jsonl: No such file or directory; give the file of a recorded history\n",
        2,
    )


def test_a_history_in_which_nothing_was_committed_neither_holds_nor_doesn_t(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text(encode_edn(events("0< ax1\n0! ax1")))
    out, _, status = run("check", str(path), "--json")
    assert (json.loads(out)["holds"], status) == (None, 1)
    path.write_text('{"ops": ""}\n{"ops": "w,x,1,0,0"}\n')
    told = "serializable holds in 1 of 2 histories\n  line 1: nothing was committed\n"
    assert run("check", str(path))[::2] == (told, 1)


def test_what_an_earlier_run_explained_is_taken_away_and_nothing_else(run: Run, skewed: str, tmp_path: Path) -> None:
    found = tmp_path / "found"
    run("check", skewed, "--explain-to", str(found))
    assert (found / "G2-item-1.svg").exists()
    (found / "notes.txt").write_text("mine")
    other = tmp_path / "other.edn"
    other.write_text(encode_edn(events("0= ax1\n0= rx:")))
    run("check", str(other), "--explain-to", str(found))
    names = {it.name for it in found.iterdir() if it.suffix != ".png"}
    assert names == {"verdict.json", "notes.txt", "G-single-item-process.txt", "G-single-item-process-1.svg"}


def test_explanations_of_several_histories_are_taken_away_too(run: Run, skewed: str, tmp_path: Path) -> None:
    found, path = tmp_path / "found", tmp_path / "labelled.jsonl"
    path.write_text('{"ops": "w,x,1,0,0 r,x,1,1,1"}\n{"ops": "w,x,1,0,0 w,x,2,0,1 r,x,1,0,2"}\n')
    run("check", str(path), "--explain-to", str(found))
    assert {it.name for it in found.iterdir()} == {"line-1", "line-2"}
    (found / "line-1" / "notes.txt").write_text("mine")
    run("check", skewed, "--explain-to", str(found))
    assert {it.name for it in found.iterdir() if it.suffix != ".png"} == {
        "line-1",
        "verdict.json",
        "G2-item.txt",
        "G2-item-1.svg",
    }


def test_where_explanations_can_t_be_written_that_is_what_is_told(run: Run, skewed: str, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    _, complaints, status = run("check", skewed, "--explain-to", str(blocked))
    told = f"mvcc-kv: {blocked}: File exists; give --explain-to a directory that can be written to\n"
    assert (complaints, status) == (told, 2)


@pytest.mark.parametrize("key", [r"$\frac$", "$x$", "a\x01b\x1b[31m", "<&>", "\uffff", "\U0001f600", "line\nline"])
def test_any_key_is_drawn_as_it_is(run: Run, tmp_path: Path, key: str) -> None:
    path, found = tmp_path / "history.jsonl", tmp_path / "found"
    wanted = [msgspec.structs.replace(it, value=[(f, key + k, v) for f, k, v in it.value]) for it in events(WRITE_SKEW)]
    path.write_bytes(b"".join(map(encode_event, wanted)))
    _, complaints, status = run("check", str(path), "--explain-to", str(found))
    assert (complaints, status) == ("", 1)
    ElementTree.parse(found / "G2-item-1.svg")
    assert not any(it.isascii() and ord(it) < 32 and it != "\n" for it in (found / "G2-item-1.svg").read_text())


def test_a_cycle_of_too_many_for_a_picture_has_none_and_says_so(run: Run, tmp_path: Path) -> None:
    path, found, count = tmp_path / "history.jsonl", tmp_path / "found", 60
    ring: list[list[Micro]] = [[("append", at, 1), ("r", (at - 1) % count, [1])] for at in range(count)]
    kinds: tuple[EventType, ...] = ("invoke", "ok")
    lines = [
        encode_event(Event(index=at, time=0, process=at, type=kind, value=micros))
        for kind in kinds
        for at, micros in enumerate(ring)
    ]
    path.write_bytes(b"".join(lines))
    out, _, _ = run("check", str(path), "--explain-to", str(found))
    assert "... and so on, 42 steps more ..." in out and not list(found.glob("*.svg"))
    assert "no picture: 60 transactions are too many for one" in (found / "G1c.txt").read_text()
    assert len(json.loads((found / "verdict.json").read_text())["anomalies"]["G1c"][0]["cycle"]) == count


def test_a_stale_read_of_a_register_has_a_cycle_and_a_picture(run: Run, tmp_path: Path) -> None:
    path, found = tmp_path / "history.jsonl", tmp_path / "found"
    path.write_bytes(b"".join(map(encode_event, events("0= wx1\n1= wx2\n2= rx1"))))
    out, _, _ = run("check", str(path), "--level", "strict", "--explain-to", str(found))
    assert "G-single-item-realtime" in out and (found / "G-single-item-realtime-1.svg").exists()
