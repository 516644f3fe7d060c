"""Who a client is, in a real nginx: its key, its limits, its models, its name in log and counts, and its end."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import stacks
from edge import KEY, Nginx, document, key_of, nginx, sha256
from recording import Backend, post, recording

from tandem.scripts import shared

pytestmark = pytest.mark.real

MODEL = stacks.config("dev").engine.served_model_name


@pytest.fixture(scope="module")
def backends() -> Iterator[list[Backend]]:
    with recording(1) as found:
        yield found


def wide(**changes: Any) -> Any:
    config = stacks.config("dev")
    roomy = {"requests_per_second": 10_000, "connections": 10_000, "unknown_per_second": 10_000}
    return replace(config, edge=replace(config.edge, **(roomy | changes)))


@pytest.fixture(params=["host", "pod"])
def edge(request: pytest.FixtureRequest, backends: list[Backend], tmp_path: Path) -> Iterator[Nginx]:
    backends[0].seen.clear()
    backends[0].hold.clear()
    with nginx(wide(), [backends[0].port], tmp_path, place=request.param) as running:
        yield running


def authorized(key: str, body: bytes = b"{}", scheme: str = "Bearer") -> bytes:
    text = post(b"/v1/completions", body)
    return text.replace(b"Bearer " + KEY.encode(), f"{scheme} {key}".encode("latin-1"))


WRONG = [
    KEY[:-1], f"{KEY}0", KEY.upper(), KEY.lower() + "k", f" {KEY} x", f"{KEY},{KEY}", f'"{KEY}"', "", "null", "..",
    sha256(KEY), f"sha256:{sha256(KEY)}", "../" + KEY, "é" * 20,
]  # fmt: skip


@pytest.mark.parametrize("key", WRONG)
def test_what_is_not_the_key_is_refused_and_reaches_no_server(edge: Nginx, backends: list[Backend], key: str) -> None:
    head, _, body = edge.raw(authorized(key)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 401")
    assert b"WWW-Authenticate: Bearer" in head
    assert json.loads(body) == {"error": {"message": "no API key, or one that is not known", "code": 401}}
    assert backends[0].seen == []


@pytest.mark.parametrize("scheme", ["Basic", "bearer-token", "Token", "api-key", ""])
def test_another_scheme_is_no_key(edge: Nginx, scheme: str) -> None:
    assert edge.status(authorized(KEY, scheme=scheme)) == 401


def test_no_header_and_two_headers_are_no_key(edge: Nginx, backends: list[Backend]) -> None:
    none = authorized(KEY).replace(b"Authorization: Bearer " + KEY.encode() + b"\r\n", b"")
    assert edge.status(none) == 401
    two = none.replace(
        b"Host: x\r\n", b"Host: x\r\nAuthorization: Bearer wrong\r\nAuthorization: Bearer %s\r\n" % KEY.encode()
    )
    assert edge.status(two) in (400, 401)
    assert backends[0].seen == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_lets_in_and_no_server_sees_it(edge: Nginx, backends: list[Backend], scheme: str) -> None:
    assert edge.status(authorized(KEY, scheme=scheme)) == 200
    ((_, headers, _),) = backends[0].seen
    assert "authorization" not in headers
    assert headers["host"] == "vllm"


def test_a_key_that_is_said_twice_reaches_no_server_either(edge: Nginx, backends: list[Backend]) -> None:
    more = f"X-API-Key: {KEY}\r\nApi-Key: {KEY}\r\nCookie: key={KEY}\r\nProxy-Authorization: Bearer {KEY}\r\n".encode()
    assert edge.status(post(b"/v1/completions", headers=more)) == 200
    ((_, headers, _),) = backends[0].seen
    assert KEY not in str(headers)


def test_neither_a_file_nor_the_log_has_a_key(edge: Nginx) -> None:
    edge.status(authorized(KEY))
    edge.status(authorized(KEY + "0"))
    time.sleep(1.5)  # the log is written once a second
    texts = [file.read_bytes() for file in edge.directory.rglob("*") if file.is_file()]
    assert any(b'"client":"alice"' in text for text in texts)
    assert not [text for text in texts if KEY.encode() in text]


def test_a_client_may_use_its_own_models(edge: Nginx) -> None:
    edge.admits(document(alice={"models": ["another"]}, bob={"models": ["another", MODEL]}, carol={}))
    assert edge.status(authorized(key_of("alice"))) == 403
    assert edge.status(authorized(key_of("bob"))) == 200
    assert edge.status(authorized(key_of("carol"))) == 200
    assert b"this key is not for this model" in edge.raw(authorized(key_of("alice")))


BIG = b" " * 3_000_000
"""Beyond what nginx keeps of a body in memory."""
NAMED: list[tuple[bytes, bool]] = [
    (b'{"model": "sql"}', True),
    (b'{"model": "chat", "model": "sql"}', True),
    (b'{"mod\\u0065l": "sq\\u006c", "x": {"model": "chat"}}', True),
    (b'{"model": "sql",' + BIG + b'"x": 1}', True),
    (b'{"model": "chat"}', False),
    (b'{"model": "sql", "model": "chat"}', False),
    (b'{"model": "legal",' + BIG + b'"x": 1}', False),
    (b'{"model": "sql,legal"}', False),
    (b'{"model": ["sql"]}', False),
    (b'{"model": ""}', False),
    (b'{"model": null}', False),
    (b"{}", False),
    (b'{"__proto__": {"model": "sql"}}', False),
    (b"null", False),
    (b"", False),
    (b"model=sql", False),
    ('{"model": "sql"}'.encode("utf-16"), False),
]


@pytest.fixture(scope="module", params=["host", "pod"])
def adapted(request: pytest.FixtureRequest, backends: list[Backend], tmp_path_factory: Any) -> Iterator[Nginx]:
    config = wide(models=("chat", "sql", "legal"), cut_revoked=True, max_body_mib=4)
    clients = document(some={"models": ["sql", "another"]}, base={"models": ["chat"]}, all={}, other={"models": ["x"]})
    with nginx(config, [backends[0].port], tmp_path_factory.mktemp("a"), clients=clients, place=request.param) as one:
        yield one


@pytest.mark.parametrize("number", range(len(NAMED)))
def test_who_may_ask_for_some_adapters_names_one_of_them(adapted: Nginx, backends: list[Backend], number: int) -> None:
    body, allowed = NAMED[number]
    backends[0].seen.clear()
    assert adapted.status(authorized(key_of("some"), body)) == (200 if allowed else 403)
    assert [seen for _, _, seen in backends[0].seen] == ([body] if allowed else [])
    assert adapted.status(authorized(key_of("all"), body)) == 200
    assert adapted.status(authorized(key_of("other"), body)) == 403


def test_what_names_no_model_is_for_the_server_s_own(adapted: Nginx) -> None:
    for body, status in (
        (b"{}", 200),
        (b'{"model": null}', 200),
        (b'{"model": "chat"}', 200),
        (b'{"model": "sql"}', 403),
    ):
        assert adapted.status(authorized(key_of("base"), body)) == status, body
    assert adapted.status(post(b"/v1/models", method=b"GET").replace(KEY.encode(), key_of("some").encode())) == 200


def test_a_large_body_in_chunks_is_read_as_well(adapted: Nginx) -> None:
    for model, status in ((b"sql", b"200"), (b"chat", b"403")):
        body = b'{"model": "' + model + b'",' + BIG + b'"x": 1}'
        asked = authorized(key_of("some"), b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        for begin in range(0, len(body), 65536):
            part = body[begin : begin + 65536]
            asked += b"%x\r\n%s\r\n" % (len(part), part)
        assert adapted.raw(asked + b"0\r\n\r\n").split(b" ", 2)[1] == status


def test_answers_stream_past_the_look_at_their_model(adapted: Nginx) -> None:
    answer = adapted.raw(authorized(key_of("some"), b'{"model": "sql", "x": "stream"}'))
    assert answer.count(b"data:") == 4
    assert answer.endswith(b"0\r\n\r\n")


def test_each_client_has_its_own_rate(edge: Nginx) -> None:
    edge.admits(document(alice={"requestsPerSecond": 2}, bob={"requestsPerSecond": 2}, carol={}))
    answers = [edge.raw(authorized(key_of("alice"))) for _ in range(20)]
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 429")]
    assert len(refused) >= 12
    assert all(b"Retry-After: 1" in answer for answer in refused)
    assert edge.status(authorized(key_of("bob"))) == 200
    assert {edge.status(authorized(key_of("carol"))) for _ in range(20)} == {200}


def test_each_client_has_its_own_streams(edge: Nginx, backends: list[Backend]) -> None:
    edge.admits(document(alice={"streams": 2}, bob={"streams": 2}))
    threads = [threading.Thread(target=edge.raw, args=(authorized(KEY, b"wait"), 30)) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 5
    while len(backends[0].seen) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert edge.status(authorized(KEY)) == 429
    assert edge.status(authorized(key_of("bob"))) == 200
    backends[0].hold.set()
    for thread in threads:
        thread.join()
    # A client has its answer a moment before nginx is done with the request.
    while edge.status(authorized(KEY)) == 429 and time.monotonic() < end + 5:
        time.sleep(0.01)
    assert edge.status(authorized(KEY)) == 200


@pytest.mark.parametrize("place", ["host", "pod"])
def test_a_limit_of_its_own_takes_the_place_of_that_of_an_address(
    backends: list[Backend], tmp_path: Path, place: Any
) -> None:
    backends[0].hold.clear()
    with nginx(wide(requests_per_second=1, connections=1), [backends[0].port], tmp_path, place=place) as edge:
        edge.admits(document(alice={"requestsPerSecond": 1000, "streams": 512}, bob={}))
        assert {edge.status(authorized(KEY)) for _ in range(20)} == {200}
        found = [edge.status(authorized(key_of("bob"))) for _ in range(20)]
        assert found[0] == 200, "of the address nothing was used up"
        assert found.count(429) >= 12
        before = len(backends[0].seen)
        threads = [threading.Thread(target=edge.raw, args=(authorized(KEY, b"wait"), 30)) for _ in range(3)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 5
        while len(backends[0].seen) < before + 3 and time.monotonic() < end:
            time.sleep(0.01)
        assert len(backends[0].seen) == before + 3, "at once, where an address has one"
        backends[0].hold.set()
        for thread in threads:
            thread.join()


def test_a_revoked_key_is_refused_and_others_notice_nothing(edge: Nginx) -> None:
    edge.admits(document(alice={}, bob={}))
    statuses: list[int] = []
    over = threading.Event()

    def bob() -> None:
        while not over.is_set():
            statuses.append(edge.status(authorized(key_of("bob"))))

    others = threading.Thread(target=bob)
    others.start()
    for _ in range(100):
        edge.admits(document(bob={}))
        assert edge.status(authorized(KEY)) == 401
        edge.admits(document(alice={}, bob={}))
        assert edge.status(authorized(KEY)) == 200
    over.set()
    others.join()
    assert set(statuses) == {200}
    assert len(statuses) > 20


def test_a_key_is_judged_at_each_request_of_a_connection_that_stays_open(edge: Nginx) -> None:
    """As a load balancer's do; where a proxy keeps who was let in, a revoked key goes on."""
    head = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
    seen = []
    with contextlib.closing(connection):
        connection.connect()
        opened = connection.sock
        for clients in ({"alice": {}}, {"bob": {}}, {"alice": {}}):
            edge.admits(document(**clients))
            connection.request("POST", "/v1/completions", "{}", head)
            answer = connection.getresponse()
            answer.read()
            seen.append((answer.status, connection.sock is opened))
    assert seen == [(200, True), (401, True), (200, True)]


