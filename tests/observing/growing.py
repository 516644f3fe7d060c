"""Recorded metrics that count on."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from pulumi_rehearsal.servers import QuietServer, serving

NAMES = ("metrics.txt", "gpus.txt")
POD, GPUS = ((Path(__file__).parent / "recorded" / name).read_text() for name in NAMES)
RECORDED = POD + GPUS
"""Of a pod, which is a server, the counts of its edge and its canary; and what a host tells of its GPUs beside."""
COUNTS = re.compile(r"(?m)^(\S+_(?:total|bucket|sum|count)(?:{.*})?) (\S+)$")


@contextmanager
def growing(text: str = RECORDED) -> Iterator[int]:
    """Answers so on a port, which it yields, each time with more.

    Stands for: a pod or a host of which the recorded answer was one, a second later each time.
    Held by: tests/real/test_observed.py::test_the_recording_is_of_such_a_pod
    """
    asked = itertools.count(1)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            more = 1 + next(asked) / 10
            grown = COUNTS.sub(lambda found: f"{found[1]} {float(found[2]) * more}", text)
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(grown.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Answer)
    with serving(server):
        yield server.server_port
