"""Benchmarks: what the server does a second, beside what others do, with the targets. `make bench` runs them.

    __main__.py    installs what is missing (`install.py`), picks the interpreter, and goes on with
    run.py         the options, the tables, the JSON in benches/results/, docs/benchmarks.md
    catalogue.py   the parts, by name
    targets.py     what is to be reached, and what was
    report.py      the document out of the JSON; `picture.py` draws the ratios

The parts, each by name (`make bench ARGS="--only commands,memory"`):
    commands       SET, GET and INCR, counted by redis-benchmark, beside redis-server
    durability     the same, each on disk before its reply
    transactions   read, write, commit, over the network: Redis, PostgreSQL, etcd, ZEO
    embedded       the same in one's own process: ZODB, lmdb, sqlite3
    memory         for a key, beside redis-server
    recovery       starting from a large directory
    saving         a checkpoint of the same while serving
    latency        how long commands wait at a fixed rate
    connections    1 to 5,000 of them
    growth         of costs, with keys, versions, snapshots and write sets, in the engine
    slow-disk      how long readers wait while writers commit, on a disk made slow by strace
    contention     attempts a commit on hot counters, in turn and not, beside redis-py's
    snapshots      reading far behind, and committing beside many snapshots, in the engine; SQLite beside it
    isolation      SERIALIZABLE against SNAPSHOT, in the engine
    scans          of 100 keys, beside redis-server and etcd
    checker        the isolation checker on long histories

What they use:
    servers.py     the servers, each a process of its own, pinned to one core; `databases.py`: PostgreSQL and ZEO
    programs.py    where programs are, and which packages have them
    redis_benchmark.py, transactors/, pacer.py, probe.py, scanners.py, counter.py
                   the load generators, processes of their own on another core
    rates.py       how many commands a second there were
    load.py        a connection of a generator
    timing.py      calls a second in this process
    tables.py      tables, for the terminal and for documents
    dataset.py     the large directories
    histories.py   the long histories
    dialects.py    what a command and its reply look like, in bytes
    etcd.py        what etcd's calls look like, in bytes
    machine.py     what the figures were measured on
"""
