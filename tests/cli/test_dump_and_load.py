"""dump and load: everything out and in, to the letter, and honest about which moment it is of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mvcc_kv.engine import VersionedStore
from tests.cli.conftest import Run
from tests.contract.serving import serving

EXAMPLE = Path(__file__).parents[2] / "data" / "example.json"


def many(count: int) -> VersionedStore:
    store = VersionedStore()
    store.restore(1, [(b"key%06d" % n, b"%d" % n) for n in range(count)])
    return store


def test_the_example_loads_into_a_server_as_it_is_by_default(run: Run, server: str) -> None:
    assert run("load", str(EXAMPLE)) == ("", "mvcc-kv: 16 keys loaded\n", 0)
    dumped = run("dump")[0]
    assert json.loads(dumped) == json.loads(EXAMPLE.read_text())
    assert '"pi": 3.14159265358979323846264338327950,\n' in dumped
    assert '"big": 170141183460469231731687303715884105727,\n' in dumped


def test_a_dump_loads_into_a_directory_and_comes_out_the_same(run: Run, server: str, tmp_path: Path) -> None:
    run("load", str(EXAMPLE))
    dumped = run("dump")[0]
    directory = str(tmp_path / "data")
    assert run("load", "-", "--data-dir", directory, stdin=dumped) == ("", "mvcc-kv: 16 keys loaded\n", 0)
    assert run("dump", "--data-dir", directory) == (dumped, "", 0)
    assert run("dump", "--data-dir", directory, "--snapshot") == (dumped, "", 0)
    assert run("load", f"{directory}/checkpoint.json", "--data-dir", str(tmp_path / "copy"))[2] == 0
    assert run("dump", "--data-dir", str(tmp_path / "copy")) == (dumped, "", 0)


def test_a_prefix_narrows_a_dump(run: Run, server: str) -> None:
    run("load", str(EXAMPLE))
    assert run("dump", "--prefix", "stock:") == (
        '{\n"stock:kettle": 12,\n"stock:teapot": 1,\n"stock:whisk": 40\n}\n',
        "",
        0,
    )
    assert run("dump", "--prefix", "nothing:") == ("{}\n", "", 0)


def test_many_keys_are_read_page_by_page(run: Run) -> None:
    with serving(many(2_500)) as address:
        dumped = json.loads(run("dump", "--url", address)[0])
        assert dumped == {f"key{n:06}": n for n in range(2_500)}
        assert json.loads(run("dump", "--url", address, "--snapshot")[0]) == dumped


def test_many_keys_are_loaded(run: Run, server: str) -> None:
    items = {f"key{n:06}": "x" * (n % 500) for n in range(2_500)}
    assert run("load", "-", stdin=json.dumps(items))[2] == 0
    assert json.loads(run("dump")[0]) == items


def test_a_dump_takes_a_files_place(run: Run, server: str, tmp_path: Path) -> None:
    file = tmp_path / "backup.json"
    file.write_text("the one before")
    run("put", "a", "1")
    assert run("dump", str(file)) == ("", "", 0)
    assert file.read_text() == '{\n"a": "1"\n}\n'
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_names_the_key_and_what_is_loaded(run: Run, server: str) -> None:
    items = {"a": 1, "long": "x" * 2000, "z": 2}
    out, err, status = run("load", "-", stdin=json.dumps(items))
    assert (out, status) == ("", 1)
    assert err.startswith("mvcc-kv: key 'long': a command may have 1024 bytes in all")
    assert "(2 of 3 keys are loaded)" in err


def test_one_transaction_is_all_or_nothing(run: Run, server: str) -> None:
    small, large = {"a": 1, "b": 2}, {f"key{n}": "x" * 100 for n in range(20)}
    assert run("load", "-", "--in-one-transaction", stdin=json.dumps(small))[2] == 0
    assert json.loads(run("stats", "--json")[0])["commit_ts"] == 1
    out, err, status = run("load", "-", "--in-one-transaction", stdin=json.dumps(large))
    assert (out, status) == ("", 1)
    assert "--max-transaction-bytes, or load without --in-one-transaction; nothing was loaded" in err
    assert json.loads(run("dump")[0]) == small


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"a": 1', '{"a": NaN}'])
def test_what_is_no_json_object_is_refused_before_anything_is_loaded(run: Run, server: str, text: str) -> None:
    out, err, status = run("load", "-", stdin=text)
    assert (out, status) == ("", 1)
    assert err.startswith("mvcc-kv: standard input: not a JSON object of keys and values: ")
    assert run("dump")[0] == "{}\n"


def test_a_file_that_is_not_there_is_named(run: Run, server: str) -> None:
    assert run("load", "/nowhere.json") == ("", "mvcc-kv: /nowhere.json: No such file or directory\n", 1)
    assert run("dump", "/nowhere/x.json") == ("", "mvcc-kv: /nowhere/x.json.tmp: No such file or directory\n", 1)
