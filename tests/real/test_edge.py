"""The rendered nginx.conf in a real nginx, before two recording servers: what gets through, and what does not."""

from __future__ import annotations

import json

import pytest
from edge import Nginx
from recording import AUTHORIZED, Backend, post
from strangers import (
    ALLOWED,
    CHUNKED,
    HARMLESS,
    METHODS,
    REFUSALS,
    REQUESTS,
    odd,
    refusal,
    spoofed,
    suffixed,
    unlisted,
)

pytestmark = pytest.mark.real

BAD_CHUNKS = [b"zz\r\n", b"2\r\nhello\r\n0\r\n\r\n", b"f" * 18 + b"\r\nx", b"7fffffff\r\nx"]
LINES = [
    "POST /nope", "DELETE /v1/completions", "POST /v1/completions", "GET /healthz", "POST /healthz", "TRACE /healthz",
    "POST /unread", "POST /metrics",
]  # fmt: skip


@pytest.mark.parametrize("line", ALLOWED)
def test_listed_paths_pass_as_they_came(roomy: Nginx, backends: list[Backend], line: str) -> None:
    for backend in backends:
        backend.seen.clear()
    method, path = line.encode().split()
    assert roomy.status(post(path, method=method)) == 200
    (request,) = [line for backend in backends for line, _, _ in backend.seen]
    assert request == f"{line} HTTP/1.1"


@pytest.mark.parametrize("method", METHODS)
def test_nothing_else_reaches_a_server(roomy: Nginx, backends: list[Backend], method: str) -> None:
    for backend in backends:
        backend.seen.clear()
    for path, request in unlisted(method):
        status = roomy.status(request)
        # Nobody says that a path which is not listed has a method: only nginx's own refusal of TRACE and CONNECT.
        assert status in (400, 404, 405), path
    assert [backend.seen for backend in backends] == [[], []]


@pytest.mark.parametrize("method", METHODS)
def test_a_listed_path_has_its_own_methods_alone(roomy: Nginx, backends: list[Backend], method: str) -> None:
    for backend in backends:
        backend.seen.clear()
    lines = [line for line in (f"{method} {one.split()[1]}" for one in ALLOWED) if line not in ALLOWED]
    for line in lines:
        answer = roomy.raw(post(line.split()[1].encode(), b"", method=method.encode()))
        # nginx knows TRACE and CONNECT, and refuses them itself; a method in lower case is none.
        assert int(answer.split(b" ", 2)[1]) in ((405,) if method not in ("CONNECT", "post") else (400, 405)), line
    assert [backend.seen for backend in backends] == [[], []]


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/models"])
def test_no_byte_behind_a_path_changes_what_it_is(roomy: Nginx, backends: list[Backend], path: str) -> None:
    for suffix, request in suffixed(path):
        for backend in backends:
            backend.seen.clear()
        answer = roomy.raw(request, timeout=2)
        through = [line for backend in backends for line, _, _ in backend.seen]
        if through:
            assert suffix in HARMLESS, suffix
        else:
            # A line feed makes it HTTP/0.9, whose requests have no key.
            assert refusal(answer) in ((400, 401, 404) if suffix == b"\n" else (400, 404)), (suffix, answer[:40])


@pytest.mark.parametrize("name", REQUESTS)
def test_odd_requests_reach_no_server(roomy: Nginx, backends: list[Backend], name: str) -> None:
    for backend in backends:
        backend.seen.clear()
    assert refusal(roomy.raw(REQUESTS[name], timeout=2)) in REFUSALS
    assert [backend.seen for backend in backends] == [[], []]


@pytest.mark.parametrize("body", BAD_CHUNKS)
@pytest.mark.parametrize("line", LINES)
def test_a_body_that_cannot_be_read_is_told_in_json_whatever_came_before(roomy: Nginx, line: str, body: bytes) -> None:
    """nginx refuses, reads on to the end of the body, and then has a second thing to refuse."""
    head, *_, text = roomy.raw(odd(f"{line} HTTP/1.1".encode(), CHUNKED, body=body)).split(b"\r\n\r\n")
    told = json.loads(text)["error"]
    assert told["code"] == int(head.split()[1]), "it says its own status"
    # No replica of this host has made a token, so its health is 503.
    assert told["code"] in {403, 503, *REFUSALS}


@pytest.mark.parametrize(
    "header", ["Range: bytes=900-1000", 'If-Match: "x"', "If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT"]
)
def test_a_file_that_is_asked_for_in_parts_is_refused_in_json(roomy: Nginx, header: str) -> None:
    (roomy.directory / "www/healthz").write_text("ok\n")
    head, _, body = roomy.raw(odd(b"GET /healthz HTTP/1.1", header.encode())).partition(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status in (200, 412, 416), "a pod asks its server"
    assert status == 200 or json.loads(body)["error"]["code"] == status


def test_who_has_no_key_is_nobody_whatever_else_it_says(roomy: Nginx, backends: list[Backend]) -> None:
    for backend in backends:
        backend.seen.clear()
    for name, request in spoofed():
        assert refusal(roomy.raw(request)) == (404 if "metrics" in name else 401), name
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
    first = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n%s\r\n" % AUTHORIZED
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
