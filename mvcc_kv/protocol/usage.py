"""What each verb takes: what HELP answers, and how the refusal of an argument ends."""

from __future__ import annotations

from mvcc_kv.errors import BadRequestError

__all__ = ["USAGE", "misuse"]

USAGE = {
    "PUT": 'PUT key value | PUT {"key": "k", "value": <any JSON>}: set a key; in the plain form the value is the '
    'rest of the line, a string; with an "id" of yours it is applied once, however often it is sent; '
    'with "ttl_s" the key is there for so many seconds',
    "GET": 'GET key | GET {"key": "k", "snapshot": false}: read a key; with "snapshot" true what others do to it '
    'is no conflict for this transaction; with "ttl" true the reply says for how many seconds it is there yet',
    "DEL": 'DEL key | DEL {"key": "k"}: delete a key; "id" as in PUT',
    "ADD": 'ADD {"key": "k", "by": 1}: add to a key\'s number, a missing one being 0; ADDs never conflict with each '
    'other; "id" as in PUT',
    "SCAN": 'SCAN {"prefix": "p", "start": "a", "end": "z", "limit": 100, "reverse": false, "keys_only": false}: '
    "list keys in order, start <= key < end; continue at `next` (as `start`, or as `end` in reverse); "
    '"snapshot" as in GET',
    "HISTORY": 'HISTORY key | HISTORY {"key": "k", "limit": 100, "before": 41}: the versions of a key, newest first; '
    'continue at `next` (as `before`); "snapshot" as in GET',
    "START": 'START | START {"isolation": "snapshot", "read_only": false, "at": 41, "label": "nightly"}: begin a '
    'transaction; isolation "snapshot" or "serializable"; with "at" it reads the state of that commit_ts; '
    '{"turn": "k", "lost": 1} begins after others that ask for their turn on k, those that lost more before those that '
    "lost less",
    "COMMIT": 'COMMIT | COMMIT {"id": "x", "durability": "default"}: apply the transaction; with {} the reply holds '
    'its commit_ts. Outside a transaction COMMIT {"id": "x", "after": 41} tells what became of the commit of that id',
    "ROLLBACK": "ROLLBACK: forget the transaction",
    "TRANSACTIONS": "TRANSACTIONS: those that are open, and what they hold",
    "KILL": 'KILL {"transaction": 7}: roll an open transaction back; TRANSACTIONS lists them',
    "STATS": "STATS: counters and sizes",
    "CHECKPOINT": "CHECKPOINT: write checkpoint.json now; answered when it is on disk",
    "BACKUP": 'BACKUP | BACKUP {"prefix": "p"}: every item of one snapshot, in as many reply lines as that takes; in '
    "the last one `next` is null",
    "CHANGES": 'CHANGES | CHANGES {"prefix": "p", "from": 41}: every commit after that one, or from now on, as a reply '
    "line each, until your next command",
    "PING": "PING: is somebody there?",
    "AUTH": 'AUTH password | AUTH {"password": "p"}: log in, where the server has a password',
    "HELP": "HELP: this list",
    "QUIT": "QUIT: close the connection; an open transaction is rolled back",
}


def misuse(verb: str, why: str) -> BadRequestError:
    """The refusal of a command whose argument is not what its verb takes."""
    return BadRequestError(f"{verb}: {why}. Usage: {USAGE[verb]}")
