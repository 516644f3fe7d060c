"""What must not reach a server: paths, methods, bytes and requests as they stand on the wire."""

# ruff: noqa: E501  tables of requests read best with a request a line
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import stacks
from edge import KEY
from recording import AUTHORIZED, post

ALLOWED = [
    "POST /v1/chat/completions", "POST /v1/completions", "POST /v1/responses", "GET /v1/models",
    "POST /v1/chat/completions?stream=true", "POST /v1/responses/resp_0123-abc", "GET /v1/responses/resp_0123-abc",
]  # fmt: skip


def wide(config: Any = None) -> Any:
    """A host's configuration with limits that no test reaches, so that what is refused is refused for its path."""
    config = config or stacks.config("dev")
    edge = replace(
        config.edge,
        requests_per_second=10_000,
        connections=10_000,
        unknown_per_second=10_000,
        trusted_proxies=["127.0.0.1"],
        paths=[*config.edge.paths, "/v1/responses/*"],
    )
    return replace(config, edge=edge)


# What vLLM 0.32.0 answers without a key, and what its development mode adds.
OPEN = [
    "/invocations", "/tokenize", "/detokenize", "/generative_scoring", "/scale_elastic_ep", "/metrics", "/health",
    "/ping", "/load", "/version", "/docs", "/openapi.json", "/redoc", "/sleep", "/wake_up", "/collective_rpc",
    "/update_weights", "/pause", "/server_info", "/reset_prefix_cache", "/start_profile", "/v2/rerank", "/inference/v1",
    "/cohere/v1", "/", "/v1", "/v1/", "/v1/load_lora_adapter", "/v1/audio/transcriptions", "/healthz/", "/upstream.conf",
    "/is_scaling_elastic_ep", "/is_sleeping", "/is_paused", "/resume", "/reset_mm_cache", "/reset_encoder_cache",
    "/stop_profile", "/v1/embeddings", "/pooling", "/classify", "/score", "/rerank", "/v1/score", "/v1/rerank", "/v1/messages",
    "/v1/messages/count_tokens", "/v1/audio/translations", "/v1/realtime", "/v1/unload_lora_adapter", "/v2/embed",
    "/v1/completions/render", "/v1/chat/completions/render", "/inference/v1/generate", "/docs/oauth2-redirect",
    "/tokenizer_info", "/init_weight_transfer_engine", "/get_world_size", "/abort_requests", "/metrics/", "/health/",
    "/kv_event_sources", "/v1/systemone", "/v1/chat/completions/batch", "/v1/responses/resp_0123-abc/cancel",
    "/v1/messages/render", "/v1/chat/completions/derender", "/v1/completions/derender",
    "/inference/v1/abort_requests",
    "/clients", "/unread", "/unknown", "/@error", "/keys", "/keys/", "/edge.js", "/nginx.conf", "/kept.json", "/www/healthz",
]  # fmt: skip
TRICKS = [
    "//invocations", "/v1//chat/completions", "//v1/chat/completions", "/v1/chat/completions/", "/v1/../invocations",
    "/v1/chat/completions/../../../invocations", "/v1/chat/completions/..%2f..%2f..%2finvocations",
    "/%69nvocations", "/v1/%63hat/completions", "/v1/chat%2fcompletions", "/v1%2fchat%2fcompletions",
    "/v1/%2e%2e/invocations", "/v1/%2E%2E/metrics", "/v1/.%2e/metrics", "/v1/chat/completions%2f..%2f..%2f..%2fmetrics",
    "/v1/chat/completions;/../../../invocations", "/v1/chat/completions;x=1", "/invocations;/v1/chat/completions",
    "/V1/chat/completions", "/v1/Chat/Completions", "/INVOCATIONS", "/v1/chat/completions%00", "/v1/chat/completions%0a",
    "/v1/chat/completions%20", "/v1/chat/completions%3f", "/v1/chat/completions%23", "/v1/chat/completions#",
    "/v1\\chat\\completions", "/invocations?/v1/chat/completions", "/metrics?x=/v1/models", "/v1/models/../../metrics",
    "/v1/responses/..", "/v1/responses/../../metrics", "/v1/responses/a/b", "/v1/responses/%2e%2e", "/v1/responses/",
    "/v1/responses/a%2fb", "/v1/chat/completions/%c0%ae%c0%ae/metrics", "/./v1/chat/completions", "/v1/./models",
    "/v1/..%2fmetrics", "//metrics", "/v1/models;/../metrics", "/v1/models/.", "/v1/models/..", "/v1/models/%2e", "/..;/metrics", "/v1/..;/metrics", "/v1/models%252f", "/v1/models\t",
    "/%2fmetrics", "/%2e/metrics", "/v1/models%0d%0aX:1", "/v1/mod\xe9ls", "/v1/%ff", "/v1/models&x=1", "/metrics#/v1/models",
]  # fmt: skip
PATHS = [*OPEN, *TRICKS]
METHODS = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "post"]


