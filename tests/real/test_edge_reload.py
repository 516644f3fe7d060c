"""A reload of the real nginx, which is all that its unit allows, cuts no stream and refuses no health check."""

from __future__ import annotations

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import edge
import pytest
import stacks

pytestmark = pytest.mark.real

EVENTS = 30


class Streams(BaseHTTPRequestHandler):
    """Stands for vLLM: one event each tenth of a second.

    Stands for: a vLLM server that streams an answer.
    Held by: nothing, only the time between its events matters.
    """

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(EVENTS):
            self.wfile.write(b"9\r\ndata: x\n\n\r\n")
            self.wfile.flush()
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[edge.Nginx]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Streams)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with edge.nginx(stacks.config("dev"), [server.server_port], tmp_path) as running:
        (tmp_path / "www/healthz").write_text("ok\n")
        yield running
    server.shutdown()
    server.server_close()


def health(port: int) -> int | str:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    except OSError as error:
        return type(error).__name__


@pytest.mark.parametrize(("name", "refused"), [("SIGHUP", False), ("SIGQUIT", True)])
def test_a_reload_keeps_the_door_open_and_a_stop_does_not(nginx: edge.Nginx, name: str, refused: bool) -> None:
    """SIGQUIT, with which the unit stops, ends the stream whole, too, and refuses everybody else meanwhile."""
    answers: list[tuple[int, int]] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", nginx.port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {edge.KEY}"}
        connection.request("POST", "/v1/completions", "{}", headers)
        answer = connection.getresponse()
        answers.append((answer.status, answer.read().count(b"data: x")))

    stream = threading.Thread(target=client)
    stream.start()
    time.sleep(0.5)  # into the stream
    os.kill(int((nginx.directory / "nginx.pid").read_text()), signal.Signals[name])
    time.sleep(0.3)  # for the signal to have its effect: what is tested is what holds from then on
    checks = []
    while stream.is_alive():
        checks.append(health(nginx.port))
        stream.join(0.1)
    assert answers == [(200, EVENTS)]
    assert len(checks) > 5
    assert set(checks) == ({"ConnectionRefusedError"} if refused else {200})
