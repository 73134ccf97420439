"""What concerns the store as a whole: STATS, CHECKPOINT, BACKUP, CHANGES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mvcc_kv.api import TransactionOptions
from mvcc_kv.engine.changes import feed_begin
from mvcc_kv.errors import BadRequestError, Error
from mvcc_kv.protocol import commands, replies
from mvcc_kv.server.backup import Backup
from mvcc_kv.server.feed import Feed

if TYPE_CHECKING:
    from mvcc_kv.server.session import Session

__all__ = ["backup", "changes", "checkpoint", "stats"]


def stats(session: Session, _: commands.Stats) -> bytes:
    return replies.result_reply(session.services.stats())


def checkpoint(session: Session, _: commands.Checkpoint) -> None:
    def answer(outcome: int | Error) -> None:
        if isinstance(outcome, Error):
            session.answer_later(replies.error_reply(outcome))
        else:
            session.answer_later(replies.result_reply({"checkpoint_ts": outcome}))

    session.services.checkpoint(answer)


def backup(session: Session, command: commands.Backup) -> bytes:
    if session.opened is not None:
        raise BadRequestError("BACKUP has a snapshot of its own; COMMIT or ROLLBACK this transaction first")
    options = TransactionOptions(read_only=True, label="BACKUP")
    snapshot = session.services.store.begin(options, session.seen_ts, client=session.client)
    session.wait_for(snapshot.start_ts)
    return session.begin_stream(Backup(snapshot, command.keys))


def changes(session: Session, command: commands.Changes) -> bytes:
    if session.opened is not None:
        raise BadRequestError("CHANGES tells of others' commits; COMMIT or ROLLBACK this transaction first")
    services = session.services
    from_ts = feed_begin(
        services.store, command.from_ts, bytes_max=services.changes_buffer_bytes, seen_ts=session.seen_ts
    )
    session.wait_for(from_ts)
    return session.begin_stream(Feed(services.store, command.prefix, from_ts, services.clock))
