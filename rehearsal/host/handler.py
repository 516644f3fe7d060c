"""What the servers around a guest have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from pulumi_rehearsal.servers import serving

if TYPE_CHECKING:
    from rehearsal.host.cloud import Cloud


class Handler(BaseHTTPRequestHandler):
    """Answers from the state of the cloud, quietly."""

    cloud: Cloud
    protocol_version = "HTTP/1.1"

    def answer(
        self, status: int, body: bytes | str, kind: str = "text/plain", more: dict[str, str] | None = None
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def listening(kind: type[Handler], **attributes: Any) -> Iterator[int]:
    """Serves on a free port of 127.0.0.1, which it yields, with these attributes of the handler."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type(kind.__name__, (kind,), attributes))
    with serving(server):
        yield server.server_port
