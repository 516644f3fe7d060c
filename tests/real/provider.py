"""Amazon Bedrock's Converse API, as far as a fallback asks it, on 127.0.0.1."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from pulumi_rehearsal.servers import QuietServer, serving

PATH = re.compile(r"/model/(?P<model>.+)/(?P<operation>converse|converse-stream)")
SAYS = "the cloud"
USAGE = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}


@dataclass
class ProviderStub:
    """Answers each request alike, and keeps which models were asked.

    Stands for: Amazon Bedrock.
    Held by: tests/real/test_gateway.py::test_the_cloud_speaks_as_its_sdk_reads

    Attributes:
        signed: `Authorization` of each.
    """

    port: int = 0
    asked: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)


def event(kind: str, payload: dict[str, Any]) -> bytes:
    """One of AWS's event streams: lengths, headers, payload, and a checksum of each part."""
    headers = b""
    for name, value in ((":event-type", kind), (":content-type", "application/json"), (":message-type", "event")):
        headers += struct.pack("B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
    body = json.dumps(payload).encode()
    prelude = struct.pack(">II", len(headers) + len(body) + 16, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def events() -> bytes:
    return b"".join(
        (
            event("messageStart", {"role": "assistant"}),
            event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": SAYS}}),
            event("contentBlockStop", {"contentBlockIndex": 0}),
            event("messageStop", {"stopReason": "end_turn"}),
            event("metadata", {"usage": USAGE, "metrics": {"latencyMs": 1}}),
        )
    )


def answer() -> bytes:
    said = {"message": {"role": "assistant", "content": [{"text": SAYS}]}}
    return json.dumps({"output": said, "stopReason": "end_turn", "usage": USAGE, "metrics": {"latencyMs": 1}}).encode()


@contextmanager
def provider_stub() -> Iterator[ProviderStub]:
    """Until the block ends."""
    state = ProviderStub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            found = PATH.fullmatch(unquote(self.path))
            assert found, self.path
            state.asked.append(found["model"])
            state.signed.append(self.headers["Authorization"])
            streamed = found["operation"] == "converse-stream"
            body = events() if streamed else answer()
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.amazon.eventstream" if streamed else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Handler)
    state.port = server.server_port
    with serving(server):
        yield state
