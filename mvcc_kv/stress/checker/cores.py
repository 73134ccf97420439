"""Cores: of a register history that no order explains, the few transactions that are to blame.

Transactions are left away, halves first and single ones last, as long as what is left still can't be explained. A read
of what a transaction wrote that was left away doesn't count either, so nothing that is left depends on what isn't.
"""

from __future__ import annotations

from mvcc_kv.stress.checker.models import Dialect, Level
from mvcc_kv.stress.checker.register_columns import Registers
from mvcc_kv.stress.checker.registers import register_levels

__all__ = ["core"]

TRANSACTIONS_MAX = 300
_TRIES_MAX = 150


def core(registers: Registers, level: Level, dialect: Dialect) -> list[int]:
    """Transactions of which already the level doesn't hold; none can be left away. Empty if there are too many."""
    left = registers.members
    if len(left) > TRANSACTIONS_MAX:
        return []
    size, tries = max(len(left) // 2, 1), 0
    while tries < _TRIES_MAX:
        shrunk = False
        for at in range(0, len(left), size):
            tries += 1
            fewer = left[:at] + left[at + size :]
            if fewer and _fails(registers.only(fewer), level, dialect):
                left, shrunk = fewer, True
                break
        if not shrunk:
            if size == 1:
                break
            size //= 2
        size = max(min(size, len(left) // 2), 1)
    return left


def _fails(registers: Registers, level: Level, dialect: Dialect) -> bool:
    return register_levels(registers, frozenset(), dialect).get(level) is False
