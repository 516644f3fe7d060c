"""The models of a stack as alarms, rules and panels see them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tandem.alarms import Alarm, Both, alarms
from tandem.kubernetes.names import NAMESPACE, server_name
from tandem.objectives import Objectives, objectives
from tandem.platforms import platform_of
from tandem.settings.schema import InferenceSettings, Settings


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
    """

    stack: str
    name: str
    model: str
    labels: str
    promised: Objectives
    alarms: Sequence[Alarm | Both]


def watched(
    settings: Settings, stack: str, fastest_token_seconds: Callable[[InferenceSettings], float | None]
) -> list[Watched]:
    """Each model of a stack, the main one first.

    Args:
        fastest_token_seconds: what sizing says that a token of a model takes at least; None where it does not say.
    """
    platform = platform_of(settings)
    return [
        Watched(
            stack=stack,
            name=name,
            model=inference.model,
            labels=f'namespace="{NAMESPACE}",app_kubernetes_io_instance="{server_name(name)}"',
            promised=(promised := objectives(settings.promised[name], fastest_token_seconds(inference))),
            alarms=alarms(promised, servers=platform.servers(scaling), gpus=platform.sees_gpus),
        )
        for name, (inference, scaling) in settings.scaled.items()
    ]
