"""The load that a sleeping model's autoscaler asks for, answered by the real Prometheus."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import urllib3
import yaml

from pulumi_rehearsal.kubernetes import prometheus_command
from pulumi_rehearsal.kubernetes.api import countdown
from pulumi_rehearsal.servers import free_port, running
from tests.infra.kubernetes.samples import manifests

pytestmark = pytest.mark.kubernetes

LABELS = {"namespace": "inference", "app_kubernetes_io_instance": "vllm-main"}
LAUNCH_SECONDS = 15
DEADLINE_SECONDS = 60


class Metrics(ThreadingHTTPServer):
    """What a server measures: nothing before it has started, and nothing when what leads to it is broken."""

    waiting: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class _Answer(BaseHTTPRequestHandler):
    server: Metrics  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        waiting = self.server.waiting
        self.send_response(503 if waiting is None else 200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        if waiting is not None:
            self.wfile.write(f"vllm:num_requests_waiting {waiting}\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    with Metrics() as server:
        yield server
        server.shutdown()


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[[str], float | None]]:
    """Asks a Prometheus that knows the targets of `targets.json`, and asks them every second."""
    prometheus_command.ensure(print)
    job = {
        "job_name": "pods",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "file_sd_configs": [{"files": [str(tmp_path / "targets.json")]}],
    }
    know(tmp_path)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    port = free_port()
    command = [
        prometheus_command.command(),
        f"--config.file={tmp_path / 'prometheus.yml'}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]

    def answer(query: str) -> float | None:
        url = f"http://127.0.0.1:{port}/api/v1/query"
        found = urllib3.request("GET", url, fields={"query": query}, retries=30, timeout=5).json()["data"]["result"]
        assert len(found) < 2  # more is an error to KEDA
        return float(found[0]["value"][1]) if found else None

    with running(command, tmp_path / "prometheus.log"):
        assert any(_is_ready(port) for _ in countdown(DEADLINE_SECONDS))
        yield answer


def know(directory: Path, *targets: str) -> None:
    """Prometheus knows these servers."""
    new = directory / "new"
    new.write_text(json.dumps([{"targets": targets, "labels": LABELS}]))
    new.rename(directory / "targets.json")


def _is_ready(port: int) -> bool:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/-/ready", retries=False, timeout=5).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def test_no_server_is_no_load_and_a_server_that_cannot_be_asked_is_an_error(
    ask: Callable[[str], float | None], metrics: Metrics, tmp_path: Path
) -> None:
    (scaled,) = (one for one in manifests("sleeping") if one["kind"] == "ScaledObject")
    whole = scaled["spec"]["triggers"][0]["metadata"]["query"]
    load = whole.replace("offset 3600s", f"offset {LAUNCH_SECONDS}s")
    assert load != whole
    assert ask(load) == 0

    know(tmp_path, f"127.0.0.1:{metrics.server_address[1]}")
    assert any(ask("up") == 0 for _ in countdown(DEADLINE_SECONDS))
    assert ask(load) == 0  # it starts

    metrics.waiting = 7
    assert any(ask(load) == 7 for _ in countdown(DEADLINE_SECONDS))
    metrics.waiting = None
    assert any(ask(load) is None for _ in countdown(DEADLINE_SECONDS))

    know(tmp_path)
    assert any(ask(load) == 0 for _ in countdown(DEADLINE_SECONDS))
