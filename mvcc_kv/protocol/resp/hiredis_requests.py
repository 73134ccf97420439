r"""Requests read by hiredis, the C library that Redis's own clients read replies with.

hiredis knows less than the rules ask for and more than they allow: replies of other types (`+OK`, `%2`), null arrays,
other limits, no inline commands. So it is trusted with nothing but the commands that are whole within one read and
consist of bulk strings; from the first byte on that it may see otherwise, `requests.RequestParser` reads on.

    b"*1\r\n$4\r\nPING\r\n*1\r\n+OK\r\n"
     '----- hiredis -----''- requests -'
"""

from __future__ import annotations

import re
from itertools import chain

from mvcc_kv.protocol.resp.requests import BULK_BYTES_MAX, MEMBERS_MAX, Command, RequestParser, Scan, scan

try:
    import hiredis
except ImportError:  # an extra: mvcc-kv[redis]
    HAS_HIREDIS = False
else:
    HAS_HIREDIS = True

__all__ = ["HAS_HIREDIS", "HiredisScan", "request_parser"]

# Simple strings, verbatim ones and big numbers come out of hiredis as bytes too; and as much memory as a count names
# is taken at once. Where these marks are, and be it in an argument, hiredis is not asked.
_OTHER_TYPES = b"+=(%~>|"
_LARGE_COUNT = re.compile(rb"\*[0-9]{6}")

_LIST, _BYTES = frozenset([list]), frozenset([bytes])
_COUNT_BYTES = [len(b"*%d\r\n" % number) for number in range(1024)]
_ARGUMENT_BYTES = [len(b"$%d\r\n\r\n" % number) + number for number in range(4096)]


class HiredisScan:
    """A `requests.Scan` by hiredis: its answers are canonical commands, which take the place they must take."""

    def __init__(self) -> None:
        self._reader = _reader()

    def __call__(self, data: bytes) -> tuple[list[Command], bytes]:
        """Take the commands off the beginning that are whole and canonical: returns them, and the rest."""
        if len(data.translate(None, _OTHER_TYPES)) < len(data) or _LARGE_COUNT.search(data):
            return scan(data)
        reader = self._reader
        try:
            reader.feed(data)
            commands = list(iter(reader.gets, False))
            length = _length(commands)
        except (hiredis.HiredisError, TypeError, LookupError):
            length = -1
        if length != len(data):
            self._reader = _reader()
        if length < 0:
            return scan(data)
        return [command for command in commands if command], data[length:]


def request_parser(
    *,
    bulk_bytes_max: int = BULK_BYTES_MAX,
    members_max: int = MEMBERS_MAX,
    is_authenticated: bool = True,
    with_hiredis: bool = HAS_HIREDIS,
) -> RequestParser:
    """A parser of requests, on hiredis if it is installed: both read the same."""
    chosen: Scan = HiredisScan() if with_hiredis else scan
    return RequestParser(
        bulk_bytes_max=bulk_bytes_max, members_max=members_max, is_authenticated=is_authenticated, scan=chosen
    )


def _reader() -> hiredis.Reader:
    return hiredis.Reader()


def _length(commands: list[Command]) -> int:
    """How many bytes the commands take on the wire, -1 if they are no commands; a `LookupError` if one is large."""
    arguments = list(chain.from_iterable(commands))
    if not _LIST.issuperset(map(type, commands)) or not _BYTES.issuperset(map(type, arguments)):
        return -1
    counts = sum(map(_COUNT_BYTES.__getitem__, map(len, commands)))
    return counts + sum(map(_ARGUMENT_BYTES.__getitem__, map(len, arguments)))
