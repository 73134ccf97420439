"""A real process: starts, refusals to start, signals, restarts, and a thousand clients that say nothing."""

from __future__ import annotations

import json
import resource
import signal
import socket
from pathlib import Path
from threading import Thread

import pytest

from ..server.running import Client, until
from .processes import serving, starting


def content(path: Path) -> dict[str, bytes]:
    """Every file below, by name."""
    return {str(it.relative_to(path)): it.read_bytes() if it.is_file() else b"" for it in path.rglob("*")}


# Starting


def test_what_transactions_may_hold_is_bounded_by_options(tmp_path: Path) -> None:
    options = ("--port", "0", "--in-memory", "--max-pinned-bytes", "3000", "--max-read-set-bytes", "2000")
    with starting(*options, cwd=tmp_path) as server:
        server.listening()
        reader, writer = server.connect(), server.connect()
        for n in range(30):
            writer.ask(b"PUT k%d x" % n)
        assert reader.asked(b'START {"isolation": "serializable"}') == {"start_ts": 30}
        assert writer.asked(b"TRANSACTIONS")["transactions"][0]["client"].startswith("127.0.0.1:")
        codes = [reader.asked(b"GET k%d" % n).get("code") for n in range(30)]
        assert codes[0] is None
        assert "LIMIT_EXCEEDED" in codes
        reader.ask(b"ROLLBACK")
        reader.ask(b"START")
        for n in range(30):
            assert "code" not in writer.asked(b"PUT k%d y" % n)
        assert reader.asked(b"GET k1")["code"] == "SNAPSHOT_GONE"
        stats = writer.asked(b"STATS")
        assert (stats["pinned_bytes"], stats["unpinned_total"]) == (0, 1)


def test_it_says_where_it_listens_and_nothing_else(tmp_path: Path) -> None:
    with starting("--port", "0", "--in-memory", cwd=tmp_path) as server:
        host, port = server.listening()
        assert host == "127.0.0.1" and port > 0
        assert server.connect().asked(b"PING") == "PONG"
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        assert server.said() == ""
    assert content(tmp_path) == {}


def test_every_option_can_come_from_the_environment(tmp_path: Path) -> None:
    environment = {
        "MVCC_KV_PORT": "0",
        "MVCC_KV_DATA_DIR": "elsewhere",
        "MVCC_KV_MAX_TRANSACTION_BYTES": "64",
        "MVCC_KV_PASSWORD": "open sesame",
        "MVCC_KV_MAX_CONNECTIONS": "1",
        "MVCC_KV_LOG_FORMAT": "json",
        "MVCC_KV_STRICT_LINES": "1",
    }
    with starting(cwd=tmp_path, environment=environment) as server:
        server.listening()
        client = server.connect()
        assert client.asked(b"GET k")["code"] == "AUTH_REQUIRED"
        assert client.asked(b"AUTH open sesame") == "Authenticated"
        assert client.asked(b"PUT k ".ljust(65, b"x"))["limit"] == 64
        assert server.connect().result()["code"] == "UNAVAILABLE"
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
        logged = [json.loads(line) for line in server.logged.decode().splitlines()]
    assert {"stopping", "stopped", "connection refused", "checkpoint written"} <= {line["event"] for line in logged}
    assert (tmp_path / "elsewhere" / "checkpoint.json").exists()


@pytest.mark.parametrize(
    ("options", "environment"),
    [
        (("--max-bulk-bytes", "5", "--max-array-members", "2"), {}),
        ((), {"MVCC_KV_MAX_BULK_BYTES": "5", "MVCC_KV_MAX_ARRAY_MEMBERS": "2"}),
    ],
)
def test_arguments_in_redis_protocol_are_as_long_and_as_many_as_options_say(
    tmp_path: Path, options: tuple[str, ...], environment: dict[str, str]
) -> None:
    with starting("--port", "0", "--in-memory", *options, cwd=tmp_path, environment=environment) as server:
        address = server.listening()

        def said(request: bytes) -> bytes:
            with socket.create_connection(address, timeout=30) as wire, wire.makefile("rb") as replies:
                wire.sendall(request)
                return replies.readline()

        assert said(b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n") == b"$5\r\n"
        assert said(b"*2\r\n$4\r\nECHO\r\n$6\r\n") == b"-ERR Protocol error: invalid bulk length\r\n"
        assert said(b"*3\r\n") == b"-ERR Protocol error: invalid multibulk length\r\n"


def refused(cwd: Path, *options: str) -> str:
    """The one line that a start which can't succeed says, and that it changed nothing."""
    before = content(cwd)
    with starting(*options, cwd=cwd) as server:
        status = server.ended()
        assert server.said() == ""
        told = server.logged.decode()
    assert status == 1
    assert told.count("\n") == 1 and told.startswith("mvcc-kv: "), told
    assert content(cwd) == before
    return told


def test_a_taken_port_is_told_and_no_directory_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        told = refused(tmp_path, "--port", str(taken.getsockname()[1]))
    assert "is a server running there already?" in told


def test_a_directory_in_use_is_told_with_the_process_that_has_it(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        server.connect().ask(b"PUT k v")
        told = refused(tmp_path, "--port", "0")
        assert str(server.pid) in told
        assert server.connect().asked(b"GET k")["value"] == "v"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("cut short", lambda text: text[: len(text) // 2]),
        ("empty", lambda text: b""),
        ("a byte changed", lambda text: text.replace(b'"v"', b'"w"')),
        ("foreign", lambda text: b'{"packages": {}}'),
        ("newer", lambda text: text.replace(b'"format_version": 1', b'"format_version": 3')),
        ("no text", lambda text: b"\xff\x00\xfe"),
    ],
    ids=lambda it: it if isinstance(it, str) else "",
)
def test_a_file_that_cannot_be_trusted_is_told_and_left_as_it_is(tmp_path: Path, name: str, damage: object) -> None:
    assert callable(damage)
    with serving(cwd=tmp_path) as server:
        server.connect().ask(b"PUT k v")
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
    path = tmp_path / "data" / "checkpoint.json"
    path.write_bytes(damage(path.read_bytes()))
    assert "checkpoint.json" in refused(tmp_path, "--port", "0")


def test_a_path_that_is_no_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert "data" in refused(tmp_path, "--port", "0")


def test_an_open_door_is_refused(tmp_path: Path) -> None:
    assert "--insecure" in refused(tmp_path, "--port", "0", "--host", "0.0.0.0")
    with serving("--host", "0.0.0.0", "--insecure", "--in-memory", cwd=tmp_path) as server:
        assert server.connect().asked(b"PING") == "PONG"


# Stopping


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_was_received_writes_a_checkpoint_and_exits_0(tmp_path: Path, number: int) -> None:
    with serving("--stop-grace-s", "60", cwd=tmp_path) as server:
        client, in_transaction = server.connect(), server.connect()
        in_transaction.ask(b"START")
        in_transaction.ask(b"PUT open 1")
        client.send(b"".join(b"PUT k%d v\n" % n for n in range(2000)))
        assert client.result()["key"] == "k0"
        server.signal(number)
        replies = client.rest().splitlines()
        assert len(replies) == 1999
        assert server.ended() == 0
        assert b"Traceback" not in server.logged
    checkpoint = json.loads((tmp_path / "data" / "checkpoint.json").read_bytes())
    assert checkpoint["commit_ts"] == 2000
    assert checkpoint["data"] == {f"k{n}": "v" for n in range(2000)}


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with serving("--stop-grace-s", "3600", "--max-transaction-bytes", "9000000", cwd=tmp_path) as server:
        client = server.connect()
        client.send(b"PUT big " + b"x" * 8_000_000 + b"\n" + b"GET big\n" * 3)
        other = server.connect()
        until(lambda: other.asked(b"STATS")["keys"] == 1)
        server.signal(signal.SIGTERM)
        until(lambda: b"stopping" in server.logged)
        until(lambda: server.has_ended_by(signal.SIGTERM))  # one that comes right behind the first doesn't count
        assert server.ended() == 128 + signal.SIGTERM
    assert not (tmp_path / "data" / "checkpoint.json").exists()


def test_a_signal_that_is_passed_on_twice_is_one(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        server.connect().ask(b"PUT a 1")
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
    assert (tmp_path / "data" / "checkpoint.json").exists()


# Starting again


def test_a_restart_finds_every_value_to_the_letter(tmp_path: Path) -> None:
    values = {
        "plain": '"value"',
        "number": "1.0",
        "big": "123456789012345678901234567890",
        "far": "1e999",
        "spaced": '{"b":1,  "a": [ ]}',
        "escaped": '"\\u00e9\\n"',
        "é 🐍\n{": '"é"',
        "": "null",
    }
    with serving(cwd=tmp_path) as server:
        client = server.connect()
        for key, value in values.items():
            client.ask(f'PUT {{"key": {json.dumps(key)}, "value": {value}}}'.encode())
        client.send(b"PUT gone 1\nDEL gone\nSTART\nPUT open 1\n")
        for _ in range(4):
            client.reply()
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
    port = server.address[1]
    with serving(cwd=tmp_path, port=port) as server:
        client = server.connect()
        for key, value in values.items():
            reply = client.ask(f'GET {{"key": {json.dumps(key)}}}'.encode()).decode()
            assert reply.endswith(f', "value": {value}}}}}')
        assert [client.asked(b"GET " + key)["code"] for key in (b"gone", b"open")] == ["KEY_NOT_FOUND"] * 2
        stats = client.asked(b"STATS")
        assert stats["keys"] == len(values) and stats["commit_ts"] == stats["checkpoint_ts"] == len(values) + 2
        assert client.asked(b"PUT next 1") == {"key": "next", "value": "1"}
        assert client.asked(b"START {}")["start_ts"] == len(values) + 3


def test_a_killed_process_comes_back_with_all_that_it_acknowledged(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        client = server.connect()
        client.send(b"PUT a 1\nCHECKPOINT\nPUT a 2\n")
        assert [client.result() for _ in range(3)][1] == {"checkpoint_ts": 1}
        server.signal(signal.SIGKILL)
        assert server.ended() == -signal.SIGKILL
    with serving(cwd=tmp_path) as server:
        assert server.connect().asked(b"GET a")["value"] == "2"


def test_what_a_crash_left_of_a_checkpoint_is_no_obstacle(tmp_path: Path) -> None:
    with serving(cwd=tmp_path) as server:
        server.connect().ask(b"PUT a 1")
        server.signal(signal.SIGTERM)
        assert server.ended() == 0
    (tmp_path / "data" / "checkpoint.json.tmp").write_bytes(b'{"format": "mvcc-kv-che')
    with serving(cwd=tmp_path) as server:
        client = server.connect()
        assert client.asked(b"GET a")["value"] == "1"
        client.ask(b"PUT a 2")
        assert client.asked(b"CHECKPOINT") == {"checkpoint_ts": 2}
    assert not list((tmp_path / "data").glob("*.tmp"))


# Under load


def test_a_thousand_silent_clients_in_a_process_of_its_own(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip("too few open files allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    try:
        with serving("--in-memory", cwd=tmp_path) as server:
            for _ in range(1000):
                server.connect()
            busy = server.connect()
            until(lambda: busy.asked(b"STATS")["connections"] == 1001)
            for n in range(500):
                assert busy.asked(b"PUT k %d" % n)["key"] == "k"
            assert busy.asked(b"STATS")["connections"] == 1001
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_attackers_of_every_kind_leave_a_client_in_peace(tmp_path: Path) -> None:
    """Floods, unread replies, endless lines, noise, HTTP and resets, all at once, beside a client that counts."""
    with serving("--in-memory", "--transaction-timeout-s", "600", cwd=tmp_path) as server:
        client = server.connect()
        client.ask(b"PUT big " + b"x" * 1000)
        held = [server.connect() for _ in range(4)]

        def flood() -> None:
            for attacker in held:
                attacker.send(b"GET big\n" * 2000)

        def attack(payload: bytes) -> None:
            for _ in range(20):
                attacker = Client(server.address)
                try:
                    attacker.send(payload)
                except OSError:
                    attacker.close()
                else:
                    attacker.reset()

        payloads = (
            b"x" * 500_000,
            b"START\nPUT k evil\n",
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\nPUT k evil\r\n",
            bytes(999),
        )
        threads = [Thread(target=flood), *(Thread(target=attack, args=(payload,)) for payload in payloads)]
        for thread in threads:
            thread.start()
        for n in range(300):
            assert client.asked(b"PUT n %d" % n) == {"key": "n", "value": str(n)}
            assert client.asked(b"GET n") == {"key": "n", "value": str(n)}
        for thread in threads:
            thread.join()
        until(lambda: client.asked(b"STATS")["connections"] == 5)
        stats = client.asked(b"STATS")
        assert (stats["active_transactions"], client.asked(b"GET k")["code"]) == (0, "KEY_NOT_FOUND")
        for attacker in held:
            for _ in range(2000):
                assert attacker.result()["key"] == "big"
        assert b"internal error" not in server.logged
