"""backup, restore, verify, repair and dump on the command line, against real servers and directories."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mvcc_kv
from mvcc_kv.cli.app import app
from mvcc_kv.durability import decode_checkpoint
from mvcc_kv.durability.records import HEADER_BYTES, find_records, segment_name
from mvcc_kv.engine import VersionedStore

from ..contract.serving import serving


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("FORCE_COLOR", "MVCC_KV_URL", "MVCC_KV_PASSWORD"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: object) -> tuple[str, str, int]:
    """What `mvcc-kv` printed, what it complained of, and its exit status."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout, result.stderr, result.exit_code


def filled(path: Path, count: int) -> Path:
    with mvcc_kv.open(path) as db, db.transaction() as tx:
        for n in range(count):
            tx[f"k{n:05}"] = n
    return path


def large(count: int) -> VersionedStore:
    store = VersionedStore()
    store.restore(7, [(b"k%05d" % n, b"%d.0" % n) for n in range(count)])
    return store


def test_a_backup_of_a_server_is_a_checkpoint_file_and_values_keep_their_text(tmp_path: Path) -> None:
    file = tmp_path / "monday.json"
    with serving(large(3_000)) as address:
        assert run("backup", address, file) == (f"{file}: everything as of commit 7\n", "", 0)
    checkpoint = decode_checkpoint(file.read_bytes())
    assert checkpoint.commit_ts == 7
    assert checkpoint.items == {b"k%05d" % n: b"%d.0" % n for n in range(3_000)}
    assert list(tmp_path.iterdir()) == [file]


