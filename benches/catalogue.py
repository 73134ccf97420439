"""All parts of the benchmarks, by name, in the order in which they are run and reported."""

from __future__ import annotations

import sys

from benches.checker import CHECKER
from benches.commands import COMMANDS
from benches.connections import CONNECTIONS_MANY
from benches.contention import CONTENTION
from benches.durability import DURABILITY
from benches.embedded import EMBEDDED
from benches.growth import GROWTH
from benches.isolation import ISOLATION
from benches.latency import LATENCY
from benches.memory import MEMORY
from benches.parts import Part
from benches.recovery import RECOVERY
from benches.saving import SAVING
from benches.scans import SCANS
from benches.slow_disk import SLOW_DISK
from benches.snapshots import SNAPSHOTS
from benches.transactions import TRANSACTIONS

__all__ = ["PARTS", "essay_of"]

PARTS = {
    "commands": COMMANDS,
    "durability": DURABILITY,
    "transactions": TRANSACTIONS,
    "embedded": EMBEDDED,
    "memory": MEMORY,
    "recovery": RECOVERY,
    "saving": SAVING,
    "latency": LATENCY,
    "connections": CONNECTIONS_MANY,
    "growth": GROWTH,
    "slow-disk": SLOW_DISK,
    "contention": CONTENTION,
    "snapshots": SNAPSHOTS,
    "isolation": ISOLATION,
    "scans": SCANS,
    "checker": CHECKER,
}


def essay_of(part: Part) -> str:
    """What the part's module says about it: how it is measured."""
    return (sys.modules[part.run.__module__].__doc__ or "").strip()
