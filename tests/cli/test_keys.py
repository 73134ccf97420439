"""get, put, del, stats: one key at a time, on a server and on a directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.contract.serving import serving


@pytest.fixture(params=["server", "directory"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The options that name a database, which is there and empty."""
    if request.param == "server":
        return ["--url", request.getfixturevalue("server")]
    tmp_path.joinpath("data").mkdir()
    return ["--data-dir", str(tmp_path / "data")]


def test_a_string_is_put_and_printed_as_json(run: Run, where: list[str]) -> None:
    assert run("put", "greeting", "Zoë says {hello}", *where) == ("", "", 0)
    assert run("get", "greeting", *where) == ('"Zoë says {hello}"\n', "", 0)
    assert run("get", "greeting", "--raw", *where) == ("Zoë says {hello}\n", "", 0)


@pytest.mark.parametrize("text", ["1.0", "123456789012345678901234567890", '{"a":  [1.50, null]}', '"x"', "1e400"])
def test_json_is_kept_to_the_letter(run: Run, where: list[str], text: str) -> None:
    assert run("put", "--json", "key", text, *where) == ("", "", 0)
    assert run("get", "key", *where) == (f"{text}\n", "", 0)


def test_a_value_is_read_from_standard_input_less_one_newline(run: Run, where: list[str]) -> None:
    run("put", "motd", "-", *where, stdin="one\ntwo\n\n")
    assert run("get", "motd", *where)[0] == '"one\\ntwo\\n"\n'
    run("put", "--json", "motd", "-", *where, stdin='{\n  "n": 1.0\n}\n')
    assert run("get", "motd", *where)[0] == '{ "n": 1.0 }\n'


def test_a_missing_key_is_told_on_standard_error(run: Run, where: list[str]) -> None:
    assert run("get", "nope", *where) == ("", "mvcc-kv: Key not found: 'nope'\n", 1)
    assert run("del", "nope", *where) == ("", "mvcc-kv: Key not found: 'nope'\n", 1)


def test_a_deleted_key_is_gone(run: Run, where: list[str]) -> None:
    run("put", "a key with spaces", "1", *where)
    assert run("del", "a key with spaces", *where) == ("", "", 0)
    assert run("get", "a key with spaces", *where)[2] == 1


def test_what_is_no_json_is_refused_and_nothing_is_put(run: Run, where: list[str]) -> None:
    out, err, status = run("put", "--json", "a", "nope", *where)
    assert (out, status) == ("", 1)
    assert err.startswith("mvcc-kv: not JSON")
    assert run("get", "a", *where)[2] == 1


def test_stats_are_a_table_for_people_and_json_for_programs(run: Run, where: list[str]) -> None:
    run("put", "a", "1", *where)
    table = dict(line.split() for line in run("stats", *where)[0].splitlines())
    counted = json.loads(run("stats", "--json", *where)[0])
    assert table["keys"] == "1"
    assert table["oldest_start_ts"] == "-"
    assert counted["keys"] == 1
    assert counted["oldest_start_ts"] is None


def test_put_makes_the_directory_and_get_does_not(run: Run, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    for command in (["get", "a"], ["del", "a"], ["stats"], ["dump"]):
        out, err, status = run(*command, "--data-dir", missing)
        assert (out, status) == ("", 1)
        assert "there is no directory" in err
    assert not Path(missing).exists()
    assert run("put", "a", "1", "--data-dir", missing)[2] == 0
    assert run("get", "a", "--data-dir", missing) == ('"1"\n', "", 0)


def test_no_server_is_one_line_that_asks_for_it(run: Run) -> None:
    with serving() as address:
        pass
    out, err, status = run("get", "a", "--url", address)
    assert (out, status) == ("", 1)
    assert err == f"mvcc-kv: can't connect to {address}: Connection refused; is the server running?\n"


def test_a_directory_wins_over_an_address_in_the_environment_but_not_over_one_given(
    run: Run, server: str, tmp_path: Path
) -> None:
    assert run("put", "a", "1", "--data-dir", str(tmp_path)) == ("", "", 0)
    assert run("get", "a")[2] == 1
    out, err, status = run("get", "a", "--data-dir", str(tmp_path), "--url", "127.0.0.1:9")
    assert (out, status) == ("", 2)
    assert "exclude each other" in err


def test_a_password_comes_from_the_option_or_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(password="open sesame") as address:
        assert run("put", "a", "1", "--url", address, "--password", "open sesame") == ("", "", 0)
        out, err, status = run("get", "a", "--url", address)
        assert (out, status) == ("", 1)
        assert "--password, or MVCC_KV_PASSWORD" in err
        monkeypatch.setenv("MVCC_KV_PASSWORD", "open sesame")
        assert run("get", "a", "--url", address) == ('"1"\n', "", 0)


def test_a_refusal_by_the_server_is_one_line(run: Run, server: str) -> None:
    out, err, status = run("put", "a", "x" * 2000)
    assert (out, status) == ("", 1)
    assert err.startswith("mvcc-kv: a command may have 1024 bytes in all, not ")
    assert err.count("\n") == 1


def test_a_key_that_utf8_cannot_hold_is_refused(run: Run, server: str) -> None:
    out, err, status = run("get", "\udcff")
    assert (out, status) == ("", 1)
    assert "surrogate" in err
