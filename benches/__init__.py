"""Benchmarks: what the server does a second, beside what could be done at all. `make bench` runs them.

    __main__.py    the options, the tables and the JSON in benches/results/
    parts.py       what the parts have in common

The parts, each by name (`python -m benches durability latency`); redis-server takes part where it can, if it is there:
    commands.py    GET and PUT over loopback, beside a bare echo server
    contention.py  attempts a commit on hot counters, in turn and not, beside redis-py's
    durability.py  SETs that are on disk before their reply
    latency.py     how long readers wait while writers commit, on a disk made slow by strace
    recovery.py    starting from a large directory
    saving.py      a checkpoint of the same while serving
    snapshots.py   reading far behind, and committing beside many snapshots, in the engine; SQLite beside it
    isolation.py   SERIALIZABLE against SNAPSHOT, in the engine
    scans.py       scans of 100 keys over loopback, beside redis-server and etcd; it needs both
    checker.py     the isolation checker on long histories

What they use:
    servers.py     the servers, each a process of its own, pinned to one core
    rates.py       workloads and how many commands a second there were
    load.py        the load generator, a process of its own on another core
    counter.py     the crowd that counts, a process of its own or several
    probe.py       readers that note how long they wait, on that other core too
    scanners.py    clients that scan
    timing.py      calls a second in this process
    dataset.py     the large directories
    histories.py   the long histories
    dialects.py    what a command and its reply look like, in bytes
    etcd.py        what etcd's ranges look like, in bytes
    echo.py        the bare echo server
    machine.py     what the figures were measured on
"""
