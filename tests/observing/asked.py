"""Every query that the project has for Prometheus, by what it is for."""

from __future__ import annotations

import json

from tandem.kubernetes.names import NAMESPACE
from tandem.observing.grafana import board
from tandem.observing.rules import rules
from tandem.observing.watched import Watched
from tests.infra.kubernetes.samples import SAMPLES, manifests
from tests.shared.world import ALARMS, PROMISED

ADDED = {"namespace": NAMESPACE, "app_kubernetes_io_instance": "vllm-main", "pod": "vllm-main-a"}
"""Labels that a scrape of a pod adds, by the chart's job as by a PodMonitor."""
LABELS = ",".join(f'{name}="{ADDED[name]}"' for name in ("namespace", "app_kubernetes_io_instance"))
MODEL = Watched(
    stack="prod",
    name="main",
    model="Qwen/Qwen3-8B",
    labels=LABELS,
    promised=PROMISED,
    alarms=[*ALARMS.values()],
    gpus=True,
    usd_per_server_hour=5.25,
)


def scaling_queries() -> dict[str, str]:
    """Of replicas that follow the load."""
    return {
        f"scaling {sample} {trigger['name']}": trigger["metadata"]["query"]
        for sample in SAMPLES
        for one in manifests(sample)
        if one["kind"] == "ScaledObject"
        for trigger in one["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    }


def panel_queries() -> dict[str, str]:
    """As they stand in Grafana's dashboard."""
    plots = [panel for panel in json.loads(board([MODEL]))["panels"] if panel["type"] == "timeseries"]
    return {f"{plot['title']}: {one['legendFormat']}": one["expr"] for plot in plots for one in plot["targets"]}


def rule_queries() -> dict[str, str]:
    return {f"alert {rule['alert']}": rule["expr"] for rule in rules(MODEL)}


def queries() -> dict[str, str]:
    return rule_queries() | scaling_queries() | panel_queries()
