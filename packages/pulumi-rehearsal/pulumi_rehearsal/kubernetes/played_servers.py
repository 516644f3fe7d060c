"""Plays the metrics of servers whose pods kwok plays: an HTTP proxy that answers for their addresses.

A queue that we set is shared by the pods of an application that are scraped, so that what Prometheus adds up is the
queue. What a pod tells of its share, in which words, the caller says.

Stands for: the metrics of servers in pods.
Held by: tests/real/test_engine.py::test_pods_are_played_with_the_metrics_of_a_real_server
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.pod_discovery import container_ports, target_group
from pulumi_rehearsal.servers import QuietServer, serving

INSTANCE = "app.kubernetes.io/instance"
"""Label of a pod that says which application it is of."""

STALE_SECONDS = 4.0
"""So long after its last scrape, at an interval of a second, Prometheus may still count a pod that is gone."""

Metrics = Callable[[str, float], str]
"""Name of an application, and the requests that wait in a pod of it, to what the pod answers when it is scraped."""


def queue(name: str, waiting: float) -> str:
    """Metrics of a server that tells of its queue and of nothing else."""
    return f'# TYPE requests_waiting gauge\nrequests_waiting{{app="{name}"}} {waiting}\n'


@dataclass
class Shares:
    """How a queue is spread over pods. Requests stay where they wait, as they do behind a load balancer.

    New requests go to pods that have less than their part; those that are done leave the pod that is asked next. So the
    sum of what was told last is the queue, but for the second until all have been asked after a change.
    """

    told: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By pod: requests, and when it was asked."""
    stale_seconds: float = STALE_SECONDS

    def of(self, pod: str, queue: float, running: Set[str], now: float) -> float:
        """The requests that wait in a pod.

        Args:
            running: pods; what waited in one that is gone moves on when Prometheus has forgotten it.
        """
        self.told = {
            name: (share, asked)
            for name, (share, asked) in self.told.items()
            if name in running or now - asked < self.stale_seconds
        }
        own, _ = self.told.pop(pod, (0.0, now))
        others = sum(share for share, _ in self.told.values())
        part = queue / (len(self.told) + 1)
        share = max(0.0, min(max(own, part), queue - others))
        self.told[pod] = (share, now)
        return share


class PlayedServers:
    """What answers for the pods.

    Attributes:
        waiting: requests that wait, by the application that its pods' label names; set it to bring load.
        metrics: what a pod answers.
        start_seconds: until a pod that runs answers.
        stale_seconds: so long after its last scrape Prometheus may still count a pod that is gone.
        url: of the proxy; what is not meant for a pod is answered with the pods, as Prometheus discovers them.

    Args:
        pods: lists the pods of the cluster.
        metrics: what a pod answers.
    """

    def __init__(self, pods: Callable[[], list[Object]], metrics: Metrics = queue) -> None:
        self.waiting: dict[str, float] = {}
        self.url = ""
        self.metrics, self.start_seconds, self.stale_seconds = metrics, 0.0, STALE_SECONDS
        self._pods = pods
        self._running: dict[str, Object] = {}
        self._shares: dict[str, Shares] = {}
        self._lock = Lock()

    def discover(self) -> list[Object]:
        """The pods that have an address now, in Prometheus' words."""
        pods = [pod for pod in self._pods() if "podIP" in pod["status"]]
        with self._lock:
            self._running = {pod["status"]["podIP"]: pod for pod in pods if self._serves(pod)}
        return [target_group(pod) for pod in pods]

    def serving(self, name: str) -> int:
        """The pods of an application that answer."""
        with self._lock:
            return sum(_application(pod) == name for pod in self._running.values())

    def _serves(self, pod: Object) -> bool:
        if pod["status"]["phase"] != "Running" or not self.start_seconds:
            return pod["status"]["phase"] == "Running"
        started = datetime.fromisoformat(pod["status"]["startTime"])
        return (datetime.now(UTC) - started).total_seconds() >= self.start_seconds

    def scrape(self, url: str, now: float) -> tuple[HTTPStatus, str]:
        """What a pod's server answers; a bad gateway where none would."""
        target = urlsplit(url)
        with self._lock:
            pod = self._running.get(target.hostname or "")
            if pod is None or target.port not in container_ports(pod):
                return HTTPStatus.BAD_GATEWAY, f"nothing listens on {target.netloc}\n"
            if target.path != "/metrics":
                return HTTPStatus.NOT_FOUND, f"no metrics at {target.path}\n"
            name = _application(pod)
            running = {pod["metadata"]["uid"] for pod in self._running.values()}
            shares = self._shares.setdefault(name, Shares(stale_seconds=self.stale_seconds))
            waiting = shares.of(pod["metadata"]["uid"], self.waiting.get(name, 0.0), running, now)
        return HTTPStatus.OK, self.metrics(name, waiting)


def _application(pod: Object) -> str:
    return pod["metadata"].get("labels", {}).get(INSTANCE, "")


@contextmanager
def played_servers(api: Api, metrics: Metrics = queue) -> Iterator[PlayedServers]:
    """Answers for the pods of a cluster until the block ends."""
    servers = PlayedServers(lambda: api.list("v1", "Pod"), metrics)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("http://"):  # as a client asks a proxy
                self._answer(*servers.scrape(self.path, time.monotonic()), "text/plain; version=0.0.4")
            else:
                self._answer(HTTPStatus.OK, json.dumps(servers.discover()), "application/json")

        def _answer(self, status: HTTPStatus, text: str, content: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None: ...

    server = QuietServer(("127.0.0.1", 0), Handler)
    servers.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield servers
