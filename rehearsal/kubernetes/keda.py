"""The real KEDA: its operator, its metrics adapter, and a stand-in for the Prometheus that it asks.

ScaledObjects are the program's own. On their way to the API server three things change: Prometheus is the stand-in,
it is asked more often, and time to scale down runs faster, or a rehearsal would take as long as a cooldown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlparse

from rehearsal.kubernetes.api import ApiError, Object, countdown
from rehearsal.kubernetes.build import KEDA
from rehearsal.kubernetes.control_plane import ControlPlane
from rehearsal.servers import free_ports, running

NAMESPACE = "keda"
METRICS = "v1beta1.external.metrics.k8s.io"
POLL_SECONDS = 2
FASTER = 20
"""Cooldowns, and the periods of scaling down, divided by this."""

START_SECONDS = 60


@dataclass
class Prometheus:
    """Answers every query of KEDA with a figure that we set.

    Attributes:
        url: for a trigger's `serverAddress`.
        figures: by what stands in the query (`waiting`); a query that has none of them is answered with 0.
    """

    url: str
    figures: dict[str, float] = field(default_factory=dict)

    def figure(self, query: str) -> float:
        """What a query comes out as."""
        return next((figure for name, figure in self.figures.items() if name in query), 0.0)


@contextmanager
def prometheus() -> Iterator[Prometheus]:
    """Serves the stand-in until the block ends."""
    stand_in = Prometheus("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlparse(self.path).query).get("query", [""])[0]
            vector = [{"metric": {}, "value": [time.time(), str(stand_in.figure(query))]}]
            answer = {"status": "success", "data": {"resultType": "vector", "result": vector}}
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield stand_in
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def keda(plane: ControlPlane) -> Iterator[None]:
    """Runs operator and adapter until the block ends. KEDA's CRDs must be there.

    Raises:
        RuntimeError: the metrics are not served within a minute; the message ends with what the adapter printed.
    """
    certificates = plane.authority.directory
    plane.authority.issue("keda", "tls")
    metrics, health, service, adapter = free_ports(4)
    variables = {
        "KUBECONFIG": str(plane.kubeconfig),
        "WATCH_NAMESPACE": "",
        "POD_NAMESPACE": NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
        "GOGC": "50",
    }
    operator = [
        KEDA.command("keda-operator"),
        *(f"--cert-dir={certificates}", "--enable-webhook-patching=false", "--enable-apiservice-patching=false"),
        *(f"--metrics-bind-address=127.0.0.1:{metrics}", f"--health-probe-bind-address=127.0.0.1:{health}"),
        f"--metrics-service-bind-address=127.0.0.1:{service}",
    ]
    kubeconfigs = [f"--{use}-kubeconfig={plane.kubeconfig}" for use in ("lister", "authentication", "authorization")]
    metrics_server = [
        KEDA.command("keda-adapter"),
        *kubeconfigs,
        *("--bind-address=127.0.0.1", f"--secure-port={adapter}", f"--cert-dir={certificates}", "--port=0"),
        *(f"--tls-cert-file={certificates / 'tls.crt'}", f"--tls-private-key-file={certificates / 'tls.key'}"),
        f"--metrics-service-address=localhost:{service}",
    ]
    registered = _register(plane, adapter)
    with (
        running(operator, plane.directory / "keda-operator.log", variables),
        running(metrics_server, plane.directory / "keda-adapter.log", variables),
    ):
        _wait_until_served(plane)
        yield
        # with its chart: an API that does not answer would keep every namespace from going
        for object in registered:
            plane.api.delete(object)


def _register(plane: ControlPlane, port: int) -> list[Object]:
    """Lets the API server ask the adapter for external metrics: a Service that leads to localhost."""
    api, name = plane.api, "keda-operator-metrics-apiserver"
    if api.get("v1", "Namespace", NAMESPACE) is None:
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    registration = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": METRICS},
        "spec": {
            "group": "external.metrics.k8s.io",
            "version": "v1beta1",
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": name, "namespace": NAMESPACE, "port": port},
        },
    }
    return [api.apply(object, "helm", force=True) for object in (registration, service)]


def _wait_until_served(plane: ControlPlane) -> None:
    for _ in countdown(START_SECONDS, poll_seconds=0.2):
        try:
            plane.api.request("GET", "/apis/external.metrics.k8s.io/v1beta1")
        except ApiError:
            continue
        return
    raise RuntimeError(f"KEDA's metrics are not served: {plane.log('keda-adapter')[-2000:]}")


def for_rehearsal(object: Object, stand_in: Prometheus) -> Object:
    """A ScaledObject as it is rehearsed; other objects as they are."""
    if object["kind"] != "ScaledObject":
        return object
    spec = object["spec"]
    triggers = [_trigger(trigger, stand_in) for trigger in spec["triggers"]]
    hastened = {key: max(1, spec[key] // FASTER) for key in ("cooldownPeriod",) if key in spec}
    return {**object, "spec": {**_faster(spec), **hastened, "triggers": triggers, "pollingInterval": POLL_SECONDS}}


def _trigger(trigger: Object, stand_in: Prometheus) -> Object:
    if trigger["type"] != "prometheus":
        return trigger
    return {**trigger, "metadata": {**trigger["metadata"], "serverAddress": stand_in.url}}


def _faster(spec: Object) -> Object:
    """With the behaviour of the autoscaler made faster, in both directions."""
    advanced = spec.get("advanced") or {}
    config = advanced.get("horizontalPodAutoscalerConfig") or {}
    if not (behavior := config.get("behavior")):
        return spec
    hastened = {direction: _hasten(rules) for direction, rules in behavior.items()}
    return {
        **spec,
        "advanced": {**advanced, "horizontalPodAutoscalerConfig": {**config, "behavior": hastened}},
    }


def _hasten(rules: Object) -> Object:
    found = dict(rules)
    if "stabilizationWindowSeconds" in rules:
        found["stabilizationWindowSeconds"] = rules["stabilizationWindowSeconds"] // FASTER
    if "policies" in rules:
        found["policies"] = [
            {**policy, "periodSeconds": max(1, policy["periodSeconds"] // FASTER)} for policy in rules["policies"]
        ]
    return found
