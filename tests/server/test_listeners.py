"""Listening: taken ports, names, IPv6, and nothing open to strangers by accident."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from mvcc_kv.errors import BadRequestError, UnavailableError
from mvcc_kv.server import Listeners, Settings

from .running import Client, running


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


def test_the_real_port_is_told() -> None:
    listeners = Listeners(Settings(port=0))
    host, port = listeners.sockets[0].getsockname()
    assert listeners.address == f"127.0.0.1:{port}" and host == "127.0.0.1" and port > 0
    listeners.close()
    assert listeners.sockets == []


def test_a_taken_port_is_refused_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(UnavailableError) as caught:
            Listeners(Settings(port=taken.getsockname()[1]))
        message = caught.value.message
        assert str(taken.getsockname()[1]) in message and "--port" in message and "\n" not in message


def test_a_port_just_given_up_can_be_taken_again() -> None:
    with running() as run:
        run.connect().ask(b"PING")
    again = Listeners(Settings(port=run.address[1]))
    again.listen()
    again.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", pytest.param("::", marks=needs_ipv6)])
def test_an_address_that_others_reach_needs_a_password_or_to_be_asked_for(host: str) -> None:
    for password in (None, ""):
        with pytest.raises(BadRequestError, match=r"no password is set.*--insecure"):
            Listeners(Settings(host=host, port=0, password=password))


@pytest.mark.parametrize("chosen", [{"password": "p"}, {"insecure": True}])
def test_an_address_that_others_reach_is_fine_with_either(chosen: dict[str, Any]) -> None:
    Listeners(Settings(host="0.0.0.0", port=0, **chosen)).close()


def test_the_whole_of_127_is_loopback() -> None:
    Listeners(Settings(host="127.8.9.10", port=0)).close()


def test_an_address_of_somebody_else_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnavailableError, match=r"192\.0\.2\.1.*--host"):
        Listeners(Settings(host="192.0.2.1", port=0, insecure=True))


def test_a_name_that_nobody_has_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnavailableError, match="--host"):
        Listeners(Settings(host="no.such.name.invalid", port=0))


@needs_ipv6
def test_ipv6_is_served_and_named_in_brackets() -> None:
    with running(host="::1") as run:
        assert run.address[0] == "::1"
        assert run.connect().asked(b"PING") == "PONG"
    listeners = Listeners(Settings(host="::1", port=0))
    assert listeners.address.startswith("[::1]:")
    listeners.close()


@needs_ipv6
def test_all_addresses_of_a_name_are_served_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with running(host="both") as run:
        monkeypatch.undo()
        for host in ("127.0.0.1", "::1"):
            client = Client((host, run.address[1]))
            assert client.asked(b"PING") == "PONG"
            client.close()


def test_a_name_is_served_where_it_can_be() -> None:
    """`localhost` stands for ::1 too, on machines that have no IPv6 as well: it was refused there."""
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        listeners = Listeners(Settings(host="both", port=0, insecure=True))
    assert listeners.address.startswith("127.0.0.1:") and len(listeners.sockets) == 1
    listeners.close()