@pytest.fixture(params=["host", "pod"])
def guessed(request: pytest.FixtureRequest, backends: list[Backend], tmp_path: Path) -> Iterator[Nginx]:
    """An edge with a stack's own bound on keys that it does not know, behind a load balancer."""
    own = stacks.config("dev").edge.unknown_per_second
    config = wide(unknown_per_second=own, trusted_proxies=["127.0.0.1"])
    with nginx(config, [backends[0].port], tmp_path, place=request.param) as running:
        yield running


def of_address(address: bytes, key: str, *, body: bytes = b"{}") -> bytes:
    return authorized(key, body).replace(b"Host: x\r\n", b"Host: x\r\nX-Forwarded-For: %s\r\n" % address, 1)


def test_guesses_of_one_address_are_bounded_and_nobody_else_is_slowed(guessed: Nginx, backends: list[Backend]) -> None:
    backends[0].seen.clear()
    answers = [guessed.raw(of_address(b"203.0.113.1", f"tdm_guess{number}")) for number in range(60)]
    statuses = [int(answer.split(b" ", 2)[1]) for answer in answers]
    assert statuses[:20] == [401] * 20, "a client whose key has ended is told so"
    assert statuses.count(429) >= 30
    head, _, body = answers[statuses.index(429)].partition(b"\r\n\r\n")
    assert b"Retry-After: 1" in head
    assert b"WWW-Authenticate" not in head
    assert json.loads(body) == {"error": {"message": "too many requests", "code": 429}}
    assert {guessed.status(of_address(b"203.0.113.1", KEY)) for _ in range(20)} == {200}, "behind the same address"
    assert guessed.status(of_address(b"203.0.113.2", "tdm_guess")) == 401, "of another address"
    assert len(backends[0].seen) == 20


