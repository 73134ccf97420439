"""A bank: transfers between accounts, and observers who read all of them and write nothing.

    transfer   reads two accounts, moves an amount if it is there, writes both
    look       reads every account, one by one or by a scan: the total is always that of the beginning

Both accounts are written, so the first committer wins at either level, and no balance is ever negative.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mvcc_kv.api import Isolation
from mvcc_kv.stress.history import Micro
from mvcc_kv.stress.plan import Cells, Checked, KeyChoice, Operation, Plan, step_random
from mvcc_kv.stress.workloads.micro import perform

__all__ = ["Bank"]


@dataclass(frozen=True)
class Bank:
    """`keys` accounts with `balance` each at first."""

    prefix: str = "bank/"
    seed: int = 0
    keys: int = 8
    skew: float = 0.0
    balance: int = 20
    amount_max: int = 10
    read_share: float = 0.3
    rollback_share: float = 0.03
    name: str = "bank"

    def prepare(self, cells: Cells) -> None:
        """Open the accounts."""
        for account in self._accounts:
            cells.put(account, self.balance)

    def plan(self, ticket: int) -> Plan:
        """A transfer, or a look at all of the accounts."""
        rng = step_random(self.seed, ticket)
        if rng.random() < self.read_share:
            return self._look(rng)
        source = self._choice.pick(rng)
        sink = (source + rng.randrange(1, self.keys)) % self.keys
        amount = rng.randint(1, self.amount_max)
        micros = (("r", self._accounts[source], None), ("move", self._accounts[sink], amount))
        return Plan("transfer", micros, rolls_back=rng.random() < self.rollback_share)

    def perform(self, cells: Cells, plan: Plan, pause: Callable[[], None]) -> list[Micro]:
        """Transfer or look."""
        if plan.f == "look":
            return perform(cells, plan.micros, pause)
        (_, source, _), (_, sink, amount) = plan.micros
        done = perform(cells, [("r", source, None), ("r", sink, None)], pause)
        (_, _, has), (_, _, other) = done
        if has < amount:
            return done
        pause()
        return done + perform(cells, [("w", source, has - amount), ("w", sink, other + amount)], pause)

    def check(self, ops: Sequence[Operation], final: Mapping[str, Any], isolation: Isolation) -> Checked:
        """Totals, balances below nought, and whether each account ends where its acknowledged transfers leave it."""
        checked = Checked()
        for op in ops:
            if op.f == "look" and op.type == "ok":
                checked.count("looks")
                self._check_total(_balances(op.value), f"event {op.completed}", checked)
            for f, account, value in op.value:
                if f in "rw" and op.type == "ok" and value is not None and value < 0:
                    checked.violated("negative balance", f"{account} is {value} (event {op.completed})")
        self._check_total(dict(final), "the end", checked)
        self._check_accounts(ops, final, checked)
        return checked

    def _look(self, rng: random.Random) -> Plan:
        if rng.random() < 0.5:
            return Plan("look", (("scan", self.prefix, None),), "read_only" if rng.random() < 0.8 else "transaction")
        accounts = rng.sample(self._accounts, self.keys)
        return Plan("look", tuple(("r", account, None) for account in accounts), "read_only")

    def _check_total(self, balances: Mapping[str, Any], where: str, checked: Checked) -> None:
        if len(balances) != self.keys or None in balances.values():
            checked.violated("missing account", f"{where}: only {sorted(balances)} are there, of {self.keys} accounts")
        elif sum(balances.values()) != self.keys * self.balance:
            checked.violated(
                "wrong total", f"{where}: {sum(balances.values())} of {self.keys * self.balance}: {balances}"
            )
        elif min(balances.values()) < 0:
            checked.violated("negative balance", f"{where}: {balances}")

    def _check_accounts(self, ops: Sequence[Operation], final: Mapping[str, Any], checked: Checked) -> None:
        """Unknown transfers may count or not: each account has a lowest and a highest balance that it may end with."""
        low = dict.fromkeys(self._accounts, self.balance)
        high = dict(low)
        for op in ops:
            for account, by in _moved(op):
                low[account] += by if op.type == "ok" else min(by, 0)
                high[account] += by if op.type == "ok" else max(by, 0)
        for account, balance in final.items():
            if not low[account] <= balance <= high[account]:
                allowed = f"what was acknowledged leaves {low[account]} to {high[account]}"
                checked.violated("lost write", f"{account} ends with {balance}, but {allowed}")

    @cached_property
    def _accounts(self) -> list[str]:
        return [f"{self.prefix}{number:03}" for number in range(self.keys)]

    @cached_property
    def _choice(self) -> KeyChoice:
        return KeyChoice(self.keys, self.skew)


def _balances(value: Sequence[Micro]) -> dict[str, Any]:
    """What a look saw."""
    if value and value[0][0] == "scan":
        return dict(value[0][2])
    return {account: balance for _, account, balance in value}


def _moved(op: Operation) -> list[tuple[str, int]]:
    """By how much the step changes which accounts, if it committed."""
    if op.f != "transfer" or op.type == "fail":
        return []
    if op.type == "info":
        (_, source, _), (_, sink, amount) = op.asked
        return [(source, -amount), (sink, amount)]
    read = {key: value for f, key, value in op.value if f == "r"}
    return [(key, value - read[key]) for f, key, value in op.value if f == "w"]
