"""Every query that the project has for Prometheus, by what it is for."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import yaml

from tandem.kubernetes.names import NAMESPACE
from tandem.observing.grafana import board
from tandem.observing.panels import WINDOW
from tandem.observing.queries import right_guesses
from tandem.observing.rules import rules
from tandem.observing.watched import Watched
from tests.infra.kubernetes.samples import GOLDEN
from tests.shared.world import ALARMS, PROMISED

ADDED = {
    "pod": {"namespace": NAMESPACE, "app_kubernetes_io_instance": "vllm-main", "pod": "vllm-main-a"},
    "host": {"stack": "prod", "model": "main", "host": "i-0"},
}
"""Labels that a scrape adds: of a pod by the chart's job as by a PodMonitor, of a host by its own agent."""
CHOSEN = {"pod": ("namespace", "app_kubernetes_io_instance"), "host": ("stack", "model")}
LABELS = {place: ",".join(f'{name}="{ADDED[place][name]}"' for name in names) for place, names in CHOSEN.items()}
MODEL = Watched(
    stack="prod",
    name="main",
    model="Qwen/Qwen3-8B",
    labels=LABELS["pod"],
    promised=PROMISED,
    alarms=[alarm for alarm in ALARMS.values() if alarm.name != "gpu"],
    gpus=False,
    usd_per_server_hour=5.25,
)
HOST = replace(MODEL, labels=LABELS["host"], alarms=[*ALARMS.values()], gpus=True)
MODELS = {"pod": MODEL, "host": HOST}


def scaling_queries() -> dict[str, str]:
    """Of replicas that follow the load, from the golden manifests, which are the program's."""
    return {
        f"scaling {path.stem} {trigger['name']}": trigger["metadata"]["query"]
        for path in sorted(GOLDEN.glob("*.yaml"))
        for one in yaml.load_all(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
        if one["kind"] == "ScaledObject"
        for trigger in one["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    }


def panel_queries(place: str) -> dict[str, str]:
    """As they stand in Grafana's dashboard."""
    plots = [panel for panel in json.loads(board([MODELS[place]]))["panels"] if panel["type"] == "timeseries"]
    return {f"{plot['title']}: {one['legendFormat']}": one["expr"] for plot in plots for one in plot["targets"]}


def rule_queries(place: str) -> dict[str, str]:
    return {f"alert {rule['alert']}": rule["expr"] for rule in rules(MODELS[place])}


@functools.cache
def queries(place: str) -> dict[str, str]:
    scaled = scaling_queries() if place == "pod" else {}
    guesses = {"right guesses": right_guesses(WINDOW, LABELS[place])}  # a panel where there are any
    return rule_queries(place) | scaled | panel_queries(place) | guesses


EVERY = [(place, what) for place in MODELS for what in queries(place)]
"""Where, and what for."""