def test_a_backup_comes_back_as_a_directory(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", 10)
    assert run("backup", data, f"{tmp_path}/backup/")[2] == 0
    assert run("restore", tmp_path / "backup", tmp_path / "new") == (
        f"{tmp_path}/new: 10 keys; new commits come after 1\n",
        "",
        0,
    )
    with mvcc_kv.open(tmp_path / "new") as db:
        assert dict(db.scan()) == {f"k{n:05}": n for n in range(10)}


def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    """Two keys at either end of a large store that are always written together."""
    store, stop = large(5_000), threading.Event()
    with serving(store, max_transaction_bytes=1 << 20) as address, mvcc_kv.connect(address) as db:

        def write() -> None:
            n = 0
            while not stop.is_set():
                n += 1
                with db.transaction() as tx:
                    tx["a"], tx["z"] = n, n

        writer = threading.Thread(target=write)
        writer.start()
        for number in range(5):
            assert run("backup", address, tmp_path / f"{number}.json")[2] == 0
            assert run("dump", "--url", address, tmp_path / "dump.json")[2] == 0
            for text in (tmp_path / f"{number}.json", tmp_path / "dump.json"):
                data = json.loads(text.read_text())
                data = data.get("data", data)
                assert data.get("a") == data.get("z")
        stop.set()
        writer.join()
    assert store.stats()["active_transactions"] == 0


def test_no_backup_is_overwritten(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", 1)
    file = tmp_path / "backup.json"
    file.write_text("precious")
    out, err, status = run("backup", data, file)
    assert (out, status) == ("", 1)
    assert "is there already" in err
    assert file.read_text() == "precious"
    assert run("backup", data, tmp_path / "data")[2] == 1


def test_a_backup_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    out, err, status = run("backup", "127.0.0.1:1", tmp_path / "backup.json")
    assert (out, status) == ("", 1)
    assert "is the server running?" in err
    assert run("backup", tmp_path / "nowhere", tmp_path / "backup.json")[1].endswith("a server is named host:port\n")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_a_server_holds_is_backed_up_through_the_server(tmp_path: Path) -> None:
    with mvcc_kv.open(tmp_path / "data"):
        out, err, status = run("backup", tmp_path / "data", tmp_path / "backup.json")
    assert (out, status) == ("", 1)
    assert "through its server: mvcc-kv backup HOST:PORT DEST" in err


def test_a_password_is_asked_for(tmp_path: Path) -> None:
    with serving(large(3), password="open sesame") as address:
        assert run("backup", address, tmp_path / "b.json")[2] == 1
        assert run("backup", address, tmp_path / "b.json", "--password", "open sesame")[2] == 0


def test_what_is_no_backup_is_not_restored(tmp_path: Path) -> None:
    file = tmp_path / "backup.json"
    file.write_text('{"a": 1}')
    out, err, status = run("restore", file, tmp_path / "data")
    assert (out, status) == ("", 1)
    assert "is not mvcc-kv's" in err
    assert not (tmp_path / "data").exists()


def test_restore_replaces_only_when_told_to_and_timestamps_go_on(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", 3)
    assert run("backup", data, tmp_path / "old.json")[2] == 0
    with mvcc_kv.open(data) as db:
        for n in range(5):
            db["later"] = n
    assert "--force" in run("restore", tmp_path / "old.json", data)[1]
    out, _, status = run("restore", tmp_path / "old.json", data, "--force")
    assert status == 0
    assert f"what it held before is in {data}/replaced-1" in out
    with mvcc_kv.open(data) as db:
        assert "later" not in db
        with db.transaction() as tx:
            tx["new"] = 1
    assert tx.commit_ts is not None and tx.commit_ts > 6
    assert run("restore", tmp_path / "old.json", tmp_path / "b", "--at-least", 99)[0].endswith("come after 99\n")


def damaged(path: Path) -> Path:
    db = mvcc_kv.open(path)
    for n in range(10):
        db[f"k{n}"] = n
    file = path / segment_name(0)
    as_killed = file.read_bytes()
    db.close()
    for each in path.iterdir():
        each.unlink()
    record = list(find_records(as_killed, HEADER_BYTES))[5]
    contents = bytearray(as_killed)
    contents[record.end - 1] ^= 1
    file.write_bytes(contents)
    return path


def test_verify_tells_file_by_file(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", 3)
    out, err, status = run("verify", data)
    assert (err, status) == ("", 0)
    assert out.splitlines()[0] == "checkpoint.json: ok, 3 keys at commit 1"
    assert out.splitlines()[-1] == "ok: a start would come to commit 1"


def test_damage_is_an_exit_status_of_1_and_repair_says_what_is_lost(tmp_path: Path) -> None:
    data = damaged(tmp_path / "data")
    out, err, status = run("verify", data)
    assert status == 1
    assert "DAMAGED at byte" in out
    assert "(commits 5 to 10)" in err and f"mvcc-kv repair {data} --to BACKUP" in err
    out, _, status = run("verify", data, "--json")
    assert status == 1
    told = json.loads(out)
    assert (told["ok"], told["commit_ts"], told["damage"]["commits"]) == (False, 4, [5, 10])
    out, err, status = run("repair", data, "--to", tmp_path / "old")
    assert (err, status) == ("", 0)
    assert out.splitlines()[:2] == ["kept: 4 keys, as of commit 4", "lost: commits 5 to 10"]
    assert run("verify", data)[2] == 0
    assert run("repair", data, "--to", tmp_path / "again") == (f"{data} is not damaged: nothing to do\n", "", 0)
    assert not (tmp_path / "again").exists()


def test_a_get_from_an_empty_directory_leaves_it_empty(tmp_path: Path) -> None:
    assert run("get", "x", "--data-dir", tmp_path)[2] == 1
    assert list(tmp_path.iterdir()) == []


def test_the_shells_sessions_do_not_take_many_replies_for_one(tmp_path: Path) -> None:
    from mvcc_kv.cli.speakers import EngineSpeaker, ServerSpeaker

    with serving(large(3_000)) as address:
        server = ServerSpeaker(address)
        assert b"mvcc-kv backup" in server("t", "backup")
        assert server("t", "PING") == b'{"status": "Ok", "result": "PONG"}'
        server.close()
    engine = EngineSpeaker(large(3_000), checkpoint=lambda: 0)
    assert b"mvcc-kv backup" in engine("t", 'BACKUP {"prefix": "k"}')
    engine.close()
