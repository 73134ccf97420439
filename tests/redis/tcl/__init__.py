"""Redis's own test suite (Tcl, BSD licence), unit by unit, each against a fresh server of ours in memory.

    python -m tests.redis.tcl [UNIT ...]

The suite is not in this repository. It comes with the source of Debian's package, checked by apt, into `.cache/`.

source.py      gets it
units.py       the units, how many of their tests pass, and which are skipped and why (skipped.txt)
suite.py       runs one
"""
