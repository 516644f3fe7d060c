"""Requests counted by client, from lines as nginx sends them."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from typing import Any

import pytest
import traffic
from prometheus_client.parser import text_string_to_metric_families

from tandem.settings.types import OWN_CLIENTS

PREFIX = b"<190>Nov 29 12:00:00 nginx: "


def line(**more: Any) -> bytes:
    entry = {"client": "alice", "status": 200, "seconds": 0.3, "first_byte": "0.040", "bytes": 20, **more}
    return PREFIX + json.dumps(entry).encode()


def samples(counts: traffic.Counts) -> dict[tuple[str, ...], float]:
    found = {}
    for family in text_string_to_metric_families(counts.text()):
        for sample in family.samples:
            found[sample.name, *sample.labels.values()] = sample.value
    return found


def test_requests_are_counted_by_client_and_status() -> None:
    counts = traffic.Counts()
    for one in (line(), line(), line(status=429, first_byte="-"), line(client="", status=401, first_byte="")):
        counts.add(one)
    found = samples(counts)
    assert found["tandem_edge_requests_total", "alice", "200"] == 2
    assert found["tandem_edge_requests_total", "alice", "429"] == 1
    assert found["tandem_edge_requests_total", "", "401"] == 1
    assert found["tandem_edge_first_byte_seconds_count", "alice"] == 2
    assert found["tandem_edge_request_seconds_count", "alice"] == 3
    counts.add(line(status=502, first_byte="-, -"))
    assert samples(counts)["tandem_edge_requests_total", "alice", "502"] == 1


def test_buckets_hold_all_that_is_not_longer() -> None:
    counts = traffic.Counts()
    for seconds in (0.05, 0.3, 400):
        counts.add(line(seconds=seconds, first_byte="0.010, 0.020"))
    found = samples(counts)
    bounds = ("0.05", "0.25", "0.5", "300", "+Inf")
    assert [found["tandem_edge_request_seconds_bucket", "alice", bound] for bound in bounds] == [1, 1, 2, 2, 3]
    assert found["tandem_edge_request_seconds_sum", "alice"] == 400.35
    assert found["tandem_edge_first_byte_seconds_bucket", "alice", "0.05"] == 3, "of a second try, the second's"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"status": 401, "client": "", "first_byte": ""}, "key"),
        ({"status": 429, "client": "", "first_byte": ""}, "key"),
        ({"status": 403, "first_byte": ""}, "model"),
        ({"status": 429, "first_byte": "", "limit_conn": ""}, "rate"),
        ({"status": 429, "first_byte": "-", "limit_conn": "REJECTED"}, "streams"),
        ({"status": 429, "limit_conn": "PASSED"}, "full"),
        ({"status": 503, "first_byte": ""}, "full"),
    ],
)
def test_a_refusal_has_its_reason(said: dict[str, Any], reason: str) -> None:
    counts = traffic.Counts()
    for one in (line(**said), line(), line(status=404), line(status=502), line(status=499)):
        counts.add(one)
    found = samples(counts)
    refused = {name: number for name, number in found.items() if name[0] == "tandem_edge_refused_total"}
    assert refused == {("tandem_edge_refused_total", said.get("client", "alice"), reason): 1}


def test_what_was_sent_is_added_up() -> None:
    counts = traffic.Counts()
    for one in (line(bytes=20), line(bytes=0), line(bytes=5_000_000_000)):
        counts.add(one)
    assert samples(counts)["tandem_edge_sent_bytes_total", "alice"] == 5_000_000_020


def test_however_many_clients_there_are_so_many_have_names() -> None:
    counts = traffic.Counts()
    for number in range(3 * traffic.MOST):
        counts.add(line(client=f"c{number}", status=429, first_byte=""))
    counts.add(line(client="c0"))
    found = samples(counts)
    names = {labels[0] for name, *labels in found}
    assert len(names) == traffic.MOST + 1
    assert found["tandem_edge_requests_total", "tandem-other", "429"] == 2 * traffic.MOST
    assert found["tandem_edge_refused_total", "tandem-other", "rate"] == 2 * traffic.MOST
    assert found["tandem_edge_requests_total", "c0", "200"] == 1, "who has a name keeps it"
    assert traffic.OTHER.startswith(OWN_CLIENTS), "no client is called so"


def test_counting_takes_less_than_a_hundredth_of_a_core_at_fifty_requests_a_second() -> None:
    lines = [line(client=f"c{number % traffic.MOST}", status=(200, 429)[number % 2]) for number in range(3000)]
    counts, before = traffic.Counts(), time.process_time()
    for one in lines:  # a minute's
        counts.add(one)
    counts.text(), counts.text()  # and its two scrapes
    assert time.process_time() - before < 0.6


@pytest.mark.parametrize(
    "torn",
    [
        b"",
        b"<190>",
        PREFIX + b'{"client":"al',
        PREFIX + b"[]",
        line(status="x"),
        line(seconds=None),
        line(bytes=None),
        line(client='a"} 1'),
    ],
)
def test_what_is_no_line_counts_nothing(torn: bytes) -> None:
    counts = traffic.Counts()
    counts.add(torn)
    assert samples(counts) == {}


def test_lines_come_in_and_counts_go_out_on_one_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    traffic.listen(port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nginx:
        nginx.sendto(line(), ("127.0.0.1", port))
    end = time.monotonic() + 10
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            if b'requests_total{client="alice",code="200"} 1' in answer.read():
                break
        assert time.monotonic() < end
