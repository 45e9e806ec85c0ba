"""How log records become lines: `key=value` for people, JSON for collectors.

A cycle's record carries its fields in `fields`; the sentence of the decision is the message.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import msgspec


def set_up(level: str, style: str) -> None:
    """All records to stderr. Libraries speak from WARNING on; the operator from `level`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONLines() if style == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("savedmodel_operator").setLevel(level)


class JSONLines(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """time, level, logger, message, the record's fields, stack."""
        entry: dict[str, Any] = {
            "time": _stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["stack"] = self.formatException(record.exc_info)
        return msgspec.json.encode(entry, enc_hook=str).decode()


class TextLines(logging.Formatter):
    """`time LEVEL sentence key=value …`, the stack below."""

    def format(self, record: logging.LogRecord) -> str:
        """Fields without a value are left out."""
        words = [_stamp(record), record.levelname, record.getMessage()]
        words += [f"{k}={_quoted(v)}" for k, v in _fields(record).items() if v not in (None, [])]
        line = _one_line(" ".join(words))
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _one_line(text: str) -> str:
    """Sentences quote what others wrote: that must neither forge a line nor steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _quoted(value: object) -> str:
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return f'"{text}"' if " " in text else text


def _stamp(record: logging.LogRecord) -> str:
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{clock}.{int(record.msecs):03d}Z"
