"""The line protocol, without I/O: bytes in, commands out; answers in, bytes out.

    framing.py    a connection's bytes -> command lines (with and without a last newline)
    guard.py      is this a browser that was tricked into talking to us?
    grammar.py    a line -> a command: the plain form of every verb
    arguments.py  its JSON form
    usage.py      what HELP and refusals say of it
    commands.py   the commands themselves
    replies.py    an answer -> its reply line, byte for byte

Nothing in here knows about sockets, sessions or stores.
"""
