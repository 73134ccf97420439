"""The line protocol, without I/O: bytes in, commands out; answers in, bytes out.

    framing.py    a connection's bytes -> command lines (with and without a last newline)
    guard.py      is this a browser that was tricked into talking to us?
    commands.py   a line -> a command: the grammar of every verb
    replies.py    an answer -> its reply line, byte for byte

Nothing in here knows about sockets, sessions or stores.
"""
