"""What vLLM needs where it may run on any of a fleet's instance types: a pod does not know its node beforehand."""

from __future__ import annotations

from itertools import chain

from tandem import capacity
from tandem.pins import Pins
from tandem.serving.engine import Engine
from tandem.serving.vllm import admission_arguments, profile
from tandem.settings.schema import Settings


def profile_arguments(settings: Settings, pins: Pins, engine: Engine) -> list[str]:
    """vLLM's arguments that any of the types needs: a pod does not know where it will run. Its batch suits them all."""
    types = capacity.node_types(settings)
    needed = dict.fromkeys(tuple(profile(one, pins.nvidia_driver.branch).arguments) for one in types)
    return [*chain.from_iterable(needed), *admission_arguments(engine, types)]


def over_pcie(settings: Settings, pins: Pins) -> bool:
    """Whether a start may hang on GPUs that reach each other over PCIe."""
    return any(profile(one, pins.nvidia_driver.branch).over_pcie for one in capacity.node_types(settings))


def profile_environment(settings: Settings, pins: Pins) -> dict[str, str]:
    """The same for the environment."""
    return {
        key: value
        for one in capacity.node_types(settings)
        for key, value in profile(one, pins.nvidia_driver.branch).environment.items()
    }
