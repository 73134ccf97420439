"""An oracle: the levels' definitions, for a few transactions, by trying every order."""

from __future__ import annotations

from itertools import permutations, product

from mvcc_kv.stress.checker.histories import Transaction

__all__ = ["BASES", "Oracle"]

BASES = ("read-atomic", "causal", "prefix", "parallel-snapshot-isolation", "snapshot-isolation", "serializable")

Edges = set[tuple[int, int]]


class Oracle:
    """The definitions, to the letter, by trying everything. -1 is the initial state.

    A write's value is its transaction's number and 1. `versions` are the orders of the keys' writers, where known.
    """

    def __init__(
        self, transactions: list[Transaction], order: str, versions: dict[str, list[int]] | None = None
    ) -> None:
        self.versions = versions
        self.them = range(len(transactions))
        self.reads = [[(key, (value or 0) - 1) for f, key, value in it.micros if f == "r"] for it in transactions]
        self.writes = [{key for f, key, _ in it.micros if f == "w"} for it in transactions]
        self.before: Edges = {
            (a, b)
            for a in self.them
            for b in self.them
            if (
                order == "session"
                and transactions[a].process == transactions[b].process
                and transactions[a].invoked_at < transactions[b].invoked_at
            )
            or (order == "realtime" and transactions[a].completed_at < transactions[b].invoked_at)
        }
        self.wr: Edges = {(writer, b) for b in self.them for _, writer in self.reads[b] if writer >= 0}

    def holds(self, base: str) -> bool:
        if base == "parallel-snapshot-isolation":
            return self.holds_in_parallel()
        if base in ("read-atomic", "causal"):
            return self.holds_up_to_causal(base)
        return self.can_run(base)

    def can_run(self, base: str) -> bool:
        """Some interleaving of the steps on a store, one version a key, reads what was read."""

        def may_write(it: int, store: dict[str, int]) -> bool:
            if self.versions is None:
                return True
            return all(
                [-1, *self.versions[key]][self.versions[key].index(it)] == store.get(key, -1) for key in self.writes[it]
            )

        def run(begun: frozenset[int], done: frozenset[int], store: dict[str, int]) -> bool:
            if len(done) == len(self.them):
                return True
            for it in self.them:
                if it not in begun:
                    if any(b == it and a not in done for a, b in self.before):
                        continue
                    if any(store.get(key, -1) != writer for key, writer in self.reads[it]):
                        continue
                    active = begun - done
                    if base == "snapshot-isolation" and any(self.writes[it] & self.writes[other] for other in active):
                        continue
                    if base == "serializable":
                        if may_write(it, store) and run(
                            begun | {it}, done | {it}, {**store, **dict.fromkeys(self.writes[it], it)}
                        ):
                            return True
                    elif run(begun | {it}, done, store):
                        return True
                elif (
                    it not in done
                    and may_write(it, store)
                    and run(begun, done | {it}, {**store, **dict.fromkeys(self.writes[it], it)})
                ):
                    return True
            return False

        return run(frozenset(), frozenset(), {})

    def holds_up_to_causal(self, base: str) -> bool:
        """Biswas and Enea's axioms, for every commit order."""
        seen = self.before | self.wr
        if base == "causal":
            seen = closure(seen)
        for order in permutations(self.them):
            place = {it: at for at, it in enumerate(order)} | {-1: -1}
            if any(place[a] >= place[b] for a, b in self.before | self.wr | self.ww()):
                continue
            if all(
                place[other] < place[writer]
                for reader in self.them
                for key, writer in self.reads[reader]
                for other in self.them
                if other != writer and key in self.writes[other] and (other, reader) in seen
            ):
                return True
        return False

    def ww(self) -> Edges:
        """Each two writers of a key whose order is known."""
        known = self.versions or {}
        return {(a, b) for writers in known.values() for i, a in enumerate(writers) for b in writers[i + 1 :]}

    def holds_in_parallel(self) -> bool:
        """For some order of each key's writers, what is seen has none missing, and goes in no circle."""
        keys = sorted(set().union(*self.writes))
        for orders in product(*(permutations([it for it in self.them if key in self.writes[it]]) for key in keys)):
            place = {(key, it): at for key, order in zip(keys, orders, strict=True) for at, it in enumerate(order)}
            if self.versions is not None and any(
                self.versions[key] != [*order] for key, order in zip(keys, orders, strict=True)
            ):
                continue
            ww = {(a, b) for order in orders for i, a in enumerate(order) for b in order[i + 1 :]}
            seen = closure(self.before | self.wr | ww)
            if any(a == b for a, b in seen):
                continue
            if not any(
                (other, reader) in seen and place[key, other] > place.get((key, writer), -1)
                for reader in self.them
                for key, writer in self.reads[reader]
                for other in self.them
                if key in self.writes[other] and other != reader
            ):
                return True
        return False


def closure(edges: Edges) -> Edges:
    closed = set(edges)
    while True:
        more = {(a, d) for a, b in closed for c, d in closed if b == c} - closed
        if not more:
            return closed
        closed |= more
