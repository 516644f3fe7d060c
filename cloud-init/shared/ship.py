"""Ships log lines, of an edge and in pods of its server, to CloudWatch Logs in batches. For hosts and pods alike.

Whoever hands a line over never waits. Lines wait here while AWS does not answer, up to ROOM; then the oldest are
dropped, and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

EVERY = 5  # seconds between batches
ROOM = 8 << 20  # bytes, of lines of a third of a KB: minutes of a busy edge, an hour of a quiet one
BATCH_BYTES = 48 << 10
"""PutLogEvents takes 1 MiB, an argument of a command 128 KiB, and each quote of a line is two characters there."""
BATCH_LINES = 10_000
SPAN = 24 * 3_600_000 - 1
"""Milliseconds that the events of one call may span
(https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html)."""

Call = Callable[..., Mapping[str, Any]]
"""An action of CloudWatch Logs with its parameters. Raises RuntimeError, with AWS's words in it."""


class Shipper:
    """Lines on their way to one stream, which is made when it is missing.

    Args:
        call: of CloudWatch Logs.
        group: there already; its retention is not this one's business.
        stream: of this machine's edge alone.
        say: one line for whoever reads the agent's own log.
    """

    def __init__(self, call: Call, group: str, stream: str, say: Callable[[str], object]) -> None:
        self._call, self._say = call, say
        self._place = {"logGroupName": group, "logStreamName": stream}
        self._lines: deque[tuple[int, str]] = deque()
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._trouble = ""
        self._size = 0  # of all lines that wait
        self.shipped, self.dropped = 0, 0

    def add(self, line: bytes) -> None:
        """Takes a line of syslog; its JSON is what is shipped."""
        if (start := line.find(b"{")) < 0:
            return
        text = line[start:].decode(errors="replace")
        with self._lock:
            self._lines.append((time.time_ns() // 1_000_000, text))
            self._size += len(text)
            self._keep_to_the_room()

    def start(self) -> None:
        """Ships from now on, in a thread that ends with the process."""
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        while True:
            time.sleep(EVERY)
            self.flush()

    def flush(self) -> None:
        """Sends all that is there, as far as AWS takes it; the rest stays, unless it never will be taken."""
        with self._sending:
            while batch := self._batch():
                try:
                    self._send(batch)
                    self.shipped += len(batch)
                    self._trouble = ""
                except RuntimeError as error:
                    refused = "InvalidParameter" in str(error)
                    if self._trouble != (trouble := str(error).partition(":")[0]):
                        self._say(f"the log does not leave: {error}")
                        self._trouble = trouble
                    self._back([] if refused else batch, len(batch) if refused else 0)
                    return

    def _batch(self) -> list[tuple[int, str]]:
        """The oldest lines, as many as one call takes; they are here no more."""
        found: list[tuple[int, str]] = []
        size = 0
        with self._lock:
            while self._lines and len(found) < BATCH_LINES:
                moment, line = self._lines[0]
                size += len(line) + 26  # as AWS counts
                if found and (size > BATCH_BYTES or moment - found[0][0] > SPAN):
                    break
                found.append(self._lines.popleft())
                self._size -= len(line)
        return found

    def _back(self, batch: list[tuple[int, str]], lost: int) -> None:
        """Lines that were not taken come first again, where there still is room."""
        with self._lock:
            self.dropped += lost
            self._lines.extendleft(reversed(batch))
            self._size += sum(len(line) for _, line in batch)
            self._keep_to_the_room()

    def _keep_to_the_room(self) -> None:
        while self._size > ROOM:
            self._size -= len(self._lines.popleft()[1])
            self.dropped += 1

    def _send(self, batch: list[tuple[int, str]]) -> None:
        events = [{"timestamp": moment, "message": line} for moment, line in batch]
        try:
            self._call("PutLogEvents", **self._place, logEvents=events)
        except RuntimeError as error:
            if "ResourceNotFound" not in str(error):
                raise
            self._call("CreateLogStream", **self._place)
            self._call("PutLogEvents", **self._place, logEvents=events)

    def text(self) -> str:
        """What became of lines, in Prometheus' text format."""
        kinds = {"shipped": self.shipped, "dropped": self.dropped}
        return "".join(
            f"# TYPE tandem_edge_log_lines_{kind}_total counter\ntandem_edge_log_lines_{kind}_total {number}\n"
            for kind, number in kinds.items()
        )
