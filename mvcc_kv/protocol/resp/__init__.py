"""The Redis protocol (RESP2 and RESP3), without I/O: bytes in, commands out; values in, reply bytes out.

    sniffing.py          does a new connection speak it?
    requests.py          a connection's bytes -> commands, by the rules of Redis 7.0
    scanning.py          the quick part of that: many small commands at a time
    hiredis_requests.py  the same, with the quick part done by hiredis where that is installed
    inline.py            an inline command's line -> its arguments
    replies.py           values -> reply bytes

Nothing in here knows about sockets, sessions or stores, or what a command means.
"""
