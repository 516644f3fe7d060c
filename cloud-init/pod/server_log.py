"""The server's lines on their way to the agent beside its edge. vLLM loads this by its logging configuration."""

from __future__ import annotations

import logging
import logging.handlers

MOST = 60_000
"""Bytes of a line; a datagram holds 65,507."""
KEPT = 4_000
"""Characters of a text in a line that is cut; one takes up to twelve bytes of JSON."""


class ToAgent(logging.handlers.SysLogHandler):
    """A datagram a line, which waits for nobody: while the agent is away these lines are lost, and nothing else is."""

    append_nul = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port))

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if len(line.encode()) <= MOST:
            return line
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else record.exc_text
        short = {"msg": _cut(record.getMessage()), "args": None, "exc_info": None, "stack_info": None}
        return super().format(logging.makeLogRecord({**record.__dict__, **short, "exc_text": trace and _cut(trace)}))

    def handleError(self, record: logging.LogRecord) -> None:
        """Says nothing: the console has the line."""


def _cut(text: str) -> str:
    """Both ends of a long text: what it is about, and how it ends."""
    half = KEPT // 2
    return text if len(text) <= KEPT else f"{text[:half]} [{len(text) - KEPT} characters] {text[-half:]}"
