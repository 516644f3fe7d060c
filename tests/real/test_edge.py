"""The rendered nginx.conf in a real nginx, before two recording servers: what gets through, and what does not."""

# ruff: noqa: E501  tables of requests read best with a request a line
from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stacks
from edge import Nginx, free_port, nginx

pytestmark = pytest.mark.real


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
                return self.stream()
            if b"wait" in body:
                backend.hold.wait(20)
            answer = b'{"served": true}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return None

        do_POST = do_PUT = do_DELETE = do_HEAD = do_OPTIONS = do_GET

        def stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(4):
                data = b"data: %d\n\n" % number
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()
                time.sleep(0.2)
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    backend.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def backends() -> Iterator[list[Backend]]:
    pair = [Backend(), Backend()]
    servers = [start(backend) for backend in pair]
    yield pair
    for backend, server in zip(pair, servers, strict=True):
        backend.hold.set()
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def roomy(backends: list[Backend], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """dev's edge with limits that no test here reaches, so that what is refused is refused for its path."""
    config = stacks.config("dev")
    wide = replace(
        config.edge,
        requests_per_second=10_000,
        connections=10_000,
        trusted_proxies=["127.0.0.1"],
        paths=[*config.edge.paths, "/v1/responses/*"],
    )
    with nginx(replace(config, edge=wide), [b.port for b in backends], tmp_path_factory.mktemp("edge")) as edge:
        yield edge


def post(path: bytes, body: bytes = b"{}", headers: bytes = b"") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s" % (
        path, headers, len(body), body,
    )  # fmt: skip


ALLOWED = [
    b"/v1/chat/completions", b"/v1/completions", b"/v1/responses", b"/v1/embeddings", b"/v1/models",
    b"/v1/chat/completions?stream=true", b"/v1/responses/resp_0123-abc",
]  # fmt: skip


@pytest.mark.parametrize("path", ALLOWED)
def test_listed_paths_pass_as_they_came(roomy: Nginx, backends: list[Backend], path: bytes) -> None:
    for backend in backends:
        backend.seen.clear()
    assert roomy.status(post(path)) == 200
    (request,) = [line for backend in backends for line, _, _ in backend.seen]
    assert request == f"POST {path.decode()} HTTP/1.1"


# What vLLM 0.32.0 answers without a key, and what its development mode adds.
OPEN = [
    "/invocations", "/tokenize", "/detokenize", "/generative_scoring", "/scale_elastic_ep", "/metrics", "/health",
    "/ping", "/load", "/version", "/docs", "/openapi.json", "/redoc", "/sleep", "/wake_up", "/collective_rpc",
    "/update_weights", "/pause", "/server_info", "/reset_prefix_cache", "/start_profile", "/v2/rerank", "/inference/v1",
    "/cohere/v1", "/", "/v1", "/v1/", "/v1/load_lora_adapter", "/v1/audio/transcriptions", "/healthz/", "/upstream.conf",
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
]  # fmt: skip


@pytest.mark.parametrize("path", [*OPEN, *TRICKS])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_nothing_else_reaches_a_server(roomy: Nginx, backends: list[Backend], method: str, path: str) -> None:
    for backend in backends:
        backend.seen.clear()
    request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert roomy.status(request.encode()) in (400, 404)
    assert [backend.seen for backend in backends] == [[], []]


