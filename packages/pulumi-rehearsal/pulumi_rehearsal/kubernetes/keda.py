"""The real KEDA: its operator and its metrics adapter.

ScaledObjects are the program's own, and so are their queries, which a proxy leads to the rehearsal's Prometheus. While
load is played three things differ: Prometheus is asked every 2 s in place of 15 (and scrapes every second in place of
15, see prometheus.py), it may fail more often before the fallback, and time to scale runs faster, or a rehearsal would
take as long as a cooldown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import urllib3

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.build import KEDA
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.hosting import AT_LOCALHOST, Controller, Process, account_of, variables
from pulumi_rehearsal.servers import free_port, free_ports, running

NAMESPACE = "keda"
ADAPTER = "keda-metrics-apiserver"
METRICS = "v1beta1.external.metrics.k8s.io"
POLL_SECONDS = 2
FASTER = 60
"""Cooldowns, and the periods of scaling down, divided by this."""

PATIENCE = 4
"""Times the failures before the fallback: they come faster than Prometheus can hear of new pods, every five seconds."""


def keda(plane: ControlPlane, prometheus_url: str, account: Mapping[str, str]) -> list[Controller]:
    """Operator and metrics adapter, with the rights that KEDA's own manifests give them.

    Args:
        prometheus_url: answers for the address that triggers name.
        account: variables that lead to the simulated account.
    """
    plane.authority.issue("keda", "tls")
    service = free_port()
    shared = {
        **account,
        "POD_NAMESPACE": NAMESPACE,
        "KEDA_CLUSTER_OBJECT_NAMESPACE": NAMESPACE,
        "HTTP_PROXY": prometheus_url,
        "NO_PROXY": urlsplit(account.get("AWS_ENDPOINT_URL", "")).netloc,
        "GOGC": "50",
    }
    return [_operator(plane, service, shared), _adapter(plane, service, shared)]


def _operator(plane: ControlPlane, service: int, shared: Mapping[str, str]) -> Controller:
    log = plane.directory / "keda-operator.log"

    @contextmanager
    def start(deployment: Object) -> Iterator[Process]:
        metrics, health = free_ports(2)
        kubeconfig = plane.kubeconfig_of(NAMESPACE, account_of(deployment))
        command = [
            KEDA.command("keda-operator"),
            *(f"--cert-dir={plane.authority.directory}", "--enable-cert-rotation=false"),
            *("--enable-webhook-patching=false", "--enable-apiservice-patching=false"),
            *(f"--metrics-bind-address=127.0.0.1:{metrics}", f"--health-probe-bind-address=127.0.0.1:{health}"),
            f"--metrics-service-bind-address=127.0.0.1:{service}",
        ]
        own = {**variables(deployment), "WATCH_NAMESPACE": "", **shared, "KUBECONFIG": str(kubeconfig)}
        with running(command, log, own) as process:
            yield Process(f"http://127.0.0.1:{health}/readyz", lambda: process.poll() is None)

    return Controller("keda-operator", NAMESPACE, start, log=log)


def _adapter(plane: ControlPlane, service: int, shared: Mapping[str, str]) -> Controller:
    log = plane.directory / "keda-adapter.log"

    @contextmanager
    def start(deployment: Object) -> Iterator[Process]:
        port = free_port()
        kubeconfig = plane.kubeconfig_of(NAMESPACE, account_of(deployment))
        certificates = plane.authority.directory
        command = [
            KEDA.command("keda-adapter"),
            *(f"--{use}-kubeconfig={kubeconfig}" for use in ("lister", "authentication", "authorization")),
            *("--bind-address=127.0.0.1", f"--secure-port={port}", f"--cert-dir={certificates}", "--port=0"),
            *(f"--tls-cert-file={certificates / 'tls.crt'}", f"--tls-private-key-file={certificates / 'tls.key'}"),
            f"--metrics-service-address=localhost:{service}",
        ]
        own = {**variables(deployment), "WATCH_NAMESPACE": "", **shared, "KUBECONFIG": str(kubeconfig)}
        _lead_to(plane, port)
        with running(command, log, own) as process:
            yield Process(f"https://localhost:{port}/readyz", lambda: process.poll() is None)

    def needs() -> bool:
        return bool(plane.api.get("apiregistration.k8s.io/v1", "APIService", METRICS))

    asks = urllib3.PoolManager(ca_certs=str(plane.authority.certificate))
    return Controller(ADAPTER, NAMESPACE, start, needs, log, asks)


def _lead_to(plane: ControlPlane, port: int) -> None:
    """Lets the API server ask the adapter for external metrics: the Service leads to localhost.

    KEDA, which makes its own certificate, would write there whom to trust.
    """
    api = plane.api
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": ADAPTER, "namespace": NAMESPACE}}
    api.patch(service, {"spec": AT_LOCALHOST})
    registration = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": METRICS}}
    api.patch(registration, {"spec": {"insecureSkipTLSVerify": True, "service": {"port": port}}})


def hastened(scaled: Object) -> Object:
    """What is faster in a ScaledObject while load is played, as a merge patch of it."""
    spec = scaled["spec"]
    found: Object = {key: max(1, spec[key] // FASTER) for key in ("cooldownPeriod",) if key in spec}
    if fallback := spec.get("fallback"):
        found["fallback"] = {**fallback, "failureThreshold": fallback["failureThreshold"] * PATIENCE}
    return {"spec": {**_faster(spec), **found, "pollingInterval": POLL_SECONDS}}


def _faster(spec: Object) -> Object:
    """The behaviour of the autoscaler made faster, in both directions."""
    advanced = spec.get("advanced") or {}
    config = advanced.get("horizontalPodAutoscalerConfig") or {}
    if not (behavior := config.get("behavior")):
        return {}
    faster = {direction: _hasten(rules) for direction, rules in behavior.items()}
    return {"advanced": {**advanced, "horizontalPodAutoscalerConfig": {**config, "behavior": faster}}}


def _hasten(rules: Object) -> Object:
    found = dict(rules)
    if "stabilizationWindowSeconds" in rules:
        found["stabilizationWindowSeconds"] = rules["stabilizationWindowSeconds"] // FASTER
    if "policies" in rules:
        found["policies"] = [
            {**policy, "periodSeconds": max(1, policy["periodSeconds"] // FASTER)} for policy in rules["policies"]
        ]
    return found
