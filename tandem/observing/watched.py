"""The models of a stack as alarms, rules and panels see them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tandem.alarms import Alarm, Both, alarms
from tandem.catalog import prices
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.kubernetes.names import NAMESPACE, server_name
from tandem.objectives import Objectives, objectives
from tandem.platforms import platform_of
from tandem.settings.schema import Settings
from tandem.sizing.plan import Plan

MATCHERS = {
    "ec2": 'stack="{stack}",model="{name}"',
    "eks": f'namespace="{NAMESPACE}",app_kubernetes_io_instance="{{server}}"',
}
"""Of PromQL, by which a model's servers are known: hosts' own agent labels them (cloud-init/host/remote_write.py), pods
are labelled by whoever asks them."""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One model.

    Attributes:
        stack: to which it belongs.
        name: main, or as the settings name a further one.
        model: on the hub.
        labels: matchers of PromQL, by which its servers' series are told from others'.
        promised: to its clients.
        alarms: of it.
        tokens: it makes some.
        gpus: its machines report what their GPUs say.
        usd_per_server_hour: of the GPUs of one server, on demand, at the list price of the fleet's first type.
        guesses_pay_from: share of guessed tokens that must be right, 0 where sizing does not say; None where nothing
            is guessed.
    """

    stack: str
    name: str
    model: str
    labels: str
    promised: Objectives
    alarms: Sequence[Alarm | Both]
    tokens: bool = True
    gpus: bool
    usd_per_server_hour: float
    guesses_pay_from: float | None = None


def watched(settings: Settings, stack: str, sized: Callable[[Settings], Plan]) -> list[Watched]:
    """Each model of a stack, the main one first.

    Args:
        sized: what sizing says of the main model of some settings.
    """
    return [_watched(name, own, stack, sized(own)) for name, own in settings.each.items()]


def _watched(name: str, own: Settings, stack: str, plan: Plan) -> Watched:
    platform, inference, first = platform_of(own), own.inference, own.fleet.instance_types[0]
    gpu_hour = prices.on_demand(first, own.region) / INSTANCE_TYPES[first].gpus
    promised = objectives(own.objectives, plan.fastest_token_seconds)
    return Watched(
        stack=stack,
        name=name,
        model=inference.model,
        labels=MATCHERS[own.platform].format(stack=stack, name=name, server=server_name(name)),
        promised=promised,
        alarms=alarms(
            promised,
            always_on=own.always_on,
            servers=platform.servers,
            gpus=platform.sees_gpus,
            canary=own.canary is not None,
            tokens=inference.makes_tokens,
        ),
        tokens=inference.makes_tokens,
        gpus=platform.sees_gpus,
        usd_per_server_hour=gpu_hour * inference.gpus,
        guesses_pay_from=plan.guesses_pay_from if inference.speculation else None,
    )