def test_a_guesser_cannot_pass_for_another_address(guessed: Nginx) -> None:
    """The load balancer appends the address that it saw; what was written before is not believed."""
    requests = [of_address(b"198.51.100.%d, 203.0.113.3" % number, "tdm_guess") for number in range(60)]
    assert [guessed.status(request) for request in requests].count(429) >= 30


def test_a_connection_goes_on_after_a_guess_beyond_the_bound(guessed: Nginx) -> None:
    """Its body is none of the next request, which is judged by itself."""
    for _ in range(40):
        guessed.status(of_address(b"203.0.113.4", ""))
    right = of_address(b"203.0.113.4", KEY, body=b"")
    wrong = of_address(b"203.0.113.4", "tdm_guess", body=b"x" * 3000).replace(b"Connection: close\r\n", b"")
    answer = guessed.raw(wrong + right)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"429", b"200"]


def streamed(edge: Nginx, body: bytes = b"stream") -> bytes:
    """An answer of four chunks, 0.2 s apart or slow (0.6 s), whose key is revoked after the first."""
    answers: list[bytes] = []
    reader = threading.Thread(target=lambda: answers.append(edge.raw(authorized(KEY, body))))
    reader.start()
    time.sleep(0.3)
    edge.admits(document(bob={}))
    reader.join()
    return answers[0]