REQUESTS = {
    "HTTP/1.0": b"POST /invocations HTTP/1.0\r\n\r\n",
    "HTTP/0.9": b"GET /metrics\r\n",
    "absolute URI": b"GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "absolute URI that looks listed": b"GET http://v1/v1/models/../../metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "authority": b"GET metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "line feeds alone": b"GET /metrics HTTP/1.1\nHost: x\nConnection: close\n\n",
    "no host": b"GET /v1/models HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    "space in a header's name": b"GET /v1/models HTTP/1.1\r\nHost : x\r\nConnection: close\r\n\r\n",
    "a null byte": b"GET /v1/mod\0els HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "rewritten by a header": b"GET /x HTTP/1.1\r\nHost: x\r\nX-Original-URL: /v1/models\r\nX-Rewrite-URL: /metrics\r\nConnection: close\r\n\r\n",
    "both lengths": (
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\nGET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    "two lengths": (
        b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 30\r\n\r\n"
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    ),
    "an odd encoding": b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "a hidden encoding": b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\nConnection: close\r\n\r\n0\r\n\r\n",
    "a bad chunk": b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nZZ\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_odd_requests_reach_no_server(roomy: Nginx, backends: list[Backend], name: str) -> None:
    for backend in backends:
        backend.seen.clear()
    answer = roomy.raw(REQUESTS[name], timeout=2)
    # nginx answers HTTP/0.9, and 501 is its word for an encoding that it does not know.
    status = 404 if b"HTTP" not in answer[:4] and b"no such path" in answer else int(answer.split(b" ", 2)[1])
    assert status in ((400, 501) if "encoding" in name else (400, 404))
    assert [backend.seen for backend in backends] == [[], []]


def test_a_smuggled_request_is_part_of_the_body(roomy: Nginx, backends: list[Backend]) -> None:
    """What follows in a body of the right length stays a body."""
    for backend in backends:
        backend.seen.clear()
    hidden = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    assert roomy.status(post(b"/v1/completions", hidden)) == 200
    ((line, _, body),) = [entry for backend in backends for entry in backend.seen]
    assert (line, body) == ("POST /v1/completions HTTP/1.1", hidden)


def test_a_pipelined_second_request_is_judged_by_itself(roomy: Nginx, backends: list[Backend]) -> None:
    for backend in backends:
        backend.seen.clear()
    first = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
    second = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = roomy.raw(first + second)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert answer.count(b"HTTP/1.1 404") == 1
    assert sum(len(backend.seen) for backend in backends) == 1


def test_an_error_is_json_with_its_own_status_and_a_request_id(roomy: Nginx) -> None:
    head, _, body = roomy.raw(post(b"/invocations", headers=b"X-Request-Id: trace-1\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404")
    assert b"Content-Type: application/json" in head
    assert b"X-Request-Id: trace-1" in head
    assert b"nginx/" not in head
    assert json.loads(body) == {"error": {"message": "no such path", "code": 404}}


def request_ids(edge: Nginx, backends: list[Backend], headers: bytes) -> tuple[str, str]:
    """(what the server got, what the client got)."""
    for backend in backends:
        backend.seen.clear()
    head = edge.raw(post(b"/v1/completions", headers=headers)).partition(b"\r\n\r\n")[0].decode()
    got = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("x-request-id"))
    return next(seen["x-request-id"] for backend in backends for _, seen, _ in backend.seen), got


def test_a_request_id_is_taken_passed_on_and_logged(roomy: Nginx, backends: list[Backend]) -> None:
    assert request_ids(roomy, backends, b"X-Request-Id: abc.DEF_1-2\r\n") == ("abc.DEF_1-2", "abc.DEF_1-2")
    deadline = time.monotonic() + 5
    log = roomy.directory / "edge.log"
    while "abc.DEF_1-2" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    entry = next(line for line in lines if line["request_id"] == "abc.DEF_1-2")
    assert (entry["status"], entry["method"], entry["path"]) == (200, "POST", "/v1/completions")
    assert entry["upstream"] in {f"127.0.0.1:{backend.port}" for backend in backends}
    assert set(entry) == {
        "time", "request_id", "client", "method", "path", "status", "bytes", "seconds", "first_byte", "upstream",
        "upstream_status",
    }  # fmt: skip


@pytest.mark.parametrize(
    "bad", [b"", b"X-Request-Id: a b\r\n", b'X-Request-Id: "},{"\r\n', b"X-Request-Id: %s\r\n" % (b"a" * 129)]
)
def test_a_request_id_is_made_where_none_is_fit(roomy: Nginx, backends: list[Backend], bad: bytes) -> None:
    passed, got = request_ids(roomy, backends, bad)
    assert passed == got
    assert len(got) == 32
    assert int(got, 16) >= 0


def test_chunks_arrive_as_they_are_made(roomy: Nginx) -> None:
    with socket.create_connection(("127.0.0.1", roomy.port), timeout=10) as connection:
        connection.sendall(post(b"/v1/completions", b"stream"))
        times, data = [], b""
        while part := connection.recv(65536):
            data += part
            times += [time.monotonic()] * part.count(b"data:")
    assert data.count(b"data:") == 4
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(0.15 < gap < 0.4 for gap in gaps), gaps


def test_the_server_with_fewer_requests_gets_the_next(roomy: Nginx, backends: list[Backend]) -> None:
    for backend in backends:
        backend.seen.clear()
        backend.hold.clear()
    waiting = threading.Thread(target=roomy.raw, args=(post(b"/v1/completions", b"wait"), 30))
    waiting.start()
    deadline = time.monotonic() + 5
    while not any(backend.seen for backend in backends) and time.monotonic() < deadline:
        time.sleep(0.01)
    for _ in range(10):
        assert roomy.status(post(b"/v1/completions")) == 200
    for backend in backends:
        backend.hold.set()
    waiting.join()
    assert sorted(len(backend.seen) for backend in backends) == [1, 10]


def test_a_dead_replica_costs_no_request(backends: list[Backend], tmp_path: Path) -> None:
    config = stacks.config("dev")
    wide = replace(config, edge=replace(config.edge, requests_per_second=10_000))
    with nginx(wide, [free_port(), backends[0].port], tmp_path) as edge:
        assert [edge.status(post(b"/v1/completions")) for _ in range(20)] == [200] * 20


def test_no_replica_is_a_502_in_json(tmp_path: Path) -> None:
    with nginx(stacks.config("dev"), [free_port()], tmp_path) as edge:
        answer = edge.raw(post(b"/v1/completions"))
    assert answer.startswith(b"HTTP/1.1 502")
    assert b'"message":"no replica answered"' in answer


def test_a_request_beyond_batch_and_queue_is_refused_before_a_server_sees_it(
    backends: list[Backend], tmp_path: Path
) -> None:
    for backend in backends:
        backend.seen.clear()
        backend.hold.clear()
    ports = [backend.port for backend in backends]
    with nginx(stacks.config("dev"), ports, tmp_path, max_conns=2) as edge:
        threads = [threading.Thread(target=edge.raw, args=(post(b"/v1/completions", b"wait"), 30)) for _ in range(4)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 5
        while sum(len(backend.seen) for backend in backends) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        refused = edge.raw(post(b"/v1/completions", b"stream", b"X-Request-Id: one-too-many\r\n"))
        for backend in backends:
            backend.hold.set()
        for thread in threads:
            thread.join()
        assert edge.status(post(b"/v1/completions")) == 200
    head, _, body = refused.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 5" in head
    assert b"Content-Type: application/json" in head
    assert b"X-Request-Id: one-too-many" in head
    assert json.loads(body) == {"error": {"message": "every replica is full or starting", "code": 503}}
    assert [len(backend.seen) for backend in backends] in ([2, 3], [3, 2]), "the one that was refused is not among them"


def test_health_is_the_watchdogs_word(roomy: Nginx) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = roomy.raw(request)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"Retry-After: 5" in answer
    (roomy.directory / "www/healthz").write_text("ok\n")
    assert roomy.status(request) == 200
    (roomy.directory / "www/healthz").unlink()
    assert roomy.status(request) == 503


@pytest.fixture
def narrow(backends: list[Backend], tmp_path: Path) -> Iterator[Nginx]:
    config = stacks.config("dev")
    edge = replace(config.edge, requests_per_second=5, connections=3, max_body_mib=1, trusted_proxies=["127.0.0.1"])
    with nginx(replace(config, edge=edge), [b.port for b in backends], tmp_path) as running:
        yield running


def from_client(address: bytes, body: bytes = b"{}") -> bytes:
    return post(b"/v1/completions", body, b"X-Forwarded-For: %s\r\n" % address)


def test_requests_above_the_rate_get_429_and_a_hint(narrow: Nginx) -> None:
    statuses = [narrow.status(from_client(b"203.0.113.1")) for _ in range(30)]
    assert statuses[:6] == [200] * 6, "one, and as many again as the rate at once"
    assert statuses.count(429) >= 20
    assert b"Retry-After: 1" in narrow.raw(from_client(b"203.0.113.1"))


def test_each_client_has_its_own_limit(narrow: Nginx) -> None:
    for _ in range(30):
        narrow.status(from_client(b"203.0.113.1"))
    assert narrow.status(from_client(b"203.0.113.2")) == 200


def test_a_client_cannot_pass_for_another(narrow: Nginx) -> None:
    """The load balancer appends the address that it saw; what the client wrote before is not believed."""
    statuses = [narrow.status(from_client(b"198.51.100.%d, 203.0.113.9" % number)) for number in range(30)]
    assert statuses.count(429) >= 20


def test_connections_above_the_limit_get_429(narrow: Nginx, backends: list[Backend]) -> None:
    for backend in backends:
        backend.seen.clear()
        backend.hold.clear()
    threads = [threading.Thread(target=narrow.raw, args=(from_client(b"203.0.113.3", b"wait"), 30)) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while sum(len(backend.seen) for backend in backends) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert narrow.status(from_client(b"203.0.113.3")) == 429
    for backend in backends:
        backend.hold.set()
    for thread in threads:
        thread.join()


def test_a_body_above_the_limit_gets_413(narrow: Nginx) -> None:
    assert narrow.status(from_client(b"203.0.113.4", b"x" * (1 << 20))) == 200
    answer = narrow.raw(from_client(b"203.0.113.4", b"x" * ((1 << 20) + 1)))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"request body too large" in answer
