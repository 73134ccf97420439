"""The isolation checker: which levels a history allows, and what it holds that it should not.

histories.py        events to transactions            cycles.py, components.py   where the graph goes in a circle
scans.py            scans to reads of single keys     anomalies.py, fractures.py what needs no graph
observations.py     transactions to columns           own_appends.py, inside.py  what one transaction says of itself
identities.py       what is the same key or value
dependencies.py     version orders, and their edges   registers.py and what it uses: orders that nobody saw
graph.py            the graph                         models.py, verdict.py      levels, and the verdict
formats.py, edn.py  what histories are written as     explain.py, picture.py     anomalies in words and pictures

    verdict = check(pair(read_events(lines)))
    verdict.holds(level_of("snapshot"))
"""

from __future__ import annotations

from mvcc_kv.stress.checker.checking import check
from mvcc_kv.stress.checker.histories import Transaction, pair, read_events
from mvcc_kv.stress.checker.models import Level, level_of
from mvcc_kv.stress.checker.verdict import Verdict

__all__ = ["Level", "Transaction", "Verdict", "check", "level_of", "pair", "read_events"]
