"""The listening sockets: bound before the data is loaded, so that a taken port costs nothing; answering after."""

from __future__ import annotations

import errno
import ipaddress
import socket
from typing import Any

from mvcc_kv.errors import BadRequestError, Error, UnavailableError
from mvcc_kv.server.settings import Settings

__all__ = ["Listeners", "address_name"]

_BACKLOG = 1024


class Listeners:
    """One socket for each address that the host's name stands for, all on one port."""

    def __init__(self, settings: Settings) -> None:
        """Take the addresses. Raises `UnavailableError`, or `BadRequestError` for one that would be open to all."""
        self.sockets: list[socket.socket] = []
        self._host, self._port = settings.host, settings.port
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
            addresses = {(family, address[0]): address for family, _, _, _, address in found}
            if not (settings.password or settings.insecure):
                _must_be_loopback(self._host, [str(host) for _, host in addresses])
            self._bind_all([(family, address) for (family, _), address in addresses.items()])
        except (OSError, Error) as error:
            self.close()
            raise self._explained(error) from None

    def _bind_all(self, addresses: list[tuple[int, tuple[Any, ...]]]) -> None:
        """Take every address that this machine has, and at least one: not all that a name stands for need be here."""
        missing: OSError | None = None
        for family, address in addresses:
            try:
                self._bind(family, address)
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                missing = error
        if missing is not None and not self.sockets:
            raise missing

    def _bind(self, family: int, address: tuple[Any, ...]) -> None:
        host, _, *scope = address
        port = self.sockets[0].getsockname()[1] if self.sockets else self._port
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setblocking(False)
            sock.bind((host, port, *scope))
        except OSError:
            sock.close()
            raise
        self.sockets.append(sock)

    @property
    def address(self) -> str:
        """The first address as `host:port`, with the real port."""
        return address_name(self.sockets[0].getsockname())

    def listen(self) -> None:
        """Answer from now on. Raises `UnavailableError` if somebody else took the port meanwhile."""
        try:
            for sock in self.sockets:
                sock.listen(_BACKLOG)
        except OSError as error:
            raise self._explained(error) from None

    def close(self) -> None:
        """Answer no more."""
        for sock in self.sockets:
            sock.close()
        self.sockets = []

    def _explained(self, error: OSError | Error) -> Error:
        if isinstance(error, Error):
            return error
        hint = "choose another --host or --port"
        if error.errno == errno.EADDRINUSE:
            hint = "is a server running there already? Stop it, or choose another --port"
        return UnavailableError(f"cannot listen on {self._host}, port {self._port}: {error.strerror or error}; {hint}")


def _must_be_loopback(name: str, hosts: list[str]) -> None:
    if not all(ipaddress.ip_address(host.partition("%")[0]).is_loopback for host in hosts):
        raise BadRequestError(
            f"other machines can reach {name}, and no password is set; set one (MVCC_KV_PASSWORD or --password), "
            f"or say --insecure"
        )


def address_name(address: tuple[Any, ...]) -> str:
    """A socket's address as people write it.

    >>> address_name(("::1", 8080, 0, 0))
    '[::1]:8080'
    """
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