def test_a_stream_of_a_revoked_key_goes_on_to_its_end(edge: Nginx) -> None:
    answer = streamed(edge)
    assert answer.count(b"data:") == 4
    assert answer.endswith(b"0\r\n\r\n")
    assert edge.status(authorized(KEY)) == 401


@pytest.mark.parametrize("place", ["host", "pod"])
def test_a_stream_of_a_revoked_key_is_cut_where_the_settings_say_so(
    backends: list[Backend], tmp_path: Path, place: Any
) -> None:
    with nginx(wide(cut_revoked=True), [backends[0].port], tmp_path, place=place) as running:
        whole = running.raw(authorized(KEY, b"stream"))
        assert whole.count(b"data:") == 4
        assert whole.endswith(b"0\r\n\r\n")
        answer = streamed(running, b"stream, slow")
        assert 1 <= answer.count(b"data:") < 4
        assert not answer.endswith(b"0\r\n\r\n"), "a cut answer must not look whole"


def test_requests_are_counted_by_client_where_only_monitoring_reaches(edge: Nginx) -> None:
    counts = shared("traffic").listen(edge.agent_port)
    for key in (KEY, KEY, "wrong"):
        edge.status(authorized(key))
    end = time.monotonic() + 5
    while 'code="401"' not in counts.text() and time.monotonic() < end:
        time.sleep(0.05)
    with urllib.request.urlopen(f"http://127.0.0.1:{edge.metrics_port}/clients", timeout=5) as answer:
        text = answer.read().decode()
    assert 'tandem_edge_requests_total{client="alice",code="200"} 2' in text
    assert 'tandem_edge_requests_total{client="",code="401"} 1' in text
    for path in (b"/clients", b"/metrics"):
        assert edge.status(post(path, method=b"GET")) == 404, "where clients are"


@pytest.mark.parametrize("place", ["host", "pod"])
def test_who_is_refused_is_counted_with_the_reason(backends: list[Backend], tmp_path: Path, place: Any) -> None:
    backends[0].seen.clear()
    backends[0].hold.clear()
    limits = {"slow": {"requestsPerSecond": 1}, "one": {"streams": 1}, "other": {"models": ["another"]}, "full": {}}
    with nginx(wide(), [backends[0].port], tmp_path, 1, document(**limits), place) as edge:
        counts = shared("traffic").listen(edge.agent_port)
        assert edge.status(authorized(key_of("other"))) == 403
        assert edge.status(authorized("unknown")) == 401
        assert 429 in [edge.status(authorized(key_of("slow"))) for _ in range(8)]
        held = threading.Thread(target=edge.raw, args=(authorized(key_of("one"), b"wait"), 30))
        held.start()
        while not any(body == b"wait" for _, _, body in backends[0].seen):
            time.sleep(0.01)
        assert edge.status(authorized(key_of("one"))) == 429
        assert edge.status(authorized(key_of("full"))) == 503
        backends[0].hold.set()
        held.join()
        end = time.monotonic() + 5
        while 'requests_total{client="one",code="200"}' not in counts.text() and time.monotonic() < end:
            time.sleep(0.05)
    why = {"other": "model", "": "key", "slow": "rate", "one": "streams", "full": "full"}
    refused = re.findall('refused_total{client="(.*)",reason="(.*)"}', counts.text())
    assert dict(refused) == why
    assert len(refused) == len(why)
    assert 'tandem_edge_sent_bytes_total{client="one"} ' in counts.text()


def test_a_pods_server_has_its_metrics_there_too(backends: list[Backend], tmp_path: Path) -> None:
    backends[0].seen.clear()
    with nginx(wide(), [backends[0].port], tmp_path, place="pod") as running:
        url = f"http://127.0.0.1:{running.metrics_port}/metrics"
        assert urllib.request.urlopen(url, timeout=5).status == 200
    assert [line for line, _, _ in backends[0].seen] == ["GET /metrics HTTP/1.0"]
