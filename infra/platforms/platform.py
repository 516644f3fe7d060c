"""What a platform answers: everything in which one differs from the other before its servers are declared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from tandem.pins import Pins
from tandem.settings import Settings

from .context import StackContext


def as_it_is(_name: str, _stack: str, here: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    """Nothing has to be free before the first resource is made."""
    return here


def anywhere(_name: str, _stack: str, _settings: Settings, _pins: Pins, _provider: pulumi.ProviderResource) -> None:
    """Nothing stands in the way."""


@dataclass(frozen=True, kw_only=True)
class Platform:
    """One way to run servers.

    Attributes:
        build: declares the servers behind network and load balancer; returns the outputs that only it has.
        target_type: what the load balancer's targets are called by.
        health_path: what the load balancer asks of them.
        open_endpoints: interface endpoints let in all of the network: not only servers' security groups need them.
        refuse: raises where the stack cannot be where its settings want it, from name, stack, settings, pins and
            provider; nothing is made by then.
        first: options of what is made first, from name, stack and those of the region.
    """

    build: Callable[[StackContext], dict[str, Any]]
    target_type: Literal["instance", "ip"]
    health_path: str
    open_endpoints: bool = False
    refuse: Callable[[str, str, Settings, Pins, pulumi.ProviderResource], None] = anywhere
    first: Callable[[str, str, pulumi.ResourceOptions], pulumi.ResourceOptions] = as_it_is
