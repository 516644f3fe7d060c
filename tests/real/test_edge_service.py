"""The rendered nginx.conf in a real nginx, before two recording servers: ids, streams, limits, health."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import stacks
from edge import KEY, Nginx, nginx
from recording import AUTHORIZED, Backend, post

from pulumi_rehearsal.servers import free_port

pytestmark = pytest.mark.real


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
    assert (entry["client"], entry["address"]) == ("alice", "127.0.0.1")
    assert KEY not in log.read_text()
    assert entry["upstream"] in {f"127.0.0.1:{backend.port}" for backend in backends}
    assert set(entry) == {
        "time", "request_id", "trace_id", "client", "address", "method", "path", "status", "bytes", "seconds",
        "first_byte", "upstream", "upstream_status", "limit_conn",
    }  # fmt: skip


@pytest.mark.parametrize(
    "bad", [b"", b"X-Request-Id: a b\r\n", b'X-Request-Id: "},{"\r\n', b"X-Request-Id: %s\r\n" % (b"a" * 129)]
)
def test_a_request_id_is_made_where_none_is_fit(roomy: Nginx, backends: list[Backend], bad: bytes) -> None:
    passed, got = request_ids(roomy, backends, bad)
    assert passed == got
    assert len(got) == 32
    assert int(got, 16) >= 0


CALLERS = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"
PARENT = b"traceparent: 00-%s-01\r\ntracestate: theirs=1\r\n" % CALLERS.encode()


def traces(edge: Nginx, backends: list[Backend], headers: bytes, requests: int = 1) -> list[str | None]:
    """The traceparent that servers got with each request; none has any other word of a trace."""
    for backend in backends:
        backend.seen.clear()
    for _ in range(requests):
        assert edge.status(post(b"/v1/completions", headers=headers)) == 200
    seen = [headers for backend in backends for _, headers, _ in backend.seen]
    assert not any("tracestate" in headers for headers in seen)
    return [headers.get("traceparent") for headers in seen]


def test_without_traces_a_server_hears_of_none(roomy: Nginx, backends: list[Backend]) -> None:
    assert traces(roomy, backends, PARENT) == [None]
    assert traces(roomy, backends, b"") == [None]


@pytest.mark.parametrize(("ratio", "least", "most"), [(0.0001, 0, 2), (0.5, 25, 75), (1, 100, 100)])
def test_the_edge_decides_what_is_traced_and_the_caller_names_it(
    ratio: float, least: int, most: int, backends: list[Backend], tmp_path: Path
) -> None:
    config = stacks.config("dev")
    edge = replace(config.edge, requests_per_second=10_000, traced=ratio)
    with nginx(replace(config, edge=edge), [backend.port for backend in backends], tmp_path) as running:
        named = traces(running, backends, PARENT, 100)
        made = traces(running, backends, b"traceparent: 00-of-nobody-01\r\n", 100)
    assert {one and one[:-3] for one in named} == {f"00-{CALLERS}"}
    assert least <= sum(one is not None and one.endswith("-01") for one in named) <= most
    lines = [json.loads(line) for line in (tmp_path / "edge.log").read_text().splitlines()]
    assert len({*made}) == 100
    for one in made:
        assert one
        _, trace, span, _ = one.split("-")
        assert trace.startswith(span)
        assert trace in {line["trace_id"] for line in lines}


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


def test_the_server_with_fewer_requests_gets_the_next(backends: list[Backend], tmp_path: Path) -> None:
    for backend in backends:
        backend.seen.clear()
        backend.hold.clear()
    with nginx(stacks.config("dev"), [backend.port for backend in backends], tmp_path) as edge:
        waiting = threading.Thread(target=edge.raw, args=(post(b"/v1/completions", b"wait"), 30))
        waiting.start()
        deadline = time.monotonic() + 5
        while not any(backend.seen for backend in backends) and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(10):
            assert edge.status(post(b"/v1/completions")) == 200
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


HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_health_of_a_host_is_the_watchdogs_word(tmp_path: Path) -> None:
    with nginx(stacks.config("dev"), [free_port()], tmp_path) as edge:
        answer = edge.raw(HEALTH)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: 5" in answer
        (tmp_path / "www/healthz").write_text("ok\n")
        assert edge.status(HEALTH) == 200
        (tmp_path / "www/healthz").unlink()
        assert edge.status(HEALTH) == 503


def test_health_of_a_pod_is_its_servers_word(backends: list[Backend], tmp_path: Path) -> None:
    backends[0].seen.clear()
    with nginx(stacks.config("dev"), [backends[0].port], tmp_path, place="pod") as edge:
        assert edge.status(HEALTH) == 200
        assert edge.status(HEALTH.replace(b"/healthz", b"/healthz?q=1").replace(b"Host", AUTHORIZED + b"Host")) == 200
        for method in (b"POST", b"PUT", b"DELETE", b"FOO"):
            assert edge.status(post(b"/healthz", b"", method=method)) in (400, 403)
        assert edge.status(post(b"/healthz", b"x" * 1000, method=b"GET")) == 413
    assert [line for line, _, _ in backends[0].seen] == ["GET /health HTTP/1.0"] * 2
    assert all(headers.keys() <= {"host", "connection"} and not body for _, headers, body in backends[0].seen)


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
