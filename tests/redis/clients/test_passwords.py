"""A password: AUTH, HELLO with AUTH, and who has none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.exceptions import AuthenticationError

from .. import servers
from ..servers import Place

PASSWORD = "open sesame"


@pytest.fixture(params=["our_server", "real_redis"])
def locked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "our_server":
        with servers.our_server(tmp_path, "--in-memory", "--password", PASSWORD) as place:
            yield place
    else:
        with servers.real_redis(tmp_path, "--requirepass", PASSWORD) as place:
            yield place


def test_who_knows_the_password_comes_in(locked: Place, protocol: int) -> None:
    options = {"host": locked.host, "port": locked.port, "protocol": protocol}
    for user in (None, "default"):
        with redis.Redis(**options, username=user, password=PASSWORD) as client:  # type: ignore[arg-type]
            assert client.set("a", 1)
            assert client.get("a") == b"1"


def test_who_does_not_stays_outside(locked: Place) -> None:
    with (
        redis.Redis(host=locked.host, port=locked.port, password="guess") as client,
        pytest.raises(AuthenticationError),
    ):
        client.get("a")
    with locked.connect() as connection:
        assert connection.ask("GET", "a") == b"-NOAUTH Authentication required.\r\n"
        assert connection.ask("AUTH", "guess").startswith(b"-WRONGPASS invalid username-password pair")
        assert connection.ask("HELLO", 3, "AUTH", "default", "guess").startswith(b"-WRONGPASS")
        assert connection.ask("HELLO", 3).startswith(b"-NOAUTH HELLO must be called with the client already auth")
        assert connection.ask("HELLO", 3, "AUTH", "default", PASSWORD).startswith(b"%7\r\n")
        assert connection.ask("GET", "a") == b"_\r\n"


def test_who_is_outside_can_not_send_much(locked: Place) -> None:
    with locked.connect() as connection:
        connection.socket.sendall(b"*11\r\n")
        assert connection.rest() == b"-ERR Protocol error: unauthenticated multibulk length\r\n"
    with locked.connect() as connection:
        connection.socket.sendall(b"*2\r\n$3\r\nGET\r\n$16385\r\n")
        assert connection.rest() == b"-ERR Protocol error: unauthenticated bulk length\r\n"
