"""A host's way to Amazon Managed Prometheus: the real vmagent, as the host's own script starts it, asks what a server,
an edge and GPUs tell, takes the role's credentials from the metadata service, and signs; what comes is written on into
a real Prometheus, which answers every query of the project.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.credentials import Credentials
from scripts import Load
from test_aws import KEY, SECRET, TOKEN, is_signed
from vmagent import vmagent

from pulumi_rehearsal.kubernetes.watch import seconds_until
from pulumi_rehearsal.servers import QuietServer, running, serving
from rehearsal.host.cloud import Cloud
from rehearsal.host.network import network_with_metadata
from tandem.scripts import DIRECTORY
from tests.observing.asked import LABELS, panel_queries, rule_queries
from tests.observing.growing import GPUS, POD, growing
from tests.observing.live import Live, receiving

pytestmark = pytest.mark.real

REGION, PATH = "eu-west-1", "/workspaces/ws-1/api/v1/remote_write"
EDGE = "".join(f"{line}\n" for line in POD.splitlines() if "tandem_" in line)
"""Of the recorded pod, which is a server and its edge in one answer."""


@dataclass
class Workspace:
    """Stands for: the remote write of Amazon Managed Prometheus.

    Held by: nothing, there is no account; botocore's signer says what it would be sent.

    Attributes:
        foreign: paths, signatures and tokens that AWS would not take.
    """

    prometheus: Live
    foreign: list[str] = field(default_factory=list)
    taken: int = 0
    away: bool = False

    @contextlib.contextmanager
    def listening(self) -> Iterator[str]:
        """Its address."""
        workspace = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.rfile.read(int(headers["content-length"]))
                self.send_response(503 if workspace.away else workspace.take(self.path, headers, body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = QuietServer(("127.0.0.1", 0), Answer)
        with serving(server):
            yield f"http://127.0.0.1:{server.server_port}{PATH}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Writes on what is signed; 403 for what is not."""
        signer = SigV4Auth(Credentials(KEY, SECRET), "aps", REGION)
        sound = path == PATH and headers.get("x-amz-security-token") == TOKEN
        if not (sound and is_signed(signer, "POST", f"http://{headers['host']}{path}", headers, body)):
            self.foreign.append(f"{path} {headers}")
            return 403
        kept = {name: value for name, value in headers.items() if name.startswith(("content-", "x-prometheus-"))}
        request = urllib.request.Request(f"{self.prometheus.url}/api/v1/write", body, kept)
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.taken += 1
            return answer.status


def until(what: str, condition: Callable[[], bool], seconds: float = 240) -> None:
    assert seconds_until(condition, seconds) is not None, f"{what}: not in {seconds} s"


@dataclass
class Host:
    """A host with one server, and where it writes to."""

    workspace: Workspace
    agent: int
    log: Path

    def seconds(self) -> float:
        """Of a processor, that the agent has had."""
        fields = Path(f"/proc/{self.agent}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def kilobytes(self) -> int:
        """The most that the agent has had in memory."""
        status = Path(f"/proc/{self.agent}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


@pytest.fixture
def host(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    tools = vmagent()
    with contextlib.ExitStack() as stack:
        stack.enter_context(network_with_metadata(Cloud(instance="i-0")))
        server, edge = (stack.enter_context(growing(text)) for text in (without_edge(), EDGE + GPUS))
        prometheus = stack.enter_context(receiving(tmp_path))
        workspace = Workspace(prometheus)
        url = stack.enter_context(workspace.listening())
        write = {"url": url, "region": REGION, "labels": {"stack": "prod", "model": "main"}}
        scripts = load(remote_write=write, agent_port=edge)
        scripts.host.write(scripts.serve.REPLICAS, json.dumps([{"replica": 0, "gpus": [0, 1], "port": server}]))
        monkeypatch.setattr(scripts.remote_write, "EVERY", "1s")
        (tmp_path / "scrape.json").write_text(json.dumps(scripts.remote_write.scraped()).replace('"10s"', '"1s"'))
        line, log = scripts.remote_write.command(tmp_path), tmp_path / "vmagent.log"
        agent = stack.enter_context(running([tools / line[0], *line[1:]], log))
        yield Host(workspace, agent.pid, log)


def without_edge() -> str:
    return "".join(f"{line}\n" for line in POD.splitlines() if "tandem_" not in line)


def test_what_a_host_tells_arrives_signed_by_its_role_and_answers_every_query(host: Host) -> None:
    live = host.workspace.prometheus
    until("the agent writes", lambda: host.workspace.taken >= 4)
    assert not host.workspace.foreign
    (first,) = live.ask(f"vllm:num_requests_running{{{LABELS['host']}}}")
    assert first["metric"]["host"] == "i-0"
    assert first["metric"]["replica"] == "0"
    for query in rule_queries("host").values():
        live.ask(query)
    without = [what for what, query in panel_queries("host").items() if not live.numbers(query)]
    assert not without
    assert not live.ask('{__name__=~".*_created|python_.*|http_.*"}'), "what nobody asks for is not paid for"
    assert host.kilobytes() < 60_000


LOOKS = 60
SPENT = """\
import sys, time
import telemetry
servers = [telemetry.Server(telemetry.metrics_of(int(port))) for port in sys.argv[2:]]
one = telemetry.Telemetry(servers, lambda: {200: 1}, dict, lambda **_: None, {"Stack": "s", "Model": "m"}, print)
began = time.process_time()
for number in range(int(sys.argv[1])):
    one.look(10.0 * number)
    if number % 6 == 5:
        one.report()
[most] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(time.process_time() - began, most)
"""
"""What the agent beside the edge does in ten minutes; it looks every ten seconds."""


def test_all_that_tells_of_a_host_takes_less_than_a_hundredth_of_a_core_and_60_mb(host: Host) -> None:
    """By the processor's own count, so that a busy machine says the same. Here vmagent asks every second."""
    until("the agent writes", lambda: host.workspace.taken >= 4)
    began, seconds = host.workspace.taken, host.seconds()
    until("ten more looks", lambda: host.workspace.taken >= began + 10)
    written = (host.seconds() - seconds) / (host.workspace.taken - began) / 30
    with growing(without_edge()) as one, growing(without_edge()) as other:
        line = [sys.executable, "-c", SPENT, f"{LOOKS}", f"{one}", f"{other}"]
        environment = {**os.environ, "PYTHONPATH": str(DIRECTORY / "shared")}
        said = subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout.split()
    looked, kilobytes = float(said[0]) / LOOKS / 10, int(said[1])
    print(f"vmagent {written:.3%} of a core, {host.kilobytes()} kB; agent {looked:.3%}, {kilobytes} kB")
    assert written + looked < 0.01
    assert host.kilobytes() + kilobytes < 60_000


def test_what_does_not_leave_leaves_later(host: Host) -> None:
    live = host.workspace.prometheus
    host.workspace.away = True
    until("the workspace refuses", lambda: "503" in host.log.read_text())
    time.sleep(5)
    host.workspace.away = False
    until("it is taken", lambda: host.workspace.taken >= 2)
    late = f"count_over_time(vllm:num_requests_running{{{LABELS['host']}}}[1m])"
    until("what was told meanwhile is there", lambda: float(live.ask(late)[0]["value"][1]) >= 5)
