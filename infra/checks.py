"""What must hold before a single resource is declared: pins, driver gate, sizing, the stack's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from infra import rules
from infra.catalog.instances import INSTANCE_TYPES
from infra.errors import Problem, UserError
from infra.pins import Pins
from infra.settings import Settings
from infra.settings.schema import InferenceSettings
from infra.sizing.gpus import batch_size
from infra.sizing.plan import Plan, plan
from infra.tags import MAIN_MODEL

PROJECT = Path(__file__).resolve().parents[1]
PINS_NAMED = 5
"""Empty pins that a warning names; `tandem pin --offline` lists all."""


def problems(settings: Settings, pins: Pins, stack: str, sized: Plan) -> list[Problem]:
    """All that stops this stack, besides what the settings alone already told."""
    found = [*_stack_name(stack), *_model_names(settings, stack), *pins.driver_problems(), *sized.problems]
    for name, model in settings.models.items():
        further = size_of(model.inference, settings.fleet.instance_types, settings.platform)
        found += [replace(problem, key=f"models.{name}.{problem.key}") for problem in further.problems]
    if settings.require_pins:
        found += missing_pins(settings, pins)
    return found


def warnings(settings: Settings, pins: Pins, sized: Plan) -> list[str]:
    """What works and may surprise."""
    found = [*rules.warnings(settings), *sized.warnings]
    empty = missing_pins(settings, pins)
    if empty and not settings.require_pins:
        names = [problem.key.removeprefix("images/pins.toml: ") for problem in empty]
        more = f" and {len(names) - PINS_NAMED} more" if len(names) > PINS_NAMED else ""
        command = "tandem pin --kubernetes" if settings.platform == "eks" else "tandem pin"
        found.append(
            f"not pinned, so the newest of the day is taken: {', '.join(names[:PINS_NAMED])}{more}; "
            f"`{command}` looks them up"
        )
    return found


def size(settings: Settings) -> Plan:
    """The settings' main model on the smallest GPU of the fleet."""
    return size_of(settings.inference, settings.fleet.instance_types, settings.platform)


def size_of(inference: InferenceSettings, instance_types: Sequence[str], platform: str) -> Plan:
    """One model on the smallest GPU of these types. Stages of a pipeline are hosts; only eks keeps them together.

    A pod does not know on which type it will run: its batch is the one that suits them all.
    """
    sequences = inference.max_num_seqs
    if platform == "eks" and (types := [INSTANCE_TYPES[name] for name in instance_types if name in INSTANCE_TYPES]):
        sequences = batch_size(types, sequences, inference.max_num_batched_tokens)
    return plan(
        model=inference.model,
        instance_types=instance_types,
        pipeline_parallel_size=inference.pipeline_parallel_size,
        quantization=inference.quantization,
        kv_cache_dtype=inference.kv_cache_dtype,
        max_model_len=inference.max_model_len,
        max_num_seqs=sequences,
        max_num_batched_tokens=inference.max_num_batched_tokens,
        gpu_memory_utilization=inference.gpu_memory_utilization,
        hosts=1 if platform == "eks" else inference.pipeline_parallel_size,
        config_path=PROJECT / inference.model_config_file if inference.model_config_file else None,
    )


def check(settings: Settings, pins: Pins, stack: str, warn: Callable[[str], object]) -> Plan:
    """Refuses what cannot work, warns of what may surprise, and returns what sizing planned.

    Args:
        warn: is told each warning, where nothing is wrong.

    Raises:
        UserError: with every problem at once.
    """
    sized = size(settings)
    if found := problems(settings, pins, stack, sized):
        raise UserError(*found)
    for warning in warnings(settings, pins, sized):
        warn(warning)
    return sized


def missing_pins(settings: Settings, pins: Pins) -> list[Problem]:
    """Empty pins that this stack's platform, region and model need."""
    region, machine_image = settings.region, settings.fleet.machine_image_id
    if settings.platform == "eks":
        pool = settings.node_pool
        managed = pool.provisioner == "managed"
        return pins.missing_kubernetes(
            region, settings.models_served, pool.image, managed=managed, machine_image=machine_image
        )
    return pins.missing(region, settings.inference.model, machine_image)


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


def _model_names(settings: Settings, stack: str) -> list[Problem]:
    """The main model's resources are called after these."""
    return [
        Problem(
            key=f"models.{name}",
            wrong="is what the main model is called",
            value=name,
            allowed=f"another name than main and {stack}",
            fix=f"rename tandem:models.{name} in the stack's file",
        )
        for name in settings.models
        if name in (MAIN_MODEL, stack)
    ]
