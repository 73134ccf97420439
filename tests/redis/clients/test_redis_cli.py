"""redis-cli and redis-benchmark, as Debian has them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from ..servers import Place

_TIMEOUT_S = 60


def run(program: str, place: Place, *arguments: str, stdin: bytes = b"") -> str:
    """What it printed."""
    path = shutil.which(program)
    assert path is not None, f"{program} is missing: apt-get install redis-server"
    command = [path, "-h", place.host, "-p", str(place.port), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_a_session_reads_as_with_redis(place: Place) -> None:
    typed = b'SET a 1\nINCR a\nGET a\nMGET a b\nGET\nMULTI\nINCR a\nEXEC\nSET b "two words"\nGET b\nTTL b\n'
    said = run("redis-cli", place, stdin=typed)
    assert said == (
        "OK\n2\n2\n2\n\nERR wrong number of arguments for 'get' command\n\nOK\nQUEUED\n3\nOK\ntwo words\n-1\n"
    )


@pytest.mark.parametrize("protocol", [["-2"], ["-3"]])
def test_replies_are_shown_by_their_type(place: Place, protocol: list[str]) -> None:
    run("redis-cli", place, "SET", "a", "x")
    assert run("redis-cli", place, *protocol, "--no-raw", "MGET", "a", "b") == '1) "x"\n2) (nil)\n'
    assert run("redis-cli", place, *protocol, "--no-raw", "STRLEN", "a") == "(integer) 1\n"
    assert run("redis-cli", place, *protocol, "--no-raw", "INCR", "a") == (
        "(error) ERR value is not an integer or out of range\n"
    )
    assert run("redis-cli", place, *protocol, "--csv", "MGET", "a", "b") == '"x",NULL\n'
    assert run("redis-cli", place, *protocol, "--json", "MGET", "a", "b") == '["x",null]\n'


def test_bytes_go_in_and_come_out(place: Place) -> None:
    run("redis-cli", place, "-x", "SET", "a", stdin=b"line\nline\n")
    assert run("redis-cli", place, "--raw", "GET", "a") == "line\nline\n\n"
    assert run("redis-cli", place, "--no-raw", "GET", "a") == '"line\\nline\\n"\n'


def test_keys_are_scanned(place: Place) -> None:
    run("redis-cli", place, stdin=b"".join(b"SET k%d %d\n" % (n, n) for n in range(100)))
    assert len(run("redis-cli", place, "--scan", "--pattern", "k*").split()) == 100
    assert len(run("redis-cli", place, "--scan", "--pattern", "k1?").split()) == 10


def test_the_biggest_key_is_found(place: Place) -> None:
    run("redis-cli", place, stdin=b"SET small x\nSET large xxxxxxxxxx\n")
    assert "Biggest string found '\"large\"' has 10 bytes" in run("redis-cli", place, "--bigkeys")


def test_a_file_of_requests_is_piped_in(place: Place) -> None:
    requests = b"".join(b"*3\r\n$3\r\nSET\r\n$4\r\nk%03d\r\n$1\r\nx\r\n" % n for n in range(1000))
    assert "errors: 0, replies: 1000" in run("redis-cli", place, "--pipe", stdin=requests)
    assert run("redis-cli", place, "DBSIZE") == "1000\n"


def test_help_knows_the_commands(place: Place) -> None:
    assert "summary:" in run("redis-cli", place, "HELP", "GETEX")


def test_our_transactions_can_be_typed(ours: Place) -> None:
    said = run("redis-cli", ours, stdin=b"SET a 1\nSTART\nINCR a\nROLLBACK\nGET a\nCOMMIT\n").splitlines()
    assert said[0] == "OK" and said[1].isdigit() and said[2:5] == ["2", "OK", "1"]
    assert said[5].startswith("NO_TRANSACTION")


def test_the_benchmark_runs(place: Place) -> None:
    asked = ["-t", "ping_mbulk,set,get,incr,mset", "-c", "50", "-P", "16", "-n", "20000", "-q"]
    said = run("redis-benchmark", place, *asked)
    done = re.findall(r"([A-Z_]+)(?: \(10 keys\))?: ([\d.]+) requests per second", said)
    assert [name for name, _ in done] == ["PING_MBULK", "SET", "GET", "INCR", "MSET"]
    assert all(float(rate) > 0 for _, rate in done)
    assert "rror" not in said
