"""The alarms of a model as alert rules of Prometheus: the same list, the same objectives, the same names. Pure.

An alarm of CloudWatch looks at figures of a minute, in so many minutes in a row; a rule asks vLLM's own series, and
must hold as long. Latencies need no percentile here: the share of late answers is compared with what may be late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from tandem.alarms import CERTIFICATE, KEYS, Alarm, Both
from tandem.observing import queries
from tandem.observing.queries import span
from tandem.observing.watched import Watched
from tandem.tags import MAIN_MODEL

INTERVAL = 30
"""Seconds between looks at the rules; the servers should be asked as often, so that each minute has two answers."""
REMEMBERED = "7d:5m"
"""A model that has not served for so long is not missed."""
Rule = dict[str, Any]

WITHOUT_RULE = {
    CERTIFICATE.name: "the certificate is the load balancer's, and ACM tells CloudWatch alone",
}
"""Alarms that have none, and why."""


def _late(alarm: Alarm, labels: str) -> str:
    """The percentile of the alarm says how many may be late."""
    share = round(1 - float(alarm.statistic.removeprefix("p")) / 100, 6)
    return f"{queries.late(alarm.metric, alarm.above, span(alarm.period), labels)} > {share:g}"


def _failed(alarm: Alarm, labels: str) -> str:
    asked = queries.asked(alarm.period, labels)
    if alarm.statistic == "SampleCount":
        return f"{asked} * {alarm.period} > {alarm.above:g}"
    return f"{queries.failed(alarm.period, labels)} / {asked} > {alarm.above:g}"


def _queued(alarm: Alarm, labels: str) -> str:
    """The figure is for how long; the series is how many."""
    return f"max(min_over_time({queries.waiting(labels)}[{span(int(alarm.above))}])) > 0"


def _stalled(alarm: Alarm, labels: str) -> str:
    return f"count({queries.stuck(int(alarm.above), labels)}) > 0"


def _restarts(alarm: Alarm, labels: str) -> str:
    return f"{queries.starts(span(alarm.period), labels)} > {alarm.above:g}"


def _cache(alarm: Alarm, labels: str) -> str:
    return f"max(max_over_time({queries.cache_used(labels)}[{span(alarm.period)}])) > {alarm.above / 100:g}"


def _preemptions(alarm: Alarm, labels: str) -> str:
    """Of two minutes at least: one may have a single answer, between which nothing increases."""
    return f"{queries.added('num_preemptions', span(max(alarm.period, 120)), labels)} > {alarm.above:g}"


def _servers(alarm: Alarm, labels: str) -> str:
    """Not before one has served, so that a first start calls nobody."""
    if alarm.enough:  # few, as often as CloudWatch wants it
        few = f"{queries.servers(labels)} < {alarm.above * 60 / alarm.period:g}"
        return f"count_over_time(({few})[{span(alarm.period * alarm.periods)}:{span(alarm.period)}]) >= {alarm.enough}"
    return (
        f"absent({queries.running(labels)}) and on() count(present_over_time({queries.running(labels)}[{REMEMBERED}]))"
    )


def _gpus(alarm: Alarm, labels: str) -> str:
    return f"{queries.gpus('errors', labels)} > {alarm.above:g}"


def _canary(alarm: Alarm, labels: str) -> str:
    return f"{queries.canary(labels)} > {alarm.above:g}"


def _keys(alarm: Alarm, labels: str) -> str:
    return f"{queries.key_days(labels)} < {alarm.above:g}"


READINGS: Mapping[str, tuple[Callable[[Alarm, str], str], str]] = {
    "FirstToken": (_late, "the share of late answers, from the bucket of the objective: no percentile is guessed"),
    "BetweenTokens": (_late, "the share of late tokens, likewise"),
    "Failed": (_failed, "the edge's counts, and vLLM's of what is refused inside of a stream"),
    "Queued": (_queued, "some request waited at each look of a minute"),
    "Stalled": (_stalled, "requests all the time, and neither a token read nor one made"),
    "Restarts": (_restarts, "the time at which a server says that it started has changed"),
    "KvCacheUsed": (_cache, "the highest of a minute, as in CloudWatch: the share goes up and down"),
    "Preemptions": (_preemptions, "vLLM's own count"),
    "Servers": (_servers, "how many tell vLLM's series; none is missed that was not there in the last days"),
    "CanaryFailed": (_canary, "what the agent beside the edge found in its last run"),
    "KeyDays": (_keys, "what the main model's edges read of all clients; it ends with a new key, and with the key"),
    "GpuErrors": (_gpus, "what the host's watchdog found, which has it replaced; pods' nodes have their own"),
}
"""How a figure of CloudWatch is read from Prometheus, and by what."""


def rules(model: Watched) -> list[Rule]:
    """Of one model, by name; none of WITHOUT_RULE. The main model has the stack's beside its own."""
    of_stack = [KEYS] if model.name == MAIN_MODEL else []
    return [_rule(model, alarm) for alarm in (*model.alarms, *of_stack) if alarm.name not in WITHOUT_RULE]


def rule_groups(models: Sequence[Watched]) -> list[dict[str, Any]]:
    """A group for each model, as a rules file and a PrometheusRule have them
    (https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/)."""
    return [
        {"name": f"tandem-{model.stack}-{model.name}", "interval": span(INTERVAL), "rules": rules(model)}
        for model in models
    ]


def rules_file(models: Sequence[Watched]) -> str:
    """The groups as the YAML that Prometheus and Amazon's take."""
    return yaml.safe_dump({"groups": rule_groups(models)}, sort_keys=False, width=10_000)


def _rule(model: Watched, alarm: Alarm | Both) -> Rule:
    parts = alarm.of if isinstance(alarm, Both) else [alarm]
    holds = max(0 if part.enough else (part.periods - 1) * part.period for part in parts)
    return {
        "alert": alarm.name,
        "expr": " and ".join(_conditions(parts, model.labels)),
        **({"for": span(holds)} if holds else {}),
        "labels": {"stack": model.stack, "model": model.name, "severity": severity(alarm.name)},
        "annotations": {
            "summary": f"{model.name}: {alarm.says}",
            "command": first_command(alarm.name, model),
            "runbook": f"docs/alarms.md#{anchor(alarm.name)}",
        },
    }


def _conditions(parts: Sequence[Alarm], labels: str) -> Iterator[str]:
    for part in parts:
        read, _ = READINGS[part.metric]
        condition = read(part, labels)
        yield f"({condition})" if len(parts) > 1 else condition


def severity(name: str) -> str:
    """A slow burn can wait for the morning."""
    return "warning" if name.endswith("-slow") else "critical"


_ASKED = {
    "errors": "tandem smoke {stack}",
    "canary": "tandem canary {stack}",
    "key-expiry": "tandem keys list {stack}",
    "between-tokens": "tandem size {model}",
    "kv-cache": "tandem size {model}",
}


def first_command(name: str, model: Watched) -> str:
    """The command with which the alarm's page begins."""
    command = _ASKED.get(kind(name), "tandem status {stack}")
    return command.format(stack=model.stack, model=model.model)


def kind(name: str) -> str:
    """What is burning, whether fast or slow."""
    return name.removesuffix("-fast").removesuffix("-slow")


def anchor(name: str) -> str:
    """Of its page: the fast and the slow one have one together."""
    burning = kind(name)
    return name if burning == name else f"{burning}-fast-{burning}-slow"
