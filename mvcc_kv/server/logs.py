"""Structured logs on standard error: an event and its facts, as text for people or as JSON lines for programs.

2026-01-31T12:00:00.000Z INFO connection refused peer=127.0.0.1:51234 connections_max=10000
{"time": "2026-01-31T12:00:00.000Z", "level": "INFO", "event": "connection refused", "peer": "127.0.0.1:51234"}
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

__all__ = ["LogFormat", "configure", "event", "logger"]

LogFormat = Literal["text", "json"]
logger = logging.getLogger("mvcc_kv")


def event(level: int, name: str, /, **facts: Any) -> None:
    """Log an event with its facts."""
    if logger.isEnabledFor(level):
        logger.log(level, name, extra={"facts": facts}, exc_info=facts.pop("exc_info", None))


def configure(log_format: LogFormat, level: str, stream: TextIO = sys.stderr) -> None:
    """Send the server's logs to `stream`, replacing what was configured before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    logger.handlers[:] = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    facts: dict[str, Any] = getattr(record, "facts", {})
    return facts


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {name}={_quoted(fact)}" for name, fact in _facts(record).items())
        line = f"{_time(record)} {record.levelname} {record.getMessage()}{facts}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quoted(fact: Any) -> str:
    text = str(fact)
    return text if text and text.isprintable() and not set(text) & set(' "=') else json.dumps(text, ensure_ascii=False)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {"time": _time(record), "level": record.levelname, "event": record.getMessage(), **_facts(record)}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
