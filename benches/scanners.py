"""Clients that scan: each has one scan of 100 keys under way, and begins the next when it has all of it.

    mvcc-kv        SCAN {"start": key, "end": key, "limit": 100}
    redis-scan     SCAN cursor MATCH key:* COUNT 100, then MGET of what it named: about 100, in no order
    redis-lex      ZRANGEBYLEX of a sorted set that has every key, then MGET: a range in order, as Redis has it
    etcd           Range over gRPC, linearizable as is its default

Every range has an end, behind 100 keys: etcd 3.4 goes through all that a range has, whatever the limit.
As in load.py the clients do as little as they can: the first answer is compared with what was stored, of the others the
keys are counted, and MGET's arguments are the bytes of the answer that named them. Run as a process, it prints what it
did as JSON.
"""

from __future__ import annotations

import json
import random
import selectors
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from benches.dataset import KEY_BYTES, VALUE_BYTES, items, resp
from benches.etcd import RANGE_PATH, Http2, range_items, range_message
from benches.load import Client, Result

__all__ = ["INDEX", "SCANNED", "Scanning", "main"]

SCANNED = 100
INDEX = b"index"  # the sorted set
_PATIENCE_S = 10.0
_Ranges = Iterator[tuple[bytes, bytes]]
_Items = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Scanning:
    """Who scans what, and for how long. `keys`: how many there are."""

    way: str
    port: int
    keys: int
    connections: int
    seconds: float


class _Scanner(Protocol):
    """One connection's side. `keys`: how many it was given so far."""

    keys: int

    def begin(self) -> bytes:
        """What to send first."""
        ...

    def hear(self, data: bytes) -> bytes:
        """What to send next; nothing while an answer is not whole."""
        ...

    def items(self) -> _Items:
        """What the last scan brought."""
        ...


class _LineScanner:
    def __init__(self, ranges: _Ranges) -> None:
        self.keys = 0
        self._ranges = ranges
        self._reply = self._last = b""

    def begin(self) -> bytes:
        return b'SCAN {"start": "%b", "end": "%b", "limit": %d}\n' % (*next(self._ranges), SCANNED)

    def hear(self, data: bytes) -> bytes:
        self._reply += data
        if not data.endswith(b"\n"):
            return b""
        self.keys += self._reply.count(b'"value": ')
        self._last, self._reply = self._reply, b""
        return self.begin()

    def items(self) -> _Items:
        found = json.loads(self._last)["result"]["items"]
        return [(item["key"].encode(), json.dumps(item["value"]).encode()) for item in found]


class _RespScanner:
    """Keys first, then their values: two answers. `listing` asks for keys, given what was last named."""

    def __init__(self, listing: Callable[[bytes], bytes], head_parts: int) -> None:
        self.keys = 0
        self._listing = listing
        self._head_parts = head_parts
        self._cursor = b"0"
        self._reply = b""
        self._named: bytes | None = None
        self._last = b"", b""

    def begin(self) -> bytes:
        self._named = None
        return self._listing(self._cursor)

    def hear(self, data: bytes) -> bytes:
        self._reply += data
        found = _array(self._reply, self._head_parts if self._named is None else 1, self._element_bytes())
        if found is None:
            return b""
        head, number, elements = found
        self._reply = b""
        if self._named is None:
            self._cursor = head[-2] if len(head) > 1 else b""
            self._named = elements
            return b"*%d\r\n$4\r\nMGET\r\n%b" % (number + 1, elements) if number else self.begin()
        self.keys += number
        self._last = self._named, elements
        return self.begin()

    def _element_bytes(self) -> int:
        size = KEY_BYTES if self._named is None else VALUE_BYTES
        return len(b"$%d\r\n\r\n" % size) + size

    def items(self) -> _Items:
        keys, values = (elements.split(b"\r\n")[1::2] for elements in self._last)
        return list(zip(keys, values, strict=True))


def _array(reply: bytes, head_parts: int, element_bytes: int) -> tuple[list[bytes], int, bytes] | None:
    """The parts before an array's elements, how many there are, and the elements; None while that is not whole."""
    *head, elements = reply.split(b"\r\n", head_parts)
    if len(head) < head_parts:
        return None
    number = int(head[-1][1:])
    return (head, number, elements) if len(elements) == number * element_bytes else None


