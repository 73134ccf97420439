"""The mutants: deliberate bugs, each a replacement in one file, with the run of `mvcc-kv stress` that finds it.

A mutant is worth its place if it can be seen from outside: some client is told what the level, the feed or durability
forbids. Those that can't be seen by these means are named in docs/testing.md.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MUTANTS", "Mutant"]

IN_MEMORY = ("--embedded", "--in-memory")
KILLED = ("--nemesis", "kill")
CHECKPOINTED = (*KILLED, "--retain-seconds", "600", "--serve-option=--checkpoint-log-bytes=5000")
SERIALIZABLE = "serializable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A bug: in `file` of the package `old` becomes `new`; `workload`, `isolation` and `options` are what finds it."""

    name: str
    file: str
    old: str
    new: str
    workload: str
    isolation: str = "snapshot"
    options: tuple[str, ...] = IN_MEMORY
    seed: int = 1
    seconds: float = 3.0


MUTANTS = (
    Mutant(
        name="no conflict check",
        file="engine/home.py",
        old="        lost = clashes(transaction, self._versions, self._opened.recent)\n",
        new="        lost: dict[bytes, int] = {}\n",
        workload="list-append",
    ),
    Mutant(
        name="the first commit after the snapshot is no conflict",
        file="engine/validation.py",
        old="        if head is not None and head[0] > start_ts:\n            lost[key] = head[0]\n",
        new="        if head is not None and head[0] > start_ts + 1:\n            lost[key] = head[0]\n",
        workload="list-append",
    ),
    Mutant(
        name="only keys also read are checked",
        file="engine/validation.py",
        old="    for key in transaction.writes:\n",
        new="    for key in [it for it in transaction.writes if transaction.reads and it in transaction.reads]:\n",
        workload="predicate",
    ),
    Mutant(
        name="gets read the newest version",
        file="engine/versions.py",
        old="        if head is not None and head[0] > ts:\n            head = visible(head[2], ts)\n",
        new="",
        workload="pairs",
    ),
    Mutant(
        name="scans read the newest version",
        file="engine/index.py",
        old="value = head[1] if head[0] <= ts else seen(key, head)",
        new="value = head[1]",
        workload="predicate",
    ),
    Mutant(
        name="the read set is ignored",
        file="engine/validation.py",
        old="    if transaction.is_serializable and reads is not None and",
        new="    if False and reads is not None and",
        workload="write-skew",
        isolation=SERIALIZABLE,
    ),
    Mutant(
        name="a large read set is ignored",
        file="engine/validation.py",
        old="    for key in reads.keys:\n",
        new="    for key in reads.keys if len(reads.keys) < 5 else ():\n",
        workload="list-append",
        isolation=SERIALIZABLE,
        seconds=5.0,
    ),
    Mutant(
        name="ranges read are ignored",
        file="engine/validation.py",
        old="    for low, high in reads.ranges:\n",
        new="    for low, high in ():\n",
        workload="predicate",
        isolation=SERIALIZABLE,
    ),
    Mutant(
        name="only yielded keys are tracked",
        file="engine/transaction.py",
        old="            self._track_range(_covered(page, keys, reverse))\n",
        new="            for key, _ in page.items:\n                self._track(key)\n",
        workload="predicate",
        isolation=SERIALIZABLE,
    ),
    Mutant(
        name="empty ranges are not tracked",
        file="engine/transaction.py",
        old="        if tracked:\n            self._track_range(",
        new="        if tracked and page.items:\n            self._track_range(",
        workload="predicate",
        isolation=SERIALIZABLE,
        options=(*IN_MEMORY, "--clients", "24", "--pause-ms", "5"),
        seconds=5.0,
    ),
    Mutant(
        name="absent keys are not tracked",
        file="engine/transaction.py",
        old="        if tracked and not self.read_only:\n            reads = self.reads\n",
        new="        if tracked and not self.read_only and value is not None:\n            reads = self.reads\n",
        workload="list-append",
        isolation=SERIALIZABLE,
        options=(*IN_MEMORY, "--keys", "40", "--skew", "0"),
        seconds=10.0,
    ),
    Mutant(
        name="collection ignores the oldest snapshot",
        file="engine/snapshots.py",
        old="        if at == 0 or self._order[at - 1] < commit_ts:\n",
        new="        if at <= 1 or self._order[at - 1] < commit_ts:\n",
        workload="bank",
    ),
    Mutant(
        name="a commit is taken for one that meets nobody",
        file="engine/opened.py",
        old="        return transaction.id in self._newcomers and len(self._by_id) == 1 and",
        new="        return transaction.id in self._newcomers and",
        workload="bank",
        options=(*IN_MEMORY, "--no-feed"),  # a feed has to be told of commits
    ),
    Mutant(
        name="a deletion is no change to who has read the key",
        file="engine/validation.py",
        old="        if head is not None and head[0] > start_ts:\n            yield key, head[0]\n",
        new="        if head is not None and head[0] > start_ts and head[1] is not None:\n"
        "            yield key, head[0]\n",
        workload="write-skew",
        isolation=SERIALIZABLE,
    ),
    Mutant(
        name="a deletion is no change to who writes the key",
        file="engine/validation.py",
        old="        if head is not None and head[0] > start_ts:\n            lost[key] = head[0]\n",
        new="        if head is not None and head[0] > start_ts and head[1] is not None:\n"
        "            lost[key] = head[0]\n",
        workload="queue",
    ),
    Mutant(
        name="each page of a scan reads what is newest then",
        file="engine/transaction.py",
        old="        page = self._scan_at(self.start_ts, keys, ",
        new="        page = self._scan_at(getattr(self._store, 'visible_ts') if keys.start else self.start_ts, keys, ",
        workload="bank",
        options=(*IN_MEMORY, "--keys", "150", "--skew", "1"),
    ),
    Mutant(
        name="the past is read as it is now",
        file="engine/versions.py",
        old="        if head[0] <= ts or history is None or not history.has(key):\n",
        new="        if True:\n",
        workload="pairs",
    ),
    Mutant(
        name="own writes are missing in scans",
        file="engine/transaction.py",
        old="        if self.writes or self.added:\n            page = self._merged(",
        new="        if self.added:\n            page = self._merged(",
        workload="predicate",
    ),
    Mutant(
        name="a value that begins as the last one is taken for it",
        file="engine/transaction.py",
        old="        self.writes[key] = value\n\n    def delete",
        new='        if value[:100] != (self._get_at(self.start_ts, key) or b"")[:100]:\n'
        "            self.writes[key] = value\n\n    def delete",
        workload="list-append",
    ),
    Mutant(
        name="own writes are missing in gets",
        file="engine/transaction.py",
        old="        if key in self.writes:\n            return self.writes[key]\n        value = self._get_at",
        new="        value = self._get_at",
        workload="register",
    ),
    Mutant(
        name="of two blind writes of a key the first one counts",
        file="engine/transaction.py",
        old="        self.writes[key] = value\n\n    def delete",
        new="        if key not in self.writes or (self.reads is not None and key in self.reads.keys):\n"
        "            self.writes[key] = value\n\n    def delete",
        workload="register",
    ),
    Mutant(
        name="ADD overwrites what others have added",
        file="engine/home.py",
        old="{key: self._merged_sum(key, by) for key, by in transaction.added.items()}",
        new="{k: add_to(self._versions.get(transaction.start_ts, k), by) for k, by in transaction.added.items()}",
        workload="counters",
    ),
    Mutant(
        name="ADD after a read stays an ADD",
        file="engine/transaction.py",
        old="        if self.reads is not None and key in self.reads:\n            self.writes[key] = total\n",
        new="        if False:\n            self.writes[key] = total\n",
        workload="counters",
    ),
    Mutant(
        name="a rollback commits",
        file="engine/transaction.py",
        old="            self._open = False\n            self._store.rollback(self)\n",
        new="            lost = self.clash()\n            self._open = False\n"
        "            self._store.rollback(self) if lost else self._store.commit(self)\n",
        workload="list-append",
    ),
    Mutant(
        name="a conflict is reported, and applied all the same",
        file="engine/home.py",
        old="            raise ConflictError.lost_to(",
        new="            section.apply(self._merged(transaction))\n            raise ConflictError.lost_to(",
        workload="list-append",
    ),
    Mutant(
        name="tombstones are not logged",
        file="engine/section.py",
        old="log.append(commit_ts, writes, label",
        new="log.append(commit_ts, {k: v for k, v in writes.items() if v is not None}, label",
        workload="queue",
        options=KILLED,
        seconds=4.0,
    ),
    Mutant(
        name="a commit is torn in the log",
        file="engine/section.py",
        old="log.append(commit_ts, writes, label",
        new="log.append(commit_ts, dict([*writes.items()][:1]), label",
        workload="pairs",
        options=KILLED,
        seconds=4.0,
    ),
    Mutant(
        name="published before it is logged",
        file="engine/section.py",
        old="        if visible_at_once:\n            self.publish(commit_ts)\n",
        new="        self.publish(commit_ts)\n",
        workload="list-append",
        options=KILLED,
        seconds=8.0,
    ),
    Mutant(
        name="acknowledged before it is written",
        file="server/commits.py",
        old='        if self._fsync == "always":\n            self._submit(',
        new='        self._published(batch.last_ts)\n        if self._fsync == "always":\n            self._submit(',
        workload="list-append",
        options=KILLED,
        seconds=8.0,
    ),
    Mutant(
        name="acknowledged before fsync",
        file="server/commits.py",
        old="        self._log.write(batch)\n        self._log.sync()\n",
        new="        self._log.write(batch)\n",
        workload="list-append",
        options=("--nemesis", "power-loss"),
        seconds=4.0,
    ),
    Mutant(
        name="an fsync error is swallowed",
        file="durability/log.py",
        old="        self._files.sync_data(self._file)\n",
        new="        with contextlib.suppress(OSError):\n            self._files.sync_data(self._file)\n",
        workload="list-append",
        options=("--nemesis", "sync-error"),
        seconds=4.0,
    ),
    Mutant(
        name="errors of the log are swallowed",
        file="server/commits.py",
        old="            if error is None:\n                then()\n            else:\n"
        "                self._fail(error)\n",
        new="            then()\n",
        workload="list-append",
        options=("--nemesis", "disk-full"),
        seconds=5.0,
    ),
    Mutant(
        name="replay passes over a commit in forty",
        file="durability/recovery.py",
        old="        if record.commit_ts > self._checkpoint_ts:\n            self._replay",
        new="        if record.commit_ts > self._checkpoint_ts and record.commit_ts % 40:\n            self._replay",
        workload="queue",
        options=KILLED,
        seconds=4.0,
    ),
    Mutant(
        name="the server forgets what it committed",
        file="engine/outcomes.py",
        old="        commit_ts = self._commit_ts.get(token)\n        if commit_ts is None and after_ts is not None and",
        new="        commit_ts = None\n        if commit_ts is None and after_ts is not None and",
        workload="counters",
        options=("--nemesis", "cut", "--clients", "16"),
        seconds=8.0,
    ),
    Mutant(
        name="a start forgets the tokens of commits",
        file="durability/recovery.py",
        old="            self._recovery.tokens[commit.token] = record.commit_ts\n",
        new="            pass\n",
        workload="counters",
        options=("--nemesis", "kill", "--clients", "16"),
        seconds=10.0,
    ),
    Mutant(
        name="a client answers from what it has read before",
        file="client/store.py",
        old="            return self._repeatably(encode_get(key), decode_value_text)\n",
        new='            read = vars(self).setdefault("read", {})\n'
        "            return read.setdefault(key, self._repeatably(encode_get(key), decode_value_text))\n",
        workload="register",
        options=(),
        seconds=4.0,
    ),
    Mutant(
        name="the feed passes over commits",
        file="server/feed.py",
        old="            told = commit.under(self._prefix)\n",
        new="            told = commit.under(self._prefix) if commit.commit_ts % 50 else None\n",
        workload="bank",
        options=(),
        seconds=4.0,
    ),
    Mutant(
        name="the embedded feed passes over the last it fetched",
        file="engine/changes.py",
        old="            found = commit.under(self._prefix)\n",
        new="            found = commit.under(self._prefix) if self._fetched else None\n",
        workload="bank",
    ),
    Mutant(
        name="a checkpoint leaves out a key",
        file="durability/checkpoint.py",
        old="join_entries(page.items)",
        new="join_entries(page.items[1:])",
        workload="list-append",
        options=(*KILLED, "--serve-option=--checkpoint-log-bytes=20000"),
        seconds=6.0,
    ),
    Mutant(
        name="a checkpoint drops the log that the feed still needs",
        file="durability/log.py",
        old="needed_ts = checkpoint_ts if self._history is None else min(checkpoint_ts, self._history.base_ts)",
        new="needed_ts = checkpoint_ts",
        workload="list-append",
        options=CHECKPOINTED,
        seconds=8.0,
    ),
    Mutant(
        name="a start forgets what the commit of the checkpoint changed",
        file="durability/retention.py",
        old="commit.label, tuple(commit.writes)), superseded)",
        new="commit.label, () if commit_ts == self._checkpoint_ts else tuple(commit.writes)), superseded)",
        workload="list-append",
        options=CHECKPOINTED,
        seconds=8.0,
    ),
    Mutant(
        name="a feed does not say what is lost",
        file="engine/changes.py",
        old="    if from_ts < oldest_ts:\n        raise SnapshotGoneError(",
        new="    if from_ts < oldest_ts:\n        return oldest_ts\n        raise SnapshotGoneError(",
        workload="list-append",
        options=KILLED,
        seconds=8.0,
    ),
)
