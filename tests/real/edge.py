"""A real nginx with the rendered configuration, before whatever listens on the given ports."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keysync
import pytest

from pulumi_rehearsal.servers import free_port
from tandem.edge import render_edge
from tandem.host.config import HostConfig
from tandem.host.render import render_nginx
from tandem.ports import EDGE_AGENT_PORT, EDGE_METRICS_PORT, ROUTING_PORT
from tandem.scripts import DIRECTORY

KEY = "tdm_" + "k" * 43
"""Of client alice, whom the edge knows where a test says nothing else."""


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def document(**clients: Any) -> dict[str, Any]:
    """Client name to what it has beside its keys; each has one, `KEY` and its name."""
    return {"clients": {name: {"keys": [{"sha256": sha256(key_of(name))}], **more} for name, more in clients.items()}}


def key_of(name: str) -> str:
    return KEY if name == "alice" else f"{KEY}-{name}"


ALICE = document(alice={})


def admit(directory: Path, clients: dict[str, Any], models: Sequence[str]) -> None:
    """By the agent beside an edge, for which the document is in the store."""
    text, nobody = json.dumps(clients), {"clients": {}}
    keysync.Edge(["arn"], models, nobody, directory / "keys", directory / "kept.json", lambda _: text, print).look()


@dataclass(frozen=True)
class Nginx:
    """A running nginx: its ports, the directory that holds its access log and health file, and its models."""

    port: int
    metrics_port: int
    agent_port: int
    directory: Path
    models: Sequence[str]

    def admits(self, clients: dict[str, Any]) -> None:
        """From now on these, and nobody else."""
        admit(self.directory, clients, self.models)

    def raw(self, request: bytes, timeout: float = 10) -> bytes:
        """Sends bytes as they are and reads until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(request)
            answer = b""
            with contextlib.suppress(TimeoutError, ConnectionResetError):
                while part := connection.recv(65536):
                    answer += part
            return answer

    def status(self, request: bytes) -> int:
        """Status of the one answer to a raw request that closes its connection."""
        return int(self.raw(request).split(b" ", 2)[1])


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Waits until something accepts connections on a port, or the process that should has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"{process.args} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise AssertionError(f"nothing listens on {port} after {seconds} s")


@contextlib.contextmanager
def nginx(
    config: HostConfig,
    ports: Sequence[int],
    directory: Path,
    max_conns: int = 0,
    clients: dict[str, Any] = ALICE,
    place: Literal["host", "pod"] = "host",
    agent: int = 0,
    peer: tuple[str, int] = ("127.0.0.1", 0),
) -> Iterator[Nginx]:
    """Runs nginx as a host or a pod does; only its ports and its directories are others.

    Args:
        ports: of the servers; a pod has one.
        max_conns: requests at once to each server; 0 for no bound.
        clients: the document of who may enter.
        agent: the port of one that listens already.
        peer: of a pod, where it takes what others pass on.
    """
    if not shutil.which("nginx"):
        pytest.fail("nginx is not installed: `make test-real` installs it, or `apt-get install nginx`")
    port = free_port()
    on_port = replace(config.edge, port=port)
    if place == "host":
        text = render_nginx(replace(config, edge=on_port))
    else:
        servers, requests = [f"127.0.0.1:{number}" for number in ports[:1]], max_conns or 10_000
        text = render_edge(on_port, config.timeouts, place=place, servers=servers, requests=requests)
    script = (DIRECTORY / "edge.js").read_text(encoding="utf-8")
    metrics, agent = free_port(), agent or free_port()
    moved = {
        "/run/tandem": str(directory),
        "/var/log/tandem": str(directory),
        "/opt/tandem": str(directory),
        "/etc/tandem": str(directory),
        "/dev/stdout": str(directory / "edge.log"),
        "_temp_path /tmp": f"_temp_path {directory}",
        f"127.0.0.1:{EDGE_METRICS_PORT};": f"127.0.0.1:{metrics};",
        f"listen {EDGE_METRICS_PORT};": f"listen 127.0.0.1:{metrics};",
        f"127.0.0.1:{EDGE_AGENT_PORT}": f"127.0.0.1:{agent}",
    }
    for path, new in moved.items():
        text, script = text.replace(path, new), script.replace(path, new)
    address, passing = peer[0], peer[1] or free_port()
    moved = {
        f"listen {ROUTING_PORT} ": f"listen {address}:{passing} ",
        f"$peer:{ROUTING_PORT}": f"$peer:{passing}",
        f" {ROUTING_PORT} 1;": f" {passing} 1;",
    }
    for old, new in moved.items():
        text = text.replace(old, new)
    (directory / "edge.js").write_text(script)
    models = config.edge.models or [config.engine.served_model_name]
    admit(directory, clients, models)
    # pytest keeps its directories to their owner, so the workers must be that.
    text = "user root;\n" + text.replace("user www-data;", "")
    file = directory / "nginx.conf"
    file.write_text(text)
    warm = config.edge.routing.up_to_requests if config.edge.routing else 0
    for name, most in (("upstream", max_conns and max_conns - warm), ("warm", warm)):
        (directory / f"{name}.conf").write_text(
            "".join(f"server 127.0.0.1:{number} max_conns={most};\n" for number in ports)
        )
    (directory / "www").mkdir(exist_ok=True)
    directory.chmod(0o755)
    errors = (directory / "errors").open("wb")
    process = subprocess.Popen(["nginx", "-c", str(file), "-g", "daemon off;"], stderr=errors)
    try:
        wait_for(port, process, 10)
        yield Nginx(port, metrics, agent, directory, models)
    finally:
        process.terminate()
        process.wait(20)
        errors.close()
