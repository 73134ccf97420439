"""What concerns the conversation itself: PING, HELP, AUTH, QUIT."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from mvcc_kv.errors import AuthRequiredError, BadRequestError
from mvcc_kv.protocol import replies
from mvcc_kv.protocol.commands import Auth, Help, Ping, Quit
from mvcc_kv.protocol.usage import USAGE

if TYPE_CHECKING:
    from mvcc_kv.server.session import Session

__all__ = ["leave", "log_in", "ping", "usage"]


def ping(session: Session, _: Ping) -> bytes:
    return replies.PONG


def usage(session: Session, _: Help) -> bytes:
    return replies.result_reply(USAGE)


def log_in(session: Session, command: Auth) -> bytes:
    password = session.services.password
    if password is None:
        raise BadRequestError("this server has no password; go on without AUTH")
    if not compare_digest(password.encode(), command.password.encode()):
        raise AuthRequiredError("wrong password")
    session.is_locked = False
    return replies.result_reply("Authenticated")


def leave(session: Session, _: Quit) -> bytes:
    session.close()
    session.wants_to_close = True
    return replies.result_reply("Bye")
