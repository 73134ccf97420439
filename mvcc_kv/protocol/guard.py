"""The HTTP guard: a web page can make a browser send HTTP to a local port, with commands in its body.

So a connection that speaks HTTP is closed before anything of what it sent is executed: one whose first
line is a request line, and one that sends a `Host:` header at any time. Redis guards itself in the same
way ("Cross Protocol Scripting", networking.c: `securityWarningCommand`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mvcc_kv.protocol.framing import Line

__all__ = ["is_host_header", "is_http_request", "may_hold_host_header", "speaks_http"]

_REQUEST_LINE = re.compile(rb"\s*[A-Za-z]+ +\S+ +HTTP/\d+(\.\d+)?\s*\Z", re.IGNORECASE)
_LONG_REQUEST = re.compile(rb"\s*[A-Za-z]+ +(/|https?:)\S*( +(H|HT|HTT|HTTP(/[\d.]*)?)?\s*)?\Z", re.IGNORECASE)
# Of these no client of ours has need: whatever comes behind one, it's a browser. GET and PUT are commands too.
_OTHER_METHOD = re.compile(rb"\s*(POST|HEAD|OPTIONS|DELETE|PATCH|CONNECT|TRACE) ", re.IGNORECASE)
_HOST_HEADER = re.compile(rb"\s*host\s*:", re.IGNORECASE)


def is_http_request(line: bytes) -> bool:
    """Whether the line is the first of an HTTP request.

    >>> is_http_request(b"POST /x HTTP/1.1"), is_http_request(b"GET key1")
    (True, False)
    """
    return _REQUEST_LINE.match(line) is not None or _OTHER_METHOD.match(line) is not None


def is_host_header(line: bytes) -> bool:
    """Whether the line is an HTTP `Host:` header.

    >>> is_host_header(b"Host: localhost:8080"), is_host_header(b"PUT Host: x")
    (True, False)
    """
    return _HOST_HEADER.match(line) is not None


def may_hold_host_header(data: bytes) -> bool:
    """Whether it is worth looking at the lines in `data`: a quick look for the header as browsers write it."""
    return data.find(b"ost") >= 0 or data.find(b"OST") >= 0  # `in` takes longer: it goes through an exception


def speaks_http(lines: Iterable[Line], *, from_the_first: bool) -> bool:
    """Whether a batch of lines, the connection's first one or a later one, has HTTP in it."""
    for line in lines:
        text = line if isinstance(line, bytes) else line.beginning
        if is_host_header(text) or (from_the_first and (is_http_request(text) or _is_long_request(line))):
            return True
        from_the_first = False
    return False


def _is_long_request(line: Line) -> bool:
    """A request line past the limit has lost its end; there is no blank in its target, as there is in a PUT."""
    return not isinstance(line, bytes) and _LONG_REQUEST.match(line.beginning) is not None
