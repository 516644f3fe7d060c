"""What must hold before a single resource is declared: pins, driver gate, sizing, the stack's name."""

from __future__ import annotations

import re

import pulumi

from infra.errors import Problem, UserError
from infra.pins import Pins
from infra.settings import Settings, rules
from infra.sizing import Plan, plan


def problems(settings: Settings, pins: Pins, stack: str, sized: Plan) -> list[Problem]:
    """All that stops this stack, besides what the settings alone already told."""
    found = [*_stack_name(stack), *pins.driver_problems(), *sized.problems]
    if settings.require_pins:
        found += pins.missing(settings.region, settings.inference.model, settings.fleet.machine_image_id)
    return found


def warnings(settings: Settings, pins: Pins, sized: Plan) -> list[str]:
    """What works and may surprise."""
    found = [*rules.warnings(settings), *sized.warnings]
    empty = pins.missing(settings.region, settings.inference.model, settings.fleet.machine_image_id)
    if empty and not settings.require_pins:
        names = ", ".join(problem.key.removeprefix("images/pins.toml: ") for problem in empty)
        found.append(f"not pinned, so hosts take the newest of the day: {names}; `tandem pin` looks them up")
    return found


def size(settings: Settings) -> Plan:
    """The settings' model on the smallest GPU of the fleet."""
    inference = settings.inference
    return plan(
        model=inference.model,
        instance_types=settings.fleet.instance_types,
        quantization=inference.quantization,
        kv_cache_dtype=inference.kv_cache_dtype,
        max_model_len=inference.max_model_len,
        max_num_seqs=inference.max_num_seqs,
        max_num_batched_tokens=inference.max_num_batched_tokens,
        gpu_memory_utilization=inference.gpu_memory_utilization,
    )


def check(settings: Settings, pins: Pins, stack: str) -> Plan:
    """Refuses what cannot work, warns of what may surprise, and returns what sizing planned.

    Raises:
        UserError: with every problem at once.
    """
    sized = size(settings)
    if found := problems(settings, pins, stack, sized):
        raise UserError(*found)
    for warning in warnings(settings, pins, sized):
        pulumi.log.warn(warning)
    return sized


def _stack_name(stack: str) -> list[Problem]:
    if re.fullmatch(r"[a-z][a-z0-9-]{0,22}[a-z0-9]", stack):
        return []
    return [
        Problem(
            key="stack",
            wrong="this name does not fit where AWS wants it (load balancers have 32 characters, 8 of them random)",
            value=stack,
            allowed="2 to 24 lower-case letters, digits and -, a letter first",
            fix="`pulumi stack init` with a shorter name",
        )
    ]
