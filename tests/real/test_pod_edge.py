"""The edge of a pod by its own command: real nginx as the first process, and the agent beside it, over a shared
directory. What a kubelet adds is in test_kubelet.py."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import stacks
from edge import document, key_of, wait_for
from machines import until

from pulumi_rehearsal.servers import free_port
from tandem.edge import EDGE_COMMAND, render_edge
from tandem.ports import EDGE_AGENT_PORT, EDGE_METRICS_PORT
from tandem.scripts import DIRECTORY, edge_script

pytestmark = pytest.mark.real

AGENT = """
import pathlib, sys
import agent, keysync
agent.RUN = pathlib.Path(sys.argv[1])
agent.KEPT = agent.RUN / "kept.json"
keysync.EVERY = 0.2
raise SystemExit(agent.main())
"""
CHUNKS, PAUSE = 40, 0.1


class Server(BaseHTTPRequestHandler):
    """Stands for: vLLM, of which a stream takes four seconds.

    Held by: nothing, it is only there to be streamed from; tests/real/test_edge.py has the real one.
    """

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"vllm:played 1\n" if self.path == "/metrics" else b""
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(CHUNKS):
            data = f"data: {number}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            time.sleep(PAUSE)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass
class Pod:
    """An edge and its agent.

    Attributes:
        document: of who may enter.
    """

    port: int
    metrics_port: int
    document: Path
    edge: subprocess.Popen[bytes]
    agent: subprocess.Popen[bytes]

    def workers(self) -> str:
        return Path(f"/proc/{self.edge.pid}/task/{self.edge.pid}/children").read_text()

    def admits(self, *names: str) -> None:
        self.document.write_text(json.dumps(document(**{name: {} for name in names})))

    def metrics(self) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return answer.read()

    def asks(self, name: str = "", stream: bool = False) -> tuple[int, bytes]:
        """Status and body; without a name, with no key."""
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key_of(name)}"} if name else {})}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        path = "/v1/completions" if stream else "/v1/models"
        connection.request("POST" if stream else "GET", path, "{}" if stream else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    if not shutil.which("nginx"):
        pytest.fail("nginx is not installed: `make test-real` installs it, or `apt-get install nginx`")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    port, metrics, counts, config = free_port(), free_port(), free_port(), stacks.config("dev")
    servers = [f"127.0.0.1:{server.server_port}"]
    text = render_edge(replace(config.edge, port=port), config.timeouts, place="pod", servers=servers, requests=8)
    moved = {
        "/run/tandem": str(tmp_path / "run"),
        "/etc/tandem": str(tmp_path),
        "/dev/stdout": str(tmp_path / "log"),
        "_temp_path /tmp": f"_temp_path {tmp_path}",
        f"listen {EDGE_METRICS_PORT};": f"listen 127.0.0.1:{metrics};",
        f"127.0.0.1:{EDGE_AGENT_PORT}": f"127.0.0.1:{counts}",
    }
    command, script = list(EDGE_COMMAND), edge_script()
    for path, new in moved.items():
        text, script, *command = (part.replace(path, new) for part in (text, script, *command))
    (tmp_path / "run").mkdir()
    (tmp_path / "edge.js").write_text(script)
    (tmp_path / "nginx.conf").write_text(text.replace("pid ", "user root;\npid ", 1))
    keys = tmp_path / "keys.json"
    variables = {
        "TANDEM_POD": json.dumps({"served_model_name": config.engine.served_model_name, "agent_port": counts}),
        "TANDEM_SECRETS": json.dumps({"keys": [str(keys)], "hubToken": None}),
        "PYTHONPATH": os.pathsep.join(str(DIRECTORY / room) for room in ("pod", "shared")),
    }
    keys.write_text(json.dumps(document(alice={})))
    edge = subprocess.Popen(command)
    agent = subprocess.Popen([sys.executable, "-c", AGENT, str(tmp_path / "run")], env={**os.environ, **variables})
    try:
        wait_for(port, edge, 20)
        wait_for(counts, agent, 20)  # it listens once it has told who may enter
        yield Pod(port, metrics, keys, edge, agent)
    finally:
        edge.terminate()  # its workers end with it; killed, it would leave them
        agent.kill()
        for process in (edge, agent):
            process.wait(20)
        server.shutdown()
        server.server_close()


def test_keys_come_and_go_without_a_restart_and_a_running_stream_stays(pod: Pod) -> None:
    assert pod.asks() == (401, pod.asks()[1])
    assert pod.asks("alice")[0] == 200
    workers, streams = pod.workers(), []
    stream = threading.Thread(target=lambda: streams.append(pod.asks("alice", stream=True)))
    stream.start()
    time.sleep(0.5)
    pod.admits("bob")
    changed = time.monotonic()
    until(lambda: pod.asks("bob")[0] == 200, "a new key works", 10)
    until(lambda: pod.asks("alice")[0] == 401, "a revoked one does not", 10)
    print(f"told {time.monotonic() - changed:.1f} s after the document")
    stream.join(30)
    [(status, body)] = streams
    assert (status, body.count(b"data: ")) == (200, CHUNKS)
    assert pod.workers() == workers, "nothing was reloaded"


def test_an_answer_ends_whole_after_the_kubelets_signal(pod: Pod) -> None:
    """SIGQUIT, as the image asks for: the listener closes, what runs goes on, then nginx ends by itself."""
    streams: list[tuple[int, bytes]] = []
    stream = threading.Thread(target=lambda: streams.append(pod.asks("alice", stream=True)))
    stream.start()
    time.sleep(0.5)
    pod.edge.send_signal(signal.SIGQUIT)
    stream.join(30)
    [(status, body)] = streams
    assert (status, body.count(b"data: ")) == (200, CHUNKS)
    assert pod.edge.wait(10) == 0


def test_monitoring_has_both_the_servers_metrics_and_the_counts_and_either_alone(pod: Pod) -> None:
    pod.asks("alice")
    until(lambda: b"tandem_edge_requests_total{" in pod.metrics(), "the agent has counted", 10)
    assert b"vllm:played 1" in pod.metrics()
    pod.agent.kill()
    pod.agent.wait(10)
    assert pod.metrics() == b"vllm:played 1\n"


def test_the_agent_may_end_and_come_again_while_requests_go_on(pod: Pod) -> None:
    pod.agent.send_signal(signal.SIGTERM)
    assert pod.agent.wait(10) == 0
    assert pod.asks("alice")[0] == 200
