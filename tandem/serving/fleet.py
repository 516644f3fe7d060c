"""What vLLM needs where it may run on any of a fleet's instance types: a pod does not know its node beforehand."""

from __future__ import annotations

from itertools import chain

from tandem import capacity
from tandem.pins import Pins
from tandem.serving.engine import Engine, Profile
from tandem.serving.vllm import admission_arguments, profile
from tandem.settings.schema import Settings


def profiles(settings: Settings, pins: Pins, gpus: int) -> list[Profile]:
    """What each type needs where a server has so many GPUs."""
    return [profile(one, pins.nvidia_driver.branch, gpus) for one in capacity.node_types(settings)]


def profile_arguments(settings: Settings, pins: Pins, engine: Engine) -> list[str]:
    """vLLM's arguments that any of the types needs: a pod does not know where it will run. Its batch suits them all."""
    needed = dict.fromkeys(tuple(one.arguments) for one in profiles(settings, pins, engine.tensor_parallel_size))
    return [*chain.from_iterable(needed), *admission_arguments(engine, capacity.node_types(settings))]


def over_pcie(settings: Settings, pins: Pins, gpus: int) -> bool:
    """Whether a start may hang on GPUs that reach each other over PCIe."""
    return any(one.over_pcie for one in profiles(settings, pins, gpus))


def profile_environment(settings: Settings, pins: Pins, gpus: int) -> dict[str, str]:
    """The same for the environment."""
    return {key: value for one in profiles(settings, pins, gpus) for key, value in one.environment.items()}
