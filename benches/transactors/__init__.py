"""Interactive transactions: 16 connections that each read some counters, add one to each, and commit; then the next.

    __main__.py      the load generator, a process of its own: one loop over all connections
    attempts.py      what is to be done, what came of it, and which keys
    resp.py          WATCH ... MULTI ... EXEC, of Redis and of ours; START ... COMMIT over the same protocol
    line.py          START ... COMMIT in the line protocol, in turn and not
    postgresql.py    BEGIN ISOLATION LEVEL REPEATABLE READ ... COMMIT
    etcd_txn.py      a Range, and a Txn that compares what it read
    zeo.py           ZODB over ZEO: with its own client, and so with threads

A transaction takes two round trips in each of them: one that begins it and reads, and, when the values are there, one
that writes and commits. What fits into a round trip is sent at once; or, as most libraries do, each command waits for
the reply of the one before it (`apart`). A system is a function that makes connections,
each with the script of one attempt: a generator that yields what to send and is given the replies. What lost to another
is tried again at once, with the same keys, and only what was committed counts. In the end the counters' sum has to have
grown by exactly that: no update was lost, or there are no figures.

           connection                 script
    send <-------------- request <--- yield
    recv --> replies ---------------> next values -> request ... -> is it committed?
"""
