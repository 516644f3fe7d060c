"""Servers that record what an edge sends them, and requests as they stand on the wire."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edge import KEY


@dataclass
class Backend:
    """Records each request line and header, answers at once or in slow chunks.

    Stands for: a vLLM server behind nginx.
    Held by: tests/real/test_engine.py::test_chunks_of_a_chat_arrive_one_by_one
    """

    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    port: int = 0


def start(backend: Backend) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            backend.seen.append((self.requestline, {k.lower(): v for k, v in self.headers.items()}, body))
            if b"stream" in body:
                return self.stream(0.6 if b"slow" in body else 0.2)
            if b"wait" in body:
                backend.hold.wait(20)
            answer = b'{"served": true}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return None

        do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

        def stream(self, pause: float) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(4):
                data = b"data: %d\n\n" % number
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
                time.sleep(pause)
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    backend.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@contextmanager
def recording(number: int) -> Iterator[list[Backend]]:
    """So many servers, which end with the block."""
    found = [Backend() for _ in range(number)]
    servers = [start(backend) for backend in found]
    yield found
    for backend, server in zip(found, servers, strict=True):
        backend.hold.set()
        server.shutdown()
        server.server_close()


AUTHORIZED = b"Authorization: Bearer %s\r\n" % KEY.encode()


def post(path: bytes, body: bytes = b"{}", headers: bytes = b"", method: bytes = b"POST") -> bytes:
    return b"%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s%sContent-Length: %d\r\n\r\n%s" % (
        method, path, AUTHORIZED, headers, len(body), body,
    )  # fmt: skip
