"""What a Prometheus operator and a Grafana in the cluster read: whom to ask for metrics, which alarms follow, plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tandem.kubernetes.names import NAMESPACE
from tandem.observing.queries import span
from tandem.observing.rules import INTERVAL, rule_groups
from tandem.observing.watched import Watched

from .objects import Manifest, named

OBJECTS = "monitoring.coreos.com/v1"
NAME = "tandem"


def monitoring_objects(models: Sequence[Watched], labels: Mapping[str, str]) -> list[Manifest]:
    """A PodMonitor, a PrometheusRule (https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1),
    and a ConfigMap with a dashboard.

    Args:
        labels: by which the operator chooses what it reads.
    """
    return [_labelled(one, labels) for one in (_pod_monitor(), _prometheus_rule(models), _dashboard(models))]


def _labelled(manifest: Manifest, labels: Mapping[str, str]) -> Manifest:
    manifest["metadata"].setdefault("labels", {}).update(labels)
    return manifest


def _pod_monitor() -> Manifest:
    """The edge's port, by its name; the label by which models are told apart comes along."""
    return named("PodMonitor", OBJECTS, NAME, NAMESPACE) | {
        "spec": {
            "selector": {"matchLabels": {"app.kubernetes.io/name": "vllm"}},
            "podTargetLabels": ["app.kubernetes.io/instance"],
            "podMetricsEndpoints": [{"port": "metrics", "path": "/metrics", "interval": span(INTERVAL)}],
        }
    }


def _prometheus_rule(models: Sequence[Watched]) -> Manifest:
    return named("PrometheusRule", OBJECTS, NAME, NAMESPACE) | {"spec": {"groups": rule_groups(models)}}


def _dashboard(models: Sequence[Watched]) -> Manifest:
    """Grafana's sidecar looks for this label, whatever its value
    (https://github.com/grafana/helm-charts/tree/main/charts/grafana#sidecar-for-dashboards)."""
    from tandem.observing.grafana import board  # a tenth of a second, of those who have a Grafana

    manifest = named("ConfigMap", "v1", f"{NAME}-dashboard", NAMESPACE)
    manifest["data"] = {f"{NAME}.json": board(models)}
    manifest["metadata"]["labels"] = {"grafana_dashboard": "1"}
    return manifest
