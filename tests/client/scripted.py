"""A server that plays a script: what the client meets is decided line by line, and nothing depends on timing."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

STARTED = b'{"status": "Ok", "result": {"start_ts": 7}}\n'
COMMITTED = b'{"status": "Ok", "result": {"commit_ts": 8}}\n'
DONE = b'{"status": "Ok"}\n'
NO_STATS = b'{"status": "Ok", "result": {}}\n'
PATIENCE_S = 20.0


class Talk:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE_S)
        self._socket = sock
        self._lines = sock.makefile("rb")

    def hears(self, *lines: bytes) -> None:
        """The client's next lines have to be these."""
        for line in lines:
            heard = self._lines.readline()
            assert heard == line, f"expected {line!r}, heard {heard!r}"

    def says(self, *lines: bytes) -> None:
        self._socket.sendall(b"".join(lines))

    def answers(self, *pairs: tuple[bytes, bytes]) -> None:
        """Hear a line and answer it, pair by pair."""
        for line, reply in pairs:
            self.hears(line)
            self.says(reply)

    def hears_the_end(self) -> None:
        """The client has to close the connection now."""
        assert self._lines.readline() == b""

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


Script = Callable[[Talk], None]


def greets(talk: Talk) -> None:
    """What `connect` begins with."""
    talk.answers((b"STATS\n", NO_STATS))


class ScriptedServer:
    """Plays one script a connection, in the order in which they come. `address` is where it listens."""

    def __init__(self, *scripts: Script) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(PATIENCE_S)
        self._error: BaseException | None = None
        self._played = [Event() for _ in scripts]
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._play, args=(scripts,), daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until every script is played to its end and every connection closed."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def played(self, count: int) -> None:
        """Wait until the first `count` scripts are played and their connections closed."""
        assert self._played[count - 1].wait(PATIENCE_S)

    def _play(self, scripts: tuple[Script, ...]) -> None:
        try:
            with self._listener:
                for script, played in zip(scripts, self._played, strict=True):
                    self._play_one(script)
                    played.set()
        except BaseException as error:  # noqa: BLE001 (told by finish)
            self._error = error

    def _play_one(self, script: Script) -> None:
        talk = Talk(self._listener.accept()[0])
        try:
            script(talk)
        finally:
            talk.close()


@contextmanager
def scripted(*scripts: Script) -> Iterator[ScriptedServer]:
    """A scripted server, which has to have been played to the end of its scripts."""
    server = ScriptedServer(*scripts)
    yield server
    server.finish()
