"""Benchmarks: what the server does a second, beside what could be done at all. `make bench` runs them.

__main__.py   the options, the table and the JSON in benches/results/
commands.py   GET and PUT over loopback: mvcc-kv beside a bare echo server, and redis-server if there is one
servers.py    the servers, each a process of its own, pinned to one core
load.py       the load generator, a process of its own on another core
dialects.py   what a command and its reply look like, in bytes
echo.py       the bare echo server
machine.py    what the figures were measured on
"""
