"""Rules of a load balancer: to which model a host name and a path lead, and in which order rules are looked at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tandem.tags import MAIN_MODEL

VALUES = 5
"""Conditions of a rule, host name and paths:
https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html"""
MAIN_PRIORITY = 49_901
"""Of the main model's first rule, behind those of all further models: it takes what names no other."""
GATEWAY = "gateway.teams"
"""In place of a model: where the gateway for teams is. No model's name has a dot."""
HEALTH_PRIORITY = 50_000
"""The last that there is, behind all rules of models and paths."""


@dataclass(frozen=True)
class Route:
    """One rule.

    Attributes:
        label: of its own among the stack's rules, and the same whatever other models there are, as is its priority.
        model: where it leads.
        host_name: of a further model; None takes any.
    """

    label: str
    model: str
    priority: int
    host_name: str | None
    paths: tuple[str, ...]


def routes(paths: Mapping[str, Sequence[str]], hosts: Mapping[str, str]) -> list[Route]:
    """All rules of a stack.

    Args:
        paths: that lead to each model.
        hosts: of the models beside the main one, each under a host name of its own.
    """
    return [route for model, own in paths.items() for route in _of(model, hosts.get(model), own)]


def _of(model: str, host_name: str | None, paths: Sequence[str]) -> Iterator[Route]:
    """A priority by the model's own name: numbered over all models, one more would move those of the others, and
    while an `up` does so one by one, their requests would go to another model."""
    size = VALUES - (host_name is not None)
    for number, start in enumerate(range(0, len(paths), size)):
        label = f"api-{model}-{number + 1}"
        priority = MAIN_PRIORITY + number if model == MAIN_MODEL else _spread(label)
        yield Route(label, model, priority, host_name, tuple(paths[start : start + size]))


def _spread(label: str) -> int:
    return 1 + int(hashlib.sha256(label.encode()).hexdigest(), 16) % (MAIN_PRIORITY - 1)
