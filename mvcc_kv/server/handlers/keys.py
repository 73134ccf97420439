"""What is done with keys: GET, PUT, DEL, ADD, SCAN, HISTORY; in the open transaction, or else by themselves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mvcc_kv.errors import BadRequestError, KeyNotFoundError
from mvcc_kv.protocol import replies
from mvcc_kv.protocol.commands import Add, Delete, Get, History, Put, Scan
from mvcc_kv.server.scans import bounded_history, bounded_page

if TYPE_CHECKING:
    from mvcc_kv.server.session import Session

__all__ = ["add", "delete", "get", "history", "put", "scan"]


def get(session: Session, command: Get) -> bytes:
    if command.wants_ttl:
        return _get_with_ttl(session, command)
    if session.opened is not None:
        value = session.opened.transaction.get(command.key, tracked=command.tracked)
    else:
        value = session.services.store.get(command.key, session.seen_ts)
    if value is None:
        raise KeyNotFoundError(key=command.key.decode())
    return replies.pair_reply(command.key, value)


def _get_with_ttl(session: Session, command: Get) -> bytes:
    if session.opened is not None:
        found = session.opened.transaction.get_with_ttl(command.key, tracked=command.tracked)
    else:
        found = session.services.store.get_with_ttl(command.key, session.seen_ts)
    if found is None:
        raise KeyNotFoundError(key=command.key.decode())
    return replies.expiring_reply(command.key, *found)


def put(session: Session, command: Put) -> bytes:
    if session.opened is not None:
        _must_have_no_id(command.id)
        session.opened.transaction.put(command.key, command.value, ttl_s=command.ttl_s)
    else:
        session.services.store.put(command.key, command.value, command.id, ttl_s=command.ttl_s)
        session.wait_for(session.services.store.commit_ts)
    if command.ttl_s is not None:
        return replies.expiring_reply(command.key, command.value, command.ttl_s)
    return replies.pair_reply(command.key, command.value)


def delete(session: Session, command: Delete) -> bytes:
    if session.opened is not None:
        _must_have_no_id(command.id)
        was_there = session.opened.transaction.delete(command.key)
    else:
        was_there = session.services.store.delete(command.key, command.id)
        session.wait_for(session.services.store.commit_ts)
    if not was_there:
        raise KeyNotFoundError(key=command.key.decode())
    return replies.key_reply(command.key)


def add(session: Session, command: Add) -> bytes:
    if session.opened is not None:
        _must_have_no_id(command.id)
        session.opened.transaction.add(command.key, command.by)
        return replies.addend_reply(command.key, command.by)
    value = session.services.store.add(command.key, command.by, command.id)
    session.wait_for(session.services.store.commit_ts)
    return replies.pair_reply(command.key, value)


def scan(session: Session, command: Scan) -> bytes:
    if session.opened is not None:
        scan = partial(session.opened.transaction.scan, tracked=command.tracked)
    else:
        scan = partial(session.services.store.scan, seen_ts=session.seen_ts)
    scan = partial(scan, keys_only=command.keys_only)
    page, session.effort = bounded_page(scan, command.keys, limit=command.limit, reverse=command.reverse)
    return replies.page_reply(page, keys_only=command.keys_only)


def history(session: Session, command: History) -> bytes:
    if session.opened is not None:
        history = partial(session.opened.transaction.history, command.key, tracked=command.tracked)
    else:
        history = partial(session.services.store.history, command.key, seen_ts=session.seen_ts)
    page = bounded_history(history, limit=command.limit, before_ts=command.before_ts)
    session.effort = len(page.versions)
    return replies.history_reply(command.key, page)


def _must_have_no_id(token: str | None) -> None:
    if token is not None:
        raise BadRequestError("inside a transaction the id belongs to its COMMIT")
