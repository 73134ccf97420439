"""The workloads, by name.

list-append    reads of lists and appends to them; the checker's                   lists.py
register       reads and writes of registers, every value once; the checker's      registers.py
bank           transfers, and observers who only read                              bank.py
write-skew     two who may leave, but not both                                     skew.py
predicate      scans, with what is inserted and deleted under them                 predicate.py
pairs          two keys that are always written together, blindly                  pairs.py
counters       ADD                                                                 counters.py
queue          put at one end, and taken from the other by a scan                  queue.py
"""

from __future__ import annotations

from collections.abc import Callable

from mvcc_kv.stress.plan import Workload
from mvcc_kv.stress.workloads.bank import Bank
from mvcc_kv.stress.workloads.counters import Counters
from mvcc_kv.stress.workloads.lists import ListAppend
from mvcc_kv.stress.workloads.pairs import Pairs
from mvcc_kv.stress.workloads.predicate import Predicate
from mvcc_kv.stress.workloads.queue import Queue
from mvcc_kv.stress.workloads.registers import Register
from mvcc_kv.stress.workloads.skew import WriteSkew

__all__ = [
    "WORKLOADS",
    "Bank",
    "Counters",
    "ListAppend",
    "Pairs",
    "Predicate",
    "Queue",
    "Register",
    "WriteSkew",
]

WORKLOADS: dict[str, Callable[..., Workload]] = {
    "list-append": ListAppend,
    "register": Register,
    "bank": Bank,
    "write-skew": WriteSkew,
    "predicate": Predicate,
    "pairs": Pairs,
    "counters": Counters,
    "queue": Queue,
}
"""Each takes `prefix`, `seed`, `keys`, `skew`, and `read_share`, beside what is its own."""
