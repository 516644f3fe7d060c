"""One guest that boots dev's rendered user data: what the scenes of its life (test_boot*.py) share.

What stands in for what cannot be had is in rehearsal/host/.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import stacks

from rehearsal.host import scene
from rehearsal.host.cloud import API_KEY, Cloud
from rehearsal.host.guest import Guest

REGION = "us-east-1"
SECONDS = 600
"""Longest wait for anything, by the guest's own clock."""

BEFORE, BESIDE, AFTER = ["scripts", "gate", "toolkit", "storage"], {"driver", "weights"}, ["serve", "ready"]


@dataclass(frozen=True)
class Host:
    """The guest and what is around it."""

    guest: Guest
    cloud: Cloud

    def ask(self, path: str = "/v1/completions", key: str | None = API_KEY, **body: Any) -> tuple[int, str]:
        """Status and text of an answer through the edge, asked from outside."""
        connection = http.client.HTTPConnection("127.0.0.1", self.guest.edge_port, timeout=120)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps({"prompt": "1", "max_tokens": 1, **body}), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def health(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.guest.edge_port, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", "/healthz")
            return connection.getresponse().status

    def inspect(self, container: str) -> dict[str, Any]:
        (found,) = json.loads(self.guest.run(f"docker inspect {container}"))
        return found

    def eventually(self, condition: Any, what: str) -> None:
        """Waits until a condition holds; errors of a machine in between count as not yet."""
        self.guest.eventually(condition, what, SECONDS)

    def running(self) -> int:
        """Requests that the replicas work on."""
        metrics = self.guest.run("curl -s localhost:8001/metrics localhost:8002/metrics")
        return sum(int(float(line.split()[1])) for line in metrics.splitlines() if "num_requests_running" in line)

    def main_pids(self, *units: str) -> list[str]:
        """Main process of each unit; every one must have one."""
        pids = self.guest.run(f"systemctl show -p MainPID --value {' '.join(units)}").split()
        assert len(pids) == len(units)
        assert "0" not in pids
        return pids


@dataclass
class Clients:
    """Those that ask without a pause: one for streams of so many tokens, one for the load balancer's health check.

    Attributes:
        streams: of each, status, tokens and the end of the text.
        checks: of each, the status, or the name of the error.
    """

    host: Host
    tokens: int
    streams: list[tuple[int, int, str]] = field(default_factory=list)
    checks: list[int | str] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    def stream(self) -> None:
        while not self.done.is_set():
            status, text = self.host.ask(max_tokens=self.tokens, stream=True)
            self.streams.append((status, text.count('"text"'), text[-14:]))

    def check(self) -> None:
        while not self.done.wait(0.2):
            try:
                self.checks.append(self.host.health())
            except (OSError, http.client.HTTPException) as error:
                self.checks.append(type(error).__name__)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Asks within the block; afterwards every answer must have been whole, and no health check refused."""
        threads = [threading.Thread(target=work) for work in (self.stream, self.check)]
        for thread in threads:
            thread.start()
        self.host.eventually(lambda: self.host.running() == 1, "a stream that runs")
        try:
            yield
        finally:
            self.done.set()
            for thread in threads:
                thread.join()
        assert set(self.streams) == {(200, self.tokens, "data: [DONE]\n\n")}
        assert set(self.checks) == {200}


def details(ledger: list[dict[str, Any]]) -> dict[str, str]:
    """What each stage of a boot did; the ledger must tell each once, in order, done at the first attempt. An image that
    is pulled is in it when that has ended, whatever else goes on."""
    stages = [line["stage"] for line in ledger if line["stage"] != "image"]
    assert (stages[:4], set(stages[4:6]), stages[6:]) == (BEFORE, BESIDE, AFTER)
    assert {(line["outcome"], line["attempts"]) for line in ledger} == {("done", 1)}
    return {line["stage"]: line["detail"] for line in ledger}


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that came to ready, with two drives of instance store, and writes its metrics elsewhere."""
    directory = tmp_path_factory.mktemp("boot")
    cloud = Cloud()
    written = replace(stacks.config("dev"), remote_write_url="https://of.the.stand-in", remote_write_region=REGION)
    with scene.powered_on(written, scene.parts(directory), cloud, directory, drives=2) as guest:
        guest.wait_for_line(scene.READY, scene.READY_SECONDS)
        guest.wait_for_agent(SECONDS)
        yield Host(guest, cloud)
