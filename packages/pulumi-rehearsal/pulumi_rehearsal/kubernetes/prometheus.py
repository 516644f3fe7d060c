"""The real Prometheus, which chooses, labels and scrapes the program's pods as the program's chart has it do.

Its job for pods is the chart's (scrape_job.yaml). Three things differ: it hears of pods over HTTP (pod_discovery.py),
asks them through a proxy (played_servers.py), for pods are played and their addresses lead nowhere, and does so every
second in place of every fifteen.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3
import yaml

from pulumi_rehearsal.kubernetes.api import Object, countdown
from pulumi_rehearsal.kubernetes.control_plane import QUICK, ControlPlane, Pace
from pulumi_rehearsal.kubernetes.played_servers import Metrics, PlayedServers, played_servers, queue
from pulumi_rehearsal.kubernetes.prometheus_command import command
from pulumi_rehearsal.servers import free_port, running

SCRAPE_JOB = Path(__file__).with_name("scrape_job.yaml")
LOOKS = "1s"
"""At the pods; Prometheus takes up news of them every five seconds."""

START_SECONDS = 30


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs.

    Attributes:
        url: of a proxy, too: whatever address a trigger names, it answers.
        servers: what it scrapes; their queue is set there.
        end: ends it before its time.
    """

    url: str
    servers: PlayedServers
    end: Callable[[], None]


@contextmanager
def prometheus(plane: ControlPlane, metrics: Metrics | None = None, pace: Pace = QUICK) -> Iterator[Prometheus]:
    """Runs Prometheus until the block ends; `prometheus_command.ensure` has seen to the command.

    Args:
        metrics: what pods answer.

    Raises:
        RuntimeError: it is not ready in time; the message ends with what it printed.
    """
    directory = plane.directory / "prometheus"
    directory.mkdir()
    file = directory / "prometheus.yml"
    port = free_port()
    with played_servers(plane.api, metrics or queue) as servers:
        file.write_text(yaml.safe_dump(configuration(servers.url, pace.scrapes)))
        server = [
            command(),
            *(f"--config.file={file}", f"--storage.tsdb.path={directory / 'data'}"),
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        with running(server, plane.directory / "prometheus.log", {"GOGC": "50"}) as process:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process, plane)
            yield Prometheus(url, servers, process.terminate)


def configuration(proxy_url: str, interval: str = QUICK.scrapes) -> Object:
    """Prometheus' configuration.

    Args:
        proxy_url: knows the pods, and answers for them.
    """
    job = yaml.safe_load(SCRAPE_JOB.read_text())
    del job["kubernetes_sd_configs"]
    discovery = {"url": f"{proxy_url}/pods", "refresh_interval": LOOKS}
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [{**job, "http_sd_configs": [discovery], "proxy_url": proxy_url}],
    }


def _wait_until_ready(url: str, process: subprocess.Popen[bytes], plane: ControlPlane) -> None:
    for _ in countdown(START_SECONDS):
        try:
            if urllib3.request("GET", f"{url}/-/ready", retries=False, timeout=5).status == 200:
                return
        except urllib3.exceptions.HTTPError:
            if process.poll() is not None:
                break
    raise RuntimeError(f"Prometheus did not start: {plane.log('prometheus')[-2000:]}")
