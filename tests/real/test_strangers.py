"""What strangers send to the edges of a host and of a pod, before the real vLLM: none of it comes through.

Before recording servers test_edge.py sends the same and looks at each answer; here the server's own words count.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge import KEY, Nginx, nginx
from recording import AUTHORIZED
from served import ARGUMENTS, LASTING, config
from strangers import (
    ALLOWED,
    HARMLESS,
    METHODS,
    OPEN,
    REFUSALS,
    REQUESTS,
    refusal,
    spoofed,
    suffixed,
    unlisted,
    wide,
)
from vllm_cpu import Server

pytestmark = pytest.mark.real

CONFIG = wide(config())


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return LASTING(CONFIG, tmp_path_factory.mktemp("vllm"), *ARGUMENTS)


@pytest.fixture(scope="module", params=["host", "pod"])
def edge(request: pytest.FixtureRequest, vllm: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(CONFIG, [vllm.port], tmp_path_factory.mktemp("edge"), place=request.param) as running:
        yield running


OWN = "/metrics?asked-by-the-test"


class Came:
    """What came to a server since this was made: lines of its log, which has one for each request, one for what it
    could not read, and its own count, in which `/metrics` and `/health` are not."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lines, self.counted = self._now()

    def _now(self) -> tuple[list[str], float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{OWN}", timeout=60) as answer:
            counts = re.findall(r"(?m)^http_requests_total\{.*\} (\S+)$", answer.read().decode())
        text = self.server.log.read_text(errors="replace")
        lines = re.findall(r'- "(.*)" \d{3}|(Invalid HTTP request)', text)
        return ["".join(line) for line in lines if OWN not in line[0]], sum(map(float, counts))

    def since(self) -> tuple[list[str], float]:
        lines, counted = self._now()
        return lines[len(self.lines) :], counted - self.counted


NOTHING: tuple[list[str], float] = ([], 0)


def test_what_comes_is_seen(vllm: Server, edge: Nginx) -> None:
    """Else nothing would be all that could be seen."""
    came = Came(vllm)
    assert edge.status(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n" % AUTHORIZED) == 200
    assert came.since() == (["GET /v1/models HTTP/1.1"], 1)
    with socket.create_connection(("127.0.0.1", vllm.port), timeout=10) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(100)
    with socket.create_connection(("127.0.0.1", vllm.port), timeout=10) as connection:
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        connection.recv(100)
    assert came.since()[0][1:] == ["GET /metrics HTTP/1.1", "Invalid HTTP request"]


def test_every_route_of_the_server_is_tried(vllm: Server) -> None:
    routes = re.findall(r"Route: (\S+), Methods", vllm.log.read_text())
    assert len(routes) > 30
    tried = {*OPEN, *(line.split()[1] for line in ALLOWED)}
    left = {route.replace("{response_id}", "resp_0123-abc") for route in routes} - tried
    assert left == {"/v1/responses/render"}, "which who lists /v1/responses/* lists, too"


@pytest.mark.parametrize("method", METHODS)
def test_no_path_that_is_not_listed_comes_through(vllm: Server, edge: Nginx, method: str) -> None:
    came = Came(vllm)
    for path, request in unlisted(method):
        assert refusal(edge.raw(request)) in REFUSALS, path
    assert came.since() == NOTHING


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/models"])
def test_no_byte_behind_a_path_comes_through(vllm: Server, edge: Nginx, path: str) -> None:
    came = Came(vllm)
    for suffix, request in suffixed(path):
        if suffix not in HARMLESS:
            # A line feed makes it HTTP/0.9, whose requests have no key.
            assert refusal(edge.raw(request)) in REFUSALS | {401}, suffix
    assert came.since() == NOTHING


def test_nothing_odd_comes_through(vllm: Server, edge: Nginx) -> None:
    came = Came(vllm)
    for name, request in REQUESTS.items():
        assert refusal(edge.raw(request)) in REFUSALS, name
    assert came.since() == NOTHING


def test_nobody_comes_through_who_says_that_it_is_somebody(vllm: Server, edge: Nginx) -> None:
    came = Came(vllm)
    for name, request in spoofed():
        assert refusal(edge.raw(request)) in (401, 404), name
    assert came.since() == NOTHING


@pytest.mark.parametrize("alone", [False, True], ids=["command", "script"])
def test_smoke_finds_no_surprise(vllm: Server, edge: Nginx, tmp_path: Path, alone: bool) -> None:
    """As an operator calls it, of a pod as of a host: the command, and the file that it prints."""
    command = [str(Path(sys.executable).with_name("tandem")), "smoke"]
    if alone:
        printed = subprocess.run([*command, "--script"], capture_output=True, text=True, check=True).stdout
        (tmp_path / "smoke.py").write_text(printed)
        command = [sys.executable, "-I", "-S", str(tmp_path / "smoke.py")]
    command += ["--url", f"http://127.0.0.1:{edge.port}"]
    done = subprocess.run(
        command, env=os.environ | {"TANDEM_API_KEY": KEY}, capture_output=True, text=True, timeout=300, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "surprise" not in done.stdout
