"""A server's lines on their way to the agent: by datagrams, cut where one would not hold them, and never in its way.

The formatter is a plain one of JSON here; the file with vLLM's own is in tests/real/test_pod_log.py.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator

import pytest
import server_log


class Formatter(logging.Formatter):
    """Stands for: python-json-logger's. Held by: tests/real/test_pod_log.py."""

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else record.exc_text
        found = {"levelname": record.levelname, "message": record.getMessage(), "exc_info": trace}
        return json.dumps({name: value for name, value in found.items() if value})


@pytest.fixture
def agent() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines:
        lines.bind(("127.0.0.1", 0))
        lines.settimeout(10)
        yield lines


def logger(port: int) -> logging.Logger:
    handler = server_log.ToAgent(port)
    handler.setFormatter(Formatter())
    found = logging.Logger("vllm")
    found.addHandler(handler)
    return found


def received(lines: socket.socket) -> dict[str, str]:
    data = lines.recv(65536)
    return json.loads(data[data.index(b"{") :])


def test_a_line_is_a_datagram_of_json(agent: socket.socket) -> None:
    logger(agent.getsockname()[1]).info("Added request %s.", "cmpl-r-1-0")
    assert received(agent) == {"levelname": "INFO", "message": "Added request cmpl-r-1-0."}


@pytest.mark.parametrize("letter", ["x", '"', "\x00", "é", "😀"])
def test_a_line_that_no_datagram_holds_is_cut_and_stays_json(agent: socket.socket, letter: str) -> None:
    log = logger(agent.getsockname()[1])
    log.info("begins %s ends", letter * 70_000)
    found = received(agent)["message"]
    assert found.startswith("begins ")
    assert found.endswith(" ends")
    assert f"[{70_012 - server_log.KEPT} characters]" in found
    try:
        raise RuntimeError(letter * 70_000)
    except RuntimeError:
        log.exception("the engine died")
    found = received(agent)
    assert found["message"] == "the engine died"
    assert found["exc_info"].startswith("Traceback")
    assert "characters]" in found["exc_info"]


def test_a_line_that_a_datagram_holds_is_whole(agent: socket.socket) -> None:
    logger(agent.getsockname()[1]).info("x" * 50_000)
    assert received(agent)["message"] == "x" * 50_000


def test_an_agent_that_is_away_or_asleep_holds_up_nobody(
    agent: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    asleep = logger(agent.getsockname()[1])  # nobody reads
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        away = logger(gone.getsockname()[1])
    start = time.monotonic()
    for _ in range(5000):
        asleep.info("x" * 1000)
        away.info("x" * 1000)
    assert time.monotonic() - start < 20
    (handler,) = away.handlers
    assert isinstance(handler, server_log.ToAgent)
    handler.socket.close()
    away.info("not even its own socket stops it")
    said = capsys.readouterr()  # other tests' servers may still speak
    assert said.out == ""
    assert "Logging error" not in said.err
