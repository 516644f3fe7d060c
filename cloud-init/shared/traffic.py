"""Counts an edge's requests by client, from the lines of its access log. For hosts and pods alike.

nginx sends each line as a datagram of syslog to the loopback interface, and so never waits; on the same port the counts
are read by HTTP, in Prometheus' text format. A line that is lost is a request that is not counted and not shipped, and
nothing else.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ship import Shipper

BOUNDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Seconds: from a short prompt's first token to the longest answer."""
ENDS = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
MOST, OTHER = 200, "tandem-other"
"""Clients that are counted by name, those that came first, and who all others are. A client is some 40 lines: so many
are 8,000 on each edge, half a MB, which a Prometheus still takes every 30 s; more would be most of what it holds."""
REFUSED = {401: "key", 403: "model", 429: "rate", 503: "full"}
"""Why, by status; of 429 what `_reason` does not know better."""
NAMES = {"seconds": "tandem_edge_request_seconds", "first_byte": "tandem_edge_first_byte_seconds"}
"""Of a line's fields, as histograms."""
NAME = re.compile("[a-z0-9-]*").fullmatch
GATHERING = 0.005
"""Seconds for which lines gather: a busy edge wakes who counts 200 times a second, not with each request, which would
wait for it. The kernel's 208 KiB for a socket hold some 330 lines, 66,000 requests a second."""


def _reason(entry: Mapping[str, Any], client: str, status: int, answered: bool) -> str:
    """Why a request was refused: key, model, rate, streams, full; empty where it was not. A server that is full may
    answer 429, too."""
    if status != 429:
        return REFUSED.get(status, "")
    if answered:
        return "full"
    return ("streams" if entry.get("limit_conn") == "REJECTED" else "rate") if client else "key"


def _counter(name: str, labels: tuple[str, ...], numbers: Mapping[tuple[Any, ...], int]) -> list[str]:
    """A family of the text format."""
    rows = (
        (",".join(f'{label}="{value}"' for label, value in zip(labels, values, strict=True)), number)
        for values, number in sorted(numbers.items())
    )
    return [f"# TYPE {name} counter", *(f"{name}{{{said}}} {number}" for said, number in rows)]


class Counts:
    """What was counted since the start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: set[str] = set()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[tuple[str]] = Counter()
        self._buckets: Counter[tuple[str, str, int]] = Counter()
        self._sums: Counter[tuple[str, str]] = Counter()

    def add(self, line: bytes) -> None:
        """Counts a request by its line; what is no line is nothing."""
        try:
            entry = json.loads(line[line.index(b"{") :])
            client, status, sent = entry["client"], int(entry["status"]), int(entry["bytes"])
            if not NAME(client):
                return
            said = ((field, str(entry[field]).rpartition(" ")[2]) for field in NAMES)
            times = {field: float(text) for field, text in said if text not in ("", "-")}
            reason = _reason(entry, client, status, "first_byte" in times)
        except (ValueError, KeyError, TypeError):
            return
        with self._lock:
            if client not in self._names and len(self._names) >= MOST:
                client = OTHER
            self._names.add(client)
            self._requests[client, status] += 1
            self._bytes[client,] += sent
            if reason:
                self._refused[client, reason] += 1
            for field, seconds in times.items():
                self._sums[field, client] += seconds  # type: ignore[assignment]
                self._buckets[field, client, bisect_left(BOUNDS, seconds)] += 1

    def statuses(self) -> dict[int, int]:
        """Requests by status."""
        with self._lock:
            found: Counter[int] = Counter()
            for (_, status), number in self._requests.items():
                found[status] += number
        return dict(found)

    def text(self) -> str:
        """Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
        with self._lock:
            requests, refused, sent = dict(self._requests), dict(self._refused), dict(self._bytes)
            buckets, sums = dict(self._buckets), dict(self._sums)
        lines = [
            *_counter("tandem_edge_requests_total", ("client", "code"), requests),
            *_counter("tandem_edge_refused_total", ("client", "reason"), refused),
            *_counter("tandem_edge_sent_bytes_total", ("client",), sent),
        ]
        for field, name in NAMES.items():
            lines.append(f"# TYPE {name} histogram")
            for client in sorted(client for one, client in sums if one == field):
                number = 0
                for place, end in enumerate(ENDS):
                    number += buckets.get((field, client, place), 0)
                    lines.append(f'{name}_bucket{{client="{client}",le="{end}"}} {number}')
                lines.append(f'{name}_sum{{client="{client}"}} {sums[field, client]:.3f}')
                lines.append(f'{name}_count{{client="{client}"}} {number}')
        return "\n".join(lines) + "\n"


def listen(
    port: int,
    log: Shipper | None = None,
    more: Callable[[], str] = str,
    also: Callable[[bytes], object] = lambda _line: None,
) -> Counts:
    """Begins to count what comes, in threads of its own, which end with the process.

    Args:
        log: takes each line, too.
        more: metrics of somebody else's, for who reads the counts.
        also: takes each line as well.
    """
    counts = Counts()
    lines = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    lines.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)  # the kernel gives what it allows
    lines.bind(("127.0.0.1", port))

    def take() -> None:
        while True:
            select.select([lines], [], [])
            time.sleep(GATHERING)
            with contextlib.suppress(BlockingIOError):
                while True:
                    line = lines.recv(65536, socket.MSG_DONTWAIT)
                    counts.add(line)
                    also(line)
                    if log:
                        log.add(line)

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (counts.text() + (log.text() if log else "") + more()).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    asked = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    for work in (take, asked.serve_forever):
        threading.Thread(target=work, daemon=True).start()
    return counts
