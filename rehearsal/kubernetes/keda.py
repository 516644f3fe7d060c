"""The real KEDA: its operator and its metrics adapter.

ScaledObjects are the program's own, and so are their queries. On their way to the API server four things change: the
address of Prometheus is that of the rehearsal's, it is asked every 2 s in place of 15 (and scrapes every second in
place of 15, see prometheus.py), it may fail more often before the fallback, and time to scale runs faster, or a
rehearsal would take as long as a cooldown.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rehearsal.kubernetes.api import ApiError, Object, countdown
from rehearsal.kubernetes.build import KEDA
from rehearsal.kubernetes.control_plane import ControlPlane
from rehearsal.servers import free_ports, running

NAMESPACE = "keda"
METRICS = "v1beta1.external.metrics.k8s.io"
POLL_SECONDS = 2
FASTER = 20
"""Cooldowns, and the periods of scaling down, divided by this."""

PATIENCE = 4
"""Times the failures before the fallback: they come faster than Prometheus can hear of new pods, every five seconds."""

START_SECONDS = 60


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


def for_rehearsal(object: Object, prometheus_url: str) -> Object:
    """A ScaledObject as it is rehearsed; other objects as they are."""
    if object["kind"] != "ScaledObject":
        return object
    spec = object["spec"]
    triggers = [_trigger(trigger, prometheus_url) for trigger in spec["triggers"]]
    hastened: Object = {key: max(1, spec[key] // FASTER) for key in ("cooldownPeriod",) if key in spec}
    if fallback := spec.get("fallback"):
        hastened["fallback"] = {**fallback, "failureThreshold": fallback["failureThreshold"] * PATIENCE}
    return {**object, "spec": {**_faster(spec), **hastened, "triggers": triggers, "pollingInterval": POLL_SECONDS}}


def _trigger(trigger: Object, prometheus_url: str) -> Object:
    if trigger["type"] != "prometheus":
        return trigger
    return {**trigger, "metadata": {**trigger["metadata"], "serverAddress": prometheus_url}}


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