def _scan_scanner(_: _Ranges) -> _Scanner:
    scan = resp(b"SCAN", b"?", b"MATCH", b"key:*", b"COUNT", b"%d" % SCANNED)
    return _RespScanner(lambda cursor: scan.replace(b"$1\r\n?", b"$%d\r\n%b" % (len(cursor), cursor)), head_parts=4)


def _lex_scanner(ranges: _Ranges) -> _Scanner:
    def listing(_: bytes) -> bytes:
        start, end = next(ranges)
        return resp(b"ZRANGEBYLEX", INDEX, b"[" + start, b"(" + end, b"LIMIT", b"0", b"%d" % SCANNED)

    return _RespScanner(listing, head_parts=1)


class _EtcdScanner:
    def __init__(self, ranges: _Ranges) -> None:
        self.keys = 0
        self._ranges = ranges
        self._http2 = Http2()
        self._last = b""

    def begin(self) -> bytes:
        return self._http2.begin() + self._ask()

    def _ask(self) -> bytes:
        return self._http2.call(RANGE_PATH, range_message(*next(self._ranges), SCANNED))

    def hear(self, data: bytes) -> bytes:
        answer, sent = self._http2.hear(data)
        if answer is None:
            return sent
        self.keys += answer.count(b"key:")
        self._last = answer
        return sent + self._ask()

    def items(self) -> _Items:
        return range_items(self._last)


_SCANNERS: dict[str, Callable[[_Ranges], _Scanner]] = {
    "mvcc-kv": _LineScanner,
    "redis-scan": _scan_scanner,
    "redis-lex": _lex_scanner,
    "etcd": _EtcdScanner,
}


def main() -> None:
    """Scan as the first argument describes in JSON, and print the result."""
    scanning = Scanning(**json.loads(sys.argv[1]))
    print(json.dumps(asdict(_run(scanning))))


def _run(scanning: Scanning) -> Result:
    clients = [Client(scanning.port) for _ in range(scanning.connections)]
    scanners = [_SCANNERS[scanning.way](_ranges(scanning.keys, number)) for number in range(scanning.connections)]
    selector = selectors.DefaultSelector()
    stored = dict(items(scanning.keys))
    for client, scanner in zip(clients, scanners, strict=True):
        client.socket.sendall(scanner.begin())
        following = _first_scan(client, scanner)
        _must_be_right(scanning.way, scanner.items(), stored)
        client.socket.setblocking(False)
        client.socket.send(following)
        selector.register(client.socket, selectors.EVENT_READ, (client, scanner))
    return _measure(selector, scanners, scanning.seconds)


def _ranges(keys: int, seed: int) -> _Ranges:
    """Ranges of as many keys as are scanned, by chance: where each starts, and its end."""
    choose = random.Random(seed)
    while True:
        start = choose.randrange(keys - SCANNED)
        yield b"key:%012d" % start, b"key:%012d" % (start + SCANNED)


def _first_scan(client: Client, scanner: _Scanner) -> bytes:
    """Wait until a scan is there; what to send next."""
    while True:
        data = client.socket.recv(65536)
        if not data:
            raise RuntimeError("the server hung up")
        following = scanner.hear(data)
        if scanner.keys:
            return following
        client.socket.sendall(following)


def _must_be_right(way: str, found: _Items, stored: dict[bytes, bytes]) -> None:
    """What was scanned is what was stored; in order, and so many, if the way has an order."""
    is_right = bool(found) and all(stored[key] == value for key, value in found)
    if way != "redis-scan":
        keys = [key for key, _ in found]
        is_right = is_right and len(keys) == SCANNED and keys == sorted(set(keys))
    if not is_right:
        raise RuntimeError(f"{way}: a scan brought {found[:3]} ...")


def _measure(selector: selectors.BaseSelector, scanners: list[_Scanner], seconds: float) -> Result:
    clock, before = time.perf_counter, sum(scanner.keys for scanner in scanners)
    began_at, began_cpu_s = clock(), time.process_time()
    until = began_at + seconds
    while (now := clock()) < until:
        events = selector.select(_PATIENCE_S)
        if not events:
            raise RuntimeError(f"no reply for {_PATIENCE_S:g} s")
        for key, _ in events:
            client, scanner = key.data
            if following := scanner.hear(client.socket.recv(65536)):
                client.socket.send(following)
    done = sum(scanner.keys for scanner in scanners) - before
    return Result(done // SCANNED, now - began_at, time.process_time() - began_cpu_s)


if __name__ == "__main__":
    main()