def unlisted(method: str) -> Iterator[tuple[str, bytes]]:
    """Each path with a method, asked with a key that is known."""
    for path in PATHS:
        yield path, post(path.encode("latin-1"), b"", method=method.encode())


def suffixed(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Each byte behind a path, as it is and as an escape."""
    method = b"GET" if path == "/v1/models" else b"POST"
    for number in range(256):
        for suffix in (bytes([number]), b"%%%02x" % number):
            yield suffix, post(path.encode() + suffix, method=method)


HARMLESS = (b"?", b" ")
"""Of the suffixes: a question mark begins the query, and a space ends the path."""


def odd(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    """A request with a key that is known, and what is wrong with it."""
    return b"\r\n".join((line, b"Host: x", AUTHORIZED.strip(), *headers, b"Connection: close", b"", body))


MODELS, CHAT, CLOSED = b"GET /v1/models HTTP/1.1", b"POST /v1/completions HTTP/1.1", b"GET /metrics HTTP/1.1"
CHUNKED = b"Transfer-Encoding: chunked"
NEXT = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"

REQUESTS = {
    "HTTP/1.0": b"POST /invocations HTTP/1.0\r\n\r\n",
    "HTTP/0.9": b"GET /metrics\r\n",
    "absolute URI": b"GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "absolute URI that looks listed": odd(b"GET http://v1/v1/models/../../metrics HTTP/1.1"),
    "absolute URI of the server": odd(b"GET http://127.0.0.1:8001/metrics HTTP/1.1"),
    "absolute URI with a user": odd(b"GET http://v1@127.0.0.1/metrics HTTP/1.1"),
    "absolute URI without a path": odd(b"GET http://127.0.0.1 HTTP/1.1"),
    "absolute URI of a file": odd(b"GET file:///etc/passwd HTTP/1.1"),
    "authority": b"GET metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "asterisk": odd(b"OPTIONS * HTTP/1.1"),
    "a tunnel": odd(b"CONNECT 127.0.0.1:8001 HTTP/1.1"),
    "line feeds alone": b"GET /metrics HTTP/1.1\nHost: x\nConnection: close\n\n",
    "tabs between": odd(b"GET\t/metrics\tHTTP/1.1"),
    "two paths": odd(b"GET /metrics /v1/models HTTP/1.1"),
    "words after the version": odd(MODELS + b" x"),
    "version 2.0": odd(b"GET /v1/models HTTP/2.0"),
    "version 9.9": odd(b"GET /v1/models HTTP/9.9"),
    "version in lower case": odd(b"GET /v1/models http/1.1"),
    "no host": b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": odd(MODELS, b"Host: b"),
    "a host with a path": b"GET /v1/models HTTP/1.1\r\nHost: x/v1\r\n%s\r\n" % AUTHORIZED,
    "a host with a null": b"GET /v1/models HTTP/1.1\r\nHost: x\0y\r\n%s\r\n" % AUTHORIZED,
    "two keys": odd(MODELS, AUTHORIZED.strip()),
    "space in a header's name": b"GET /v1/models HTTP/1.1\r\nHost : x\r\nConnection: close\r\n\r\n",
    "space before a header's name": odd(MODELS, b" X: y"),
    "a header without a name": odd(MODELS, b": y"),
    "a null in a header": odd(MODELS, b"X: a\0b"),
    "a null in a header's name": odd(MODELS, b"X\0: a"),
    "a null byte": b"GET /v1/mod\0els HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "a carriage return in a header": odd(MODELS, b"X: a\rY: b"),
    "a folded header": odd(MODELS, b"X: a\r\n b"),
    "a folded encoding": odd(CHAT, b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"),
    "rewritten by a header": odd(b"GET /x HTTP/1.1", b"X-Original-URL: /v1/models", b"X-Rewrite-URL: /metrics"),
    "another method by a header": odd(b"DELETE /metrics HTTP/1.1", b"X-HTTP-Method-Override: GET"),
    "websocket": odd(
        CLOSED, b"Upgrade: websocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13"
    ),
    "websocket to a route of vLLM": odd(
        b"GET /v1/realtime HTTP/1.1", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"
    ),
    "h2c": odd(CLOSED, b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    "HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "TLS": b"\x16\x03\x01\x00\x05hello\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a proxy's line": b"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\n" + odd(MODELS),
    "a body to wait for": odd(b"POST /metrics HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 2", body=b"{}"),
    "both lengths": odd(CHAT, b"Content-Length: 40", CHUNKED, body=b"0\r\n\r\n" + NEXT),
    "both lengths, the encoding first": odd(CHAT, CHUNKED, b"Content-Length: 40", body=b"0\r\n\r\n" + NEXT),
    "two lengths": odd(CHAT, b"Content-Length: 0", b"Content-Length: 30", body=NEXT),
    "two equal lengths": odd(CHAT, b"Content-Length: 2", b"Content-Length: 2", body=b"{}"),
    "two lengths in one": odd(CHAT, b"Content-Length: 2, 2", body=b"{}"),
    "two lengths with a space": odd(CHAT, b"Content-Length: 2 2", body=b"{}"),
    "a negative length": odd(CHAT, b"Content-Length: -1", body=NEXT),
    "a length with a plus": odd(CHAT, b"Content-Length: +2", body=b"{}"),
    "a hexadecimal length": odd(CHAT, b"Content-Length: 0x2", body=b"{}"),
    "a length without end": odd(CHAT, b"Content-Length: 99999999999999999999", body=b"{}"),
    "an empty length": odd(CHAT, b"Content-Length: ", body=NEXT),
    "an odd encoding": odd(CHAT, b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
    "a hidden encoding": odd(CHAT, b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
    "an encoding in quotes": odd(CHAT, b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"),
    "an encoding behind a vertical tab": odd(CHAT, b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "an encoding with a space before its colon": odd(
        CHAT, b"Transfer-Encoding : chunked", b"Content-Length: 5", body=b"0\r\n\r\n"
    ),
    "two encodings": odd(CHAT, CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
    "an encoding in HTTP/1.0": odd(b"POST /v1/completions HTTP/1.0", CHUNKED, body=b"0\r\n\r\n"),
    "a bad chunk": odd(CHAT, CHUNKED, body=b"ZZ\r\n"),
    "a negative chunk": odd(CHAT, CHUNKED, body=b"-1\r\n"),
    "a chunk with a prefix": odd(CHAT, CHUNKED, body=b"0x2\r\n{}\r\n0\r\n\r\n"),
    "a chunk without end": odd(CHAT, CHUNKED, body=b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n"),
    "a chunk longer than it says": odd(CHAT, CHUNKED, body=b"2\r\n{}{}\r\n0\r\n\r\n"),
    "a path without end": odd(b"GET /v1/models?" + b"a" * 70_000 + b" HTTP/1.1"),
    "a header without end": odd(MODELS, b"X: " + b"a" * 70_000),
    "headers without end": odd(MODELS, *(b"X-%d: %s" % (number, b"a" * 1000) for number in range(100))),
}
REFUSALS = {400, 404, 405, 413, 414, 501, 505}
"""Which of them says what was wrong; 501 is nginx's word for an encoding that it does not know."""


def refusal(answer: bytes) -> int:
    """Status of an answer; that of HTTP/0.9 is its body alone."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP") else json.loads(answer)["error"]["code"]


SPOOFED = [
    "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: 127.0.0.1, 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1",
    "X-Client-IP: 127.0.0.1", "True-Client-IP: 127.0.0.1", "X-Forwarded-Host: 127.0.0.1", "X-Forwarded-Proto: https",
    "X-Forwarded-Uri: /healthz", "X-Original-URL: /healthz", "X-Forwarded-User: alice", "X-Remote-User: alice",
    "X-Client: alice", f"X-API-Key: {KEY}", f"Api-Key: {KEY}", f"Proxy-Authorization: Bearer {KEY}",
    f"Cookie: Authorization=Bearer {KEY}", f"Authorization-: Bearer {KEY}", f"X-Amzn-Oidc-Data: {KEY}",
]  # fmt: skip
"""Headers by which a client without a key says that it is somebody, or somewhere, else."""


def spoofed() -> Iterator[tuple[str, bytes]]:
    for header in SPOOFED:
        for line in ("GET /v1/models", "POST /v1/chat/completions", "GET /metrics"):
            text = f"{line} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nConnection: close\r\n\r\n"
            yield f"{line}, {header}", text.encode()
