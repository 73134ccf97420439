"""HELLO, AUTH, RESET, QUIT: how a conversation begins and ends."""

from __future__ import annotations

import pytest

from tests.server.redis.clients import Client, Place

NOAUTH = "NOAUTH Authentication required."
WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."


def test_hello_tells_who_we_are_in_the_protocol_that_it_chose() -> None:
    client = Place().client()
    assert client.raw("HELLO", 3) == (
        b"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n"
        b"$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
    )
    assert client.raw("GET", "nosuch") == b"_\r\n"
    assert client.raw("HELLO", 2).startswith(b"*14\r\n")  # type: ignore[union-attr]
    assert client.raw("GET", "nosuch") == b"$-1\r\n"


def test_hello_logs_in_and_names_the_client() -> None:
    client = Place(password="secret").client()
    client("HELLO", 3, "AUTH", "default", "secret", "SETNAME", "worker")
    assert client("CLIENT", "GETNAME") == b"worker"
    assert client.session.proto == 3


def test_without_the_password_nothing_is_done() -> None:
    client = Place(password="secret").client()
    assert client.fails("GET", "a") == NOAUTH
    assert client.fails("HELLO", 3).startswith("NOAUTH HELLO must be called with the client already authenticated")
    assert client.session.proto == 2
    for wrong in (("AUTH", "wrong"), ("AUTH", "root", "secret"), ("HELLO", 3, "AUTH", "default", "wrong")):
        assert client.fails(*wrong) == WRONGPASS
    assert client.fails("GET", "a") == NOAUTH
    assert client("AUTH", "secret") == b"OK"
    assert client("GET", "a") is None


def test_reset_is_a_new_conversation() -> None:
    place = Place(password="secret")
    client = place.client()
    client("HELLO", 3, "AUTH", "default", "secret", "SETNAME", "worker")
    client("WATCH", "a")
    client("SUBSCRIBE", "news")
    client("MULTI")
    assert client("RESET") == b"RESET"
    assert client.fails("GET", "a") == NOAUTH
    assert client("AUTH", "default", "secret") == b"OK"
    assert client("CLIENT", "GETNAME") is None
    assert place.client().session.house.exchange.channels == {}
    assert client.fails("EXEC") == "ERR EXEC without MULTI"


def test_reset_rolls_our_transaction_back() -> None:
    client = Place().client()
    client("START")
    client("SET", "a", 1)
    client("RESET")
    assert client.fails("COMMIT").startswith("NO_TRANSACTION")
    assert client("GET", "a") is None


def test_quit_is_the_last_word() -> None:
    client = Place().client()
    assert client("QUIT") == b"OK"
    assert client.session.wants_to_close


@pytest.mark.parametrize("words", [("CLIENT", "SETINFO", "LIB-NAME", "redis-py"), ("CLIENT", "SETNAME", "x")])
def test_what_redis_py_opens_with_is_known(words: tuple[str, ...]) -> None:
    assert Place().client()(*words) == b"OK"


def test_maintenance_notifications_are_unknown_as_to_an_older_redis() -> None:
    client = Place().client()
    told = client.fails("CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "internal-ip")
    assert told == "ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP."


def test_a_library_tells_its_name_without_blanks() -> None:
    client = Place().client()
    assert client.fails("CLIENT", "SETINFO", "lib-ver", "8 1") == (
        "ERR lib-ver cannot contain spaces, newlines or special characters."
    )
    assert client.fails("CLIENT", "SETINFO", "color", "red") == "ERR Unrecognized option 'color'"
    client("CLIENT", "SETINFO", "LIB-VER", "8.1")
    assert fields(client)["lib-ver"] == "8.1"


def fields(client: Client) -> dict[str, str]:
    line = client("CLIENT", "INFO").decode().rstrip("\n")
    return dict(field.partition("=")[::2] for field in line.split(" "))
