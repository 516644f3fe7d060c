"""A server between edge and vLLM that passes requests on, and at times gets into trouble with an answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

Trouble = Literal["refused inside", "ends early", "cut", "503", "500"]
REFUSAL = b'data: {"error": {"message": "busy", "type": "ServiceUnavailableError", "param": null, "code": 503}}\n\n'
BEGUN = b'data: {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "tiny", "choices": [{"index": 0,'
BEGUN += b' "delta": {"role": "assistant", "content": "half"}, "finish_reason": null}]}\n\n'
STREAMS = {
    "refused inside": (REFUSAL, b"data: [DONE]\n\n"),
    "ends early": (BEGUN,),
    "cut": (BEGUN, None),
}
"""What comes of a stream in trouble; None is a connection that breaks."""


@dataclass
class Troubled:
    """Its trouble, in the order of requests that are posted; then none.

    Stands for: a vLLM server that is full or dies while it answers; without trouble it passes on what vLLM says.
    Held by: tests/real/test_clients.py::test_trouble_looks_as_vllm_has_it,
        tests/real/test_full.py::test_trouble_refuses_inside_a_stream_as_vllm_does

    Attributes:
        first, each: seconds that an answer and each further event of a stream take at least.
    """

    port: int = 0
    trouble: deque[Trouble | None] = field(default_factory=deque)
    first: float = 0.0
    each: float = 0.0


@contextmanager
def troubled(vllm: int) -> Iterator[Troubled]:
    """In front of a server, while the block runs."""
    state = Troubled()

    class Handler(_Handler):
        told, behind = state, vllm

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    told: Troubled
    behind: int

    def do_GET(self) -> None:
        self.passed_on(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        trouble = self.told.trouble.popleft() if self.told.trouble else None
        if trouble is None:
            self.passed_on(body)
        elif trouble in STREAMS:
            self.head(200, "text/event-stream")
            for part in STREAMS[trouble]:
                if part is None:
                    self.close_connection = True
                    return
                self.chunk(part)
            self.chunk(b"")
        else:
            self.head(int(trouble), "application/json")
            self.chunk(b'{"error": {"message": "trouble", "code": %s}}' % trouble.encode())
            self.chunk(b"")

    def passed_on(self, body: bytes | None) -> None:
        due = time.monotonic() + self.told.first
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=300)
        connection.request(self.command, self.path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        self.head(answer.status, answer.getheader("Content-Type", ""))
        for line in answer:
            if line.startswith(b"data: "):
                time.sleep(max(0.0, due - time.monotonic()))
                due += self.told.each
            self.chunk(line)
        self.chunk(b"")
        connection.close()

    def head(self, status: int, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def log_message(self, format: str, *_: object) -> None:
        pass
