"""What repair, restore and verify say, and whether their advice works."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import mvcc_kv
from mvcc_kv.cli.app import app
from mvcc_kv.durability.records import segment_name


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


def run(*arguments: object) -> tuple[str, str, int]:
    """What `mvcc-kv` printed, what it complained of, and its exit status."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout, result.stderr, result.exit_code


def killed(data: Path, count: int, *, until_checkpoint: int) -> Path:
    """A directory with commits 1 to `count`, the later ones in the log alone."""
    db = mvcc_kv.open(data)
    as_killed: dict[str, bytes] = {}
    for ts in range(1, count + 1):
        db[f"k{ts}"] = ts
        if ts == until_checkpoint:
            db.checkpoint()
    as_killed = {file.name: file.read_bytes() for file in data.iterdir()}
    db.close()
    for file in data.iterdir():
        file.unlink()
    for name, content in as_killed.items():
        (data / name).write_bytes(content)
    return data


def test_a_log_that_was_emptied_does_not_tell_how_much_is_lost(tmp_path: Path) -> None:
    """It used to say "lost: commits 6 to 6", whatever had been in it."""
    data = killed(tmp_path / "data", 10, until_checkpoint=5)
    (data / segment_name(5)).write_bytes(b"")
    out, err, status = run("repair", data, "--to", tmp_path / "old", "--at-least", 1000)
    assert (err, status) == ("", 0)
    assert "lost: commits 6 to at least 6; how many there were can't be known" in out
    assert out.endswith("new commits come after 1000\n")
    with mvcc_kv.open(data) as db, db.transaction() as tx:
        tx["new"] = 1
    assert tx.commit_ts == 1001


@pytest.mark.parametrize("ts", [-1, 2**63, 18446744073709551615])
def test_a_timestamp_that_the_log_could_not_count_on_from_is_refused(tmp_path: Path, ts: int) -> None:
    """The largest one was taken, and ended the server at its first commit."""
    data = killed(tmp_path / "data", 2, until_checkpoint=2)
    assert run("restore", data, tmp_path / "new", f"--at-least={ts}")[2] == 2
    assert run("repair", data, "--to", tmp_path / "old", f"--at-least={ts}")[2] == 2
    assert not (tmp_path / "new").exists()


def test_the_largest_timestamp_that_is_taken_leaves_room(tmp_path: Path) -> None:
    data = killed(tmp_path / "data", 2, until_checkpoint=2)
    assert run("restore", data, tmp_path / "new", f"--at-least={2**63 - 1}")[2] == 0
    with mvcc_kv.open(tmp_path / "new") as db:
        db["new"] = 1
    with mvcc_kv.open(tmp_path / "new") as db:
        assert db["new"] == 1


def test_a_restore_from_a_data_directory_takes_its_log_too(tmp_path: Path) -> None:
    """It used to take the checkpoint alone, and to say nothing of the commits after it."""
    data = killed(tmp_path / "data", 10, until_checkpoint=5)
    before = {file.name: file.read_bytes() for file in data.iterdir()}
    out, err, status = run("restore", data, tmp_path / "new")
    assert (err, status) == ("", 0)
    assert "10 keys; new commits come after 10" in out
    assert {file.name: file.read_bytes() for file in data.iterdir()} == before
    with mvcc_kv.open(tmp_path / "new") as db:
        assert dict(db.scan()) == {f"k{ts}": ts for ts in range(1, 11)}


def test_a_restore_from_a_directory_that_is_open_or_damaged_is_refused(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path / "open") as db:
        db["a"] = 1
        assert "is open" in run("restore", tmp_path / "open", tmp_path / "new")[1]
    data = killed(tmp_path / "data", 10, until_checkpoint=5)
    (data / segment_name(5)).write_bytes(b"")
    assert "mvcc-kv verify" in run("restore", data, tmp_path / "new")[1]
    assert not (tmp_path / "new").exists()


def test_what_is_said_of_a_damaged_checkpoint_beside_a_log_can_be_done(tmp_path: Path) -> None:
    """To move it away was the advice, and the start without it was refused; verify promised what repair couldn't."""
    data = killed(tmp_path / "data", 10, until_checkpoint=5)
    good = (data / "checkpoint.json").read_bytes()
    (data / "checkpoint.json").write_bytes(good.replace(b'"k1": 1', b'"k1": 7'))
    with pytest.raises(mvcc_kv.Error, match="--force") as refused:
        mvcc_kv.open(data)
    assert "move this file away" not in str(refused.value)
    out, err, status = run("verify", data)
    assert status == 1
    assert "a repair could keep nothing" in err and "mvcc-kv repair" not in err
    assert f"{segment_name(5)}: ok, commits 6 to 10" in out
    (tmp_path / "backup.json").write_bytes(good)
    assert run("restore", tmp_path / "backup.json", data, "--force")[2] == 0
    assert run("verify", data)[2] == 0


def test_a_whole_segment_is_not_called_damaged_for_what_is_missing_before_it(tmp_path: Path) -> None:
    data = killed(tmp_path / "data", 10, until_checkpoint=5)
    (data / "checkpoint.json").unlink()
    out, err, status = run("verify", data)
    assert status == 1
    assert f"{segment_name(5)}: whole, commits 6 to 10" in out and "DAMAGED" not in out
    assert "a repair could keep nothing" in err


def test_verify_says_how_far_a_repair_would_come(tmp_path: Path) -> None:
    data = killed(tmp_path / "data", 10, until_checkpoint=5)
    (data / segment_name(5)).write_bytes(b"")
    assert "keeps everything up to commit 5" in run("verify", data)[1]


def test_of_a_restore_that_was_cut_short_verify_says_that_alone(tmp_path: Path) -> None:
    """Where the log is on its way elsewhere, that there is none means nothing."""
    data = killed(tmp_path / "data", 5, until_checkpoint=5)
    for file in data.glob("log-*.wal"):
        file.unlink()
    (data / "replacing.json").write_text(
        '{"action": "restore", "moved_to": "replaced-1", "commit_ts": 9, "kept_ts": 5, "keys": 5}'
    )
    out, err, status = run("verify", data)
    assert status == 1
    assert "there is no log" not in out and "cut short" in err and "replaced-1" in err
    assert run("repair", data, "--to", tmp_path / "old")[2] == 0
    assert run("verify", data)[2] == 0


def test_verify_tells_lost_history_from_lost_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with mvcc_kv.open(data, retain_bytes=1_000_000) as db:
        for ts in range(1, 7):
            db[f"k{ts}"] = ts
            if ts in (2, 4):
                db.checkpoint()
    out, err, status = run("verify", data)
    assert (err, status) == ("", 0)
    assert f"{segment_name(2)}: ok, commits 3 to 4 in" in out and "kept for reads in the past" in out
    file = data / segment_name(2)
    file.write_bytes(file.read_bytes()[:-1])
    out, err, status = run("verify", data)
    assert (err, status) == ("", 0), "a start succeeds, and nothing is lost but the past"
    assert f"{file.name}: DAMAGED HISTORY: it breaks off at byte" in out
    assert "after commits 3 to 3. No data is lost" in out
    assert out.endswith("ok: a start would come to commit 6\n")
