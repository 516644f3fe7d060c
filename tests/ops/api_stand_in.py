"""A small server that stands in for the API as its clients see it: TLS, key, allow-list, OpenAI's answers.

It is not vLLM. Without flaws it does everything right; each flaw plants one surprise for `tandem smoke` to find.

Stands for: the API of a stack that is up, as `tandem smoke` asks it.
Held by: tests/real/test_strangers.py::test_smoke_finds_no_surprise (the same checks, of vLLM behind the edge),
    tests/real/test_pooling.py::test_smoke_finds_no_surprise (of what makes no tokens)
"""

from __future__ import annotations

import json
import math
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from posixpath import normpath
from typing import Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KEY = "sk-right-key-of-the-stand-in-0123456789"
MODEL = "stand-in/model"
LENGTH = 2048
CHAT, EMBEDDINGS, RERANK = "/v1/chat/completions", "/v1/embeddings", "/v1/rerank"
PATHS = {"generate": CHAT, "embed": EMBEDDINGS, "score": RERANK}


@dataclass
class Api:
    """The running server.

    Attributes:
        flaws: what it does wrong.
        ca_pem: its certificate, which signs itself.
        task: of its model.
        hung_up: streams whose client left before the end.
    """

    url: str
    ca_pem: str
    flaws: set[str] = field(default_factory=set)
    task: str = "generate"
    hung_up: int = 0


def certificate(days: float = 200) -> tuple[bytes, bytes]:
    """Key and certificate for 127.0.0.1, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem, signed.public_bytes(serialization.Encoding.PEM)


@contextmanager
def running(directory: Path, flaws: set[str] | None = None, days: float = 200, task: str = "generate") -> Iterator[Api]:
    """The server on 127.0.0.1, for the time of the block."""
    key, signed = certificate(days)
    (directory / "key.pem").write_bytes(key)
    (directory / "cert.pem").write_bytes(signed)
    api = Api("", signed.decode(), flaws or set(), task)

    class Handler(_Handler):
        served = api

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if "plain" not in api.flaws:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        if "old tls" in api.flaws:
            context.minimum_version = ssl.TLSVersion.TLSv1_1
            context.set_ciphers("ALL:@SECLEVEL=0")
        # The handshake belongs to the thread of its connection, or one bad client stops all others.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if "plain" in api.flaws else "https"
    api.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Api

    def handle(self) -> None:
        with suppress(OSError):  # a client that left, or could not agree on TLS
            super().handle()

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(json.loads(body or b"{}"))

    @property
    def flaws(self) -> set[str]:
        return self.served.flaws

    def answer(self, body: dict[str, Any]) -> None:
        if "dead after a hang-up" in self.flaws and self.served.hung_up:
            time.sleep(60)
        if "every path" in self.flaws or self.path in self.flaws:
            return self.reply(200, {"metrics": 1})
        path = self.path.partition("?")[0]
        if "resolves paths" in self.flaws:
            path = normpath(unquote(path))
            if path == "/metrics":
                return self.reply(200, {"metrics": 1})
        if path not in ("/v1/models", PATHS[self.served.task], *([CHAT] if "chats" in self.flaws else [])):
            return self.reply(404, {"error": {"message": "no such path"}})
        if not self.allowed():
            text = KEY if "tells the key" in self.flaws else "wrong key"
            return self.reply(401, {"error": {"message": text}})
        if path == "/v1/models":
            data = [] if "no model" in self.flaws else [{"id": MODEL, "max_model_len": LENGTH}]
            return self.reply(200, {"data": data})
        return self.chat(body) if path == CHAT else self.pooled(path, body)

    def pooled(self, path: str, body: dict[str, Any]) -> None:
        """Vectors or scores, the best first."""
        texts = body["input"] if path == EMBEDDINGS else body["documents"]
        if max(len(text.split()) for text in texts) > LENGTH and "reads on" not in self.flaws:
            return self.reply(400, {"error": {"message": "too long"}})
        vectors = [[1.0, 0.0 if "same vectors" in self.flaws else float(number)] for number in range(len(texts))]
        if "no numbers" in self.flaws:
            vectors[0][0] = math.nan
        found = [{"index": number, "relevance_score": 0.9 - number / 10} for number in range(len(texts))]
        if "worst first" in self.flaws:
            found.reverse()
        if "leaves texts out" in self.flaws:
            found.pop()
        data = {"data": [{"embedding": one} for one in vectors]} if path == EMBEDDINGS else {"results": found}
        return self.reply(200, {} if "empty" in self.flaws else data)

    def allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        if "any key" in self.flaws and given:
            return True
        if "no key" in self.flaws and not given:
            return True
        if "prefix of the key" in self.flaws and given.startswith(f"Bearer {KEY}"):
            return True
        return given == f"Bearer {KEY}"

    def chat(self, body: dict[str, Any]) -> None:
        text = body["messages"][0]["content"]
        tokens = len(text.split())
        if tokens > LENGTH:
            status = 500 if "fails on long prompts" in self.flaws else 400
            return self.reply(status, {"error": {"message": "too long"}})
        if tokens > 100 and "cuts prompts" in self.flaws:
            tokens = 10
        if body.get("stream"):
            try:
                return self.stream(body["max_tokens"])
            except OSError:
                self.served.hung_up += 1
                raise
        content = "hello"
        if "response_format" in body:
            content = '{"city": "Ulm"}' if "breaks the schema" in self.flaws else '{"city": "Ulm", "rating": 5}'
            content = "no JSON" if "ignores the schema" in self.flaws else content
        content = "" if "silent" in self.flaws else content
        usage = {} if "counts nothing" in self.flaws else {"prompt_tokens": tokens, "completion_tokens": 1}
        choices = [] if "no choices" in self.flaws else [{"message": {"content": content}}]
        return self.reply(200, {"choices": choices, "usage": usage})

    def stream(self, tokens: int) -> None:
        self.head(200, "application/json" if "stream of the wrong type" in self.flaws else "text/event-stream")
        if "refuses inside the stream" in self.flaws:
            self.wfile.write(b'data: {"error": {"message": "The engine is currently busy", "code": 503}}\n\n')
            tokens = 0
        # Long answers take their time, so that a client can hang up in the middle of one.
        pause = 0.01 if tokens > 100 else 0
        number = 2 if "puts the stream together" in self.flaws else tokens
        words = (json.dumps({"choices": [{"delta": {"content": str(index)}}]}) for index in range(number))
        events = [f"data: {word}\n\n".encode() for word in words]
        if "holds the stream back" in self.flaws:
            time.sleep(0.6)
            events = [b"".join(events)]
        for event in events:
            self.wfile.write(event)
            time.sleep(pause)
        if "no end of stream" not in self.flaws:
            self.wfile.write(b"data: [DONE]\n\n")

    def reply(self, status: int, value: Any) -> None:
        self.head(status, "application/json")
        self.wfile.write(json.dumps(value).encode())

    def head(self, status: int, content_type: str) -> None:
        self.send_response_only(status)
        self.send_header("Server", "nginx/1.27.1" if "tells its version" in self.flaws else "nginx")
        self.send_header("Content-Type", content_type)
        own = None if "no request id" in self.flaws else "0123abcd"
        given = None if "drops the request id" in self.flaws else self.headers.get("X-Request-Id")
        if given or own:
            self.send_header("X-Request-Id", given or str(own))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass
