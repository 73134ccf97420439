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

from mvcc_kv.protocol.resp.requests import BULK_BYTES_MAX, MEMBERS_MAX, RequestParser
from mvcc_kv.protocol.resp.scanning import BY_HEART_BYTES, BY_HEART_MEMBERS, Command, Scan, compiled_scan, scan

try:
    import hiredis
except ImportError:  # an extra: mvcc-kv[redis]
    HAS_HIREDIS = False
else:
    HAS_HIREDIS = True

__all__ = ["HAS_HIREDIS", "hiredis_scan", "request_parser"]

# Simple strings, verbatim ones and big numbers come out of hiredis as bytes too; and as much memory as a count names
# is taken at once. Where these marks are, and be it in an argument, hiredis is not asked.
_OTHER_TYPES = b"+=(%~>|"
_LARGE_COUNT = re.compile(rb"\*[0-9]{6}")

# To ask it costs two microseconds before it has read anything; a few commands are split sooner.
HIREDIS_BYTES_MIN = 4096

_LIST, _BYTES = frozenset([list]), frozenset([bytes])
_COUNT_BYTES = [len(b"*%d\r\n" % number) for number in range(BY_HEART_MEMBERS + 1)]
_ARGUMENT_BYTES = [len(b"$%d\r\n\r\n" % number) + number for number in range(BY_HEART_BYTES + 1)]


def hiredis_scan(data: bytes) -> tuple[list[Command], bytes]:
    """Take the commands off the beginning that are whole and canonical: returns them, and the rest."""
    if len(data.translate(None, _OTHER_TYPES)) < len(data) or _LARGE_COUNT.search(data):
        return scan(data)
    reader = hiredis.Reader()
    reader.feed(data)
    try:
        commands: list[Command] = list(iter(reader.gets, False))
        length = _length(commands)
    except (hiredis.HiredisError, TypeError, LookupError):
        return scan(data)
    if not all(commands):
        commands = [command for command in commands if command]
    return commands, data[length:]


def request_parser(
    *,
    bulk_bytes_max: int = BULK_BYTES_MAX,
    members_max: int = MEMBERS_MAX,
    is_authenticated: bool = True,
    with_hiredis: bool = HAS_HIREDIS,
    compiled: Scan | None = compiled_scan,
) -> RequestParser:
    """A parser of requests, on what was compiled, or else on hiredis if it is installed: all read the same."""
    return RequestParser(
        bulk_bytes_max=bulk_bytes_max,
        members_max=members_max,
        is_authenticated=is_authenticated,
        scan=compiled or (_scan_by_size if with_hiredis else scan),
    )


def _scan_by_size(data: bytes) -> tuple[list[Command], bytes]:
    return hiredis_scan(data) if len(data) >= HIREDIS_BYTES_MIN else scan(data)


def _length(commands: list[Command]) -> int:
    """How many bytes the commands take on the wire; a `TypeError` if they are none, a `LookupError` if one is large."""
    arguments = list(chain.from_iterable(commands))
    if not _LIST.issuperset(map(type, commands)) or not _BYTES.issuperset(map(type, arguments)):
        raise TypeError("other types than arrays of bulk strings")
    counts = sum(map(_COUNT_BYTES.__getitem__, map(len, commands)))
    return counts + sum(map(_ARGUMENT_BYTES.__getitem__, map(len, arguments)))
