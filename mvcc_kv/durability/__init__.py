"""Durability: how what was committed outlives the process.

    keeper.py       looks after one store's directory: load at the open, checkpoint on demand and at the close
    directory.py    the data directory: its lock, what it holds, and the one checkpoint being written
    checkpoint.py   a snapshot as the bytes of a checkpoint file, and back; pure
    entries.py      the many entries that it consists of; in C too
    records.py      the log's segments and records as bytes, and back; pure
    log.py          the write-ahead log: batches of commits, segments that come and go
    flushing.py     group commit, for embedded use; a server's is in server/commits.py
    recovery.py     what the log says happened after the checkpoint, and whether it can be believed
    single_puts.py  most of its commits, read in one go; in C too
    replay.py       what they are replayed on
    retention.py    what it says happened before that, where history is retained
    inspection.py   verify: with findings.py, what it says, and segments.py, what the log's segments are worth
    repairing.py    repair and restore
    replacing.py    a directory's content replaced, in steps that can be finished later
    backup.py       checkpoint files that are written and read elsewhere
    files.py        every operation on a file that this room makes: one seam, so that tests can make each one fail

A checkpoint is written from an MVCC snapshot while commits go on. It is whole or it isn't there:

    commits      ... 41    42    43    44    45 ...
    snapshot            at 42 ──────────────┐
    work          encode │ write │ encode │ write │ fsync │ rename │ fsync the directory
    on disk       checkpoint.json at 17 ─────────────────────────▶│ checkpoint.json at 42

Until the rename the work is in `checkpoint.json.tmp`, which nobody reads; a crash leaves it for the next checkpoint
to remove. Encoding only takes CPU time, in steps of a few hundred keys, and writing only takes the disk's, so a
server can do the one on its loop between clients and the other on a worker thread.

Two rules. A start that can't succeed changes nothing on disk: the lock is on the directory itself rather than on
a file in it, and a checkpoint that doesn't prove to be ours and whole is refused and left for people to look at.
And a checkpoint that fails is only that: the one before it stays, commits go on, and the next one starts afresh.
"""

from mvcc_kv.durability.checkpoint import Checkpoint, decode_checkpoint, encode_checkpoint
from mvcc_kv.durability.directory import CheckpointJob, DataDirectory
from mvcc_kv.durability.files import FileSystem, OsFileSystem
from mvcc_kv.durability.keeper import DirectoryKeeper, open_directory

__all__ = [
    "Checkpoint",
    "CheckpointJob",
    "DataDirectory",
    "DirectoryKeeper",
    "FileSystem",
    "OsFileSystem",
    "decode_checkpoint",
    "encode_checkpoint",
    "open_directory",
]
