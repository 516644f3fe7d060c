"""What a Prometheus operator in the cluster reads: whom to ask for metrics, and which alarms follow from them."""

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
    """A PodMonitor and a PrometheusRule
    (https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1).

    Args:
        labels: by which the operator chooses what it reads.
    """
    return [_labelled(one, labels) for one in (_pod_monitor(), _prometheus_rule(models))]


def _labelled(manifest: Manifest, labels: Mapping[str, str]) -> Manifest:
    manifest["metadata"]["labels"] = dict(labels)
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
