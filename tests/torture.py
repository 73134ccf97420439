"""Torture: real servers, killed with SIGKILL under load, again and again, on one data directory.

    python -m tests.torture --rounds 100 --seed 7        (make torture ROUNDS=100)

Each client writes a number under two keys in one transaction, one higher each time, and remembers the last one that was
acknowledged. After some hundred acknowledgements the server is killed and started anew; then for each client

    the last acknowledged  <=  what is there  <=  the last sent         nothing lost, nothing from nowhere
    both keys hold the same                                             nothing half applied

Checkpoints and new segments happen all the time (a tiny `--checkpoint-log-bytes`), so kills hit those too. What is
killed when depends on the machine; the seed fixes the plan: modes, and after how many acknowledgements the kill comes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CLIENTS = 4
MODES = ("always", "always", "interval", "never")  # a killed process loses nothing in any of them


class Server:
    """A server process on a free port."""

    def __init__(self, directory: Path, fsync: str) -> None:
        options = ["--port", "0", "--data-dir", str(directory), "--fsync", fsync, "--log-level", "error"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mvcc_kv", "serve", *options, "--checkpoint-log-bytes", "20000"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            raise AssertionError(f"the server did not come back: exit status {self.process.wait()}")
        self.port = int(line.rsplit(":", 1)[1])

    def kill(self) -> None:
        """End it as a power cut of the process would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@dataclass
class Client:
    """What one client knows: the last number that it sent, and the last one that was acknowledged."""

    name: str
    sent: int = 0
    acknowledged: int = 0

    def write_until_cut(self, port: int, enough: threading.Event, count: threading.Semaphore) -> None:
        """Write on until the connection breaks; `count` is released for each acknowledgement."""
        with socket.create_connection(("127.0.0.1", port)) as sock, sock.makefile("rb") as replies:
            while not enough.is_set():
                self.sent += 1
                batch = f"START\nPUT {self.name}:a {self.sent}\nPUT {self.name}:b {self.sent}\nCOMMIT\n"
                try:
                    sock.sendall(batch.encode())
                    answers = [replies.readline() for _ in range(4)]
                except OSError:
                    return
                if not answers[-1].endswith(b"\n"):
                    return
                if b"commited" not in answers[-1]:
                    raise AssertionError(f"a commit that can't conflict was refused: {answers[-1]!r}")
                self.acknowledged = self.sent
                count.release()


def read_all(port: int) -> dict[str, Any]:
    """What the server holds."""
    with socket.create_connection(("127.0.0.1", port)) as sock, sock.makefile("rb") as replies:
        sock.sendall(b"SCAN\n")
        items = json.loads(replies.readline())["result"]["items"]
    return {item["key"]: int(item["value"]) for item in items}


def check(clients: list[Client], found: dict[str, int]) -> None:
    """Compare what is there with what the clients know."""
    for client in clients:
        a, b = found.get(f"{client.name}:a", 0), found.get(f"{client.name}:b", 0)
        assert a == b, f"half applied: {client.name} has {a} and {b}"
        assert client.acknowledged <= a, f"lost: {client} was acknowledged, and {a} is there"
        assert a <= client.sent, f"from nowhere: {client} sent less than {a}"


def one_round(directory: Path, clients: list[Client], rng: random.Random) -> int:
    """Load, kill, restart, check; returns the number of acknowledged commits."""
    before = sum(client.acknowledged for client in clients)
    server = Server(directory, rng.choice(MODES))
    enough, count = threading.Event(), threading.Semaphore(0)
    threads = [threading.Thread(target=client.write_until_cut, args=(server.port, enough, count)) for client in clients]
    for thread in threads:
        thread.start()
    for _ in range(rng.randrange(50, 500)):
        count.acquire(timeout=30)
    server.kill()
    enough.set()
    for thread in threads:
        thread.join()
    server = Server(directory, "always")
    found = read_all(server.port)
    server.kill()
    check(clients, found)
    for client in clients:
        client.sent = client.acknowledged = found.get(f"{client.name}:a", 0)
    return sum(client.acknowledged for client in clients) - before


def torture(rounds: int, seed: int, directory: Path) -> int:
    """Run so many rounds; returns the number of acknowledged commits. Raises `AssertionError` for any that is lost."""
    rng = random.Random(seed)
    clients = [Client(f"c{number}") for number in range(CLIENTS)]
    return sum(one_round(directory, clients, rng) for _ in range(rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    arguments = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="mvcc-kv-torture-"))
    print(f"seed {arguments.seed}, {arguments.rounds} rounds, directory {directory}", flush=True)
    commits = torture(arguments.rounds, arguments.seed, directory)
    shutil.rmtree(directory)
    print(f"{arguments.rounds} kills, {commits} acknowledged commits, none lost, none half applied")


if __name__ == "__main__":
    main()
