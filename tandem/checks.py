"""What must hold before a single resource is declared: pins, driver gate, sizing, the stack's name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from tandem import rules
from tandem.canary import document
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import Problem, UserError, coded
from tandem.files import PROJECT
from tandem.objectives import impossible
from tandem.pins import Pins
from tandem.platforms import platform_of
from tandem.rules.cluster import models, prefix_of
from tandem.settings import Settings
from tandem.settings.commands import removed, set_to
from tandem.settings.inference import SpeculationSettings
from tandem.sizing.drafts import Drafted
from tandem.sizing.gpus import batch_size, smallest_step
from tandem.sizing.plan import Plan, plan
from tandem.sizing.serving import Speculation
from tandem.tags import MAIN_MODEL

PINS_NAMED = 5
"""Empty pins that a warning names; `tandem pin --offline` lists all."""


def problems(settings: Settings, pins: Pins, stack: str, sized: Plan) -> list[Problem]:
    """All that stops this stack, besides what the settings alone already told."""
    found = [
        *coded("stack_name_fits", _stack_name(stack)),
        *coded("model_names_fit", _model_names(settings, stack)),
        *coded("driver_runs_the_image", pins.driver_problems()),
        *coded("model_fits", sized.problems),
        *coded("objectives_are_possible", impossible(settings.objectives, sized.fastest_token_seconds, "objectives")),
    ]
    for name, further in _further(settings).items():
        at, promised = f"models.{name}", settings.models[name].objectives
        of_model = (replace(problem, key=f"{at}.{problem.key}") for problem in further.problems)
        possible = impossible(promised, further.fastest_token_seconds, f"{at}.objectives")
        found += [*coded("model_fits", of_model), *coded("objectives_are_possible", possible)]
    found += [
        *coded("canary_can_be_asked", _canaries(settings)),
        *coded("guesses_fit_beside_adapters", _guesses_beside_adapters(settings, sized)),
        *coded("code_of_models_is_pinned", _code_of_models(settings, pins)),
        *coded("what_lies_beside_is_pinned", _beside_without_pins(settings, pins)),
    ]
    if "karpenter" in platform_of(settings).charts:
        found += coded("chart_and_definitions_agree", pins.chart_problems())
    if settings.require_pins:
        found += coded("versions_are_pinned", missing_pins(settings, pins))
    return found


def _code_of_models(settings: Settings, pins: Pins) -> Iterator[Problem]:
    """Models whose code would run without anybody having said which."""
    for prefix, inference, _ in models(settings):
        pinned = pins.model_revision(inference.model) and pins.model_manifest(inference.model)
        if inference.trust_remote_code and (inference.weights == "s3" or not pinned):
            key = f"{prefix}inference.trustRemoteCode"
            yield Problem(
                key=key,
                wrong="would run whatever code lies beside the weights on the day",
                value=True,
                allowed="with weights: nvme or efs, of a model whose revision and manifest are in images/pins.toml",
                fix=f"`tandem pin --model {inference.model}`, or {removed(key)}",
            )


def _beside_without_pins(settings: Settings, pins: Pins) -> Iterator[Problem]:
    """Servers load an adapter or a draft from where its commit is kept."""
    for prefix, inference, _ in models(settings):
        for key, model in inference.beside.items():
            if not (pins.model_revision(model) and pins.model_manifest(model)):
                yield Problem(
                    key=f"{prefix}inference.{key}",
                    wrong="has no commit and manifest in images/pins.toml, by which servers load it",
                    value=model,
                    allowed="a repository that was looked up",
                    fix=f"`tandem pin --model {model}`",
                )


def _guesses_beside_adapters(settings: Settings, sized: Plan) -> Iterator[Problem]:
    """Beside adapters vLLM wants a step to hold a full batch with its guesses (`vllm/engine/arg_utils.py`)."""
    plans = {MAIN_MODEL: sized, **_further(settings)}
    for name, own in settings.each.items():
        prefix, inference = prefix_of(name), own.inference
        types = [INSTANCE_TYPES[name] for name in own.fleet.instance_types if name in INSTANCE_TYPES]
        guesses, tokens = inference.speculation, plans[name].max_num_batched_tokens
        for one in types if guesses and inference.adapters else ():
            requests, step = smallest_step([one], inference.max_num_seqs, tokens)
            if guesses and step < (wanted := requests * (1 + guesses.tokens)):
                key = f"{prefix}inference.speculation.tokens"
                yield Problem(
                    key=key,
                    wrong=f"beside adapters vLLM wants room for {requests} requests with their guesses in a step, "
                    f"{wanted} tokens, or does not start; {one.name} has steps of {step}",
                    value=guesses.tokens,
                    allowed=f"up to {step // requests - 1}, or {prefix}inference.maxNumBatchedTokens from {wanted}",
                    fix=f"{set_to(f'{prefix}inference.maxNumBatchedTokens', wanted)}, or lower "
                    f"{prefix}inference.maxNumSeqs",
                )


def _canaries(settings: Settings) -> Iterator[Problem]:
    """What is wrong with the files that they name."""
    for name, canary in settings.canaries.items():
        try:
            _ = document(canary, settings.scaled[name][0]) if canary else ""
        except UserError as error:
            yield from (replace(problem, key=prefix_of(name) + problem.key) for problem in error.problems)


def warnings(settings: Settings, pins: Pins, sized: Plan) -> list[str]:
    """What works and may surprise."""
    found = surprises(settings, sized)
    if not settings.require_pins and (empty := missing_pins(settings, pins)):
        names = [problem.key.removeprefix("images/pins.toml: ") for problem in empty]
        more = f" and {len(names) - PINS_NAMED} more" if len(names) > PINS_NAMED else ""
        found.append(
            f"not pinned, so the newest of the day is taken: {', '.join(names[:PINS_NAMED])}{more}; "
            f"`{platform_of(settings).pin_command}` looks them up"
        )
    return found


def surprises(settings: Settings, sized: Plan) -> list[str]:
    """What works and may surprise of the settings, and of how each model was sized."""
    plans = _further(settings)
    further = [f"models.{name}: {warning}" for name, plan in plans.items() for warning in plan.warnings]
    found = [*rules.warnings(settings), *sized.warnings, *further]
    for name, one in {MAIN_MODEL: sized, **plans}.items():
        inference, _ = settings.scaled[name]
        if inference.media_domains and one.reads_text_alone:
            found.append(f"{prefix_of(name)}inference.mediaDomains has no effect: {inference.model} reads text alone")
    return found


def size(settings: Settings) -> Plan:
    """The settings' main model on the smallest GPU of the fleet's types, with the batch that its servers are told."""
    platform, inference, instance_types = platform_of(settings), settings.inference, settings.fleet.instance_types
    guesses = inference.speculation
    sequences, known = inference.max_num_seqs, [one for one in instance_types if one in INSTANCE_TYPES]
    if known and not platform.knows_its_type:
        types = [INSTANCE_TYPES[name] for name in known]
        sequences = batch_size(types, sequences, inference.max_num_batched_tokens)
    return plan(
        model=inference.model,
        instance_types=instance_types,
        tensor_parallel_size=inference.tensor_parallel_size,
        pipeline_parallel_size=inference.pipeline_parallel_size,
        quantization=inference.quantization,
        kv_cache_dtype=inference.kv_cache_dtype,
        max_model_len=inference.max_model_len,
        max_num_seqs=sequences,
        max_num_batched_tokens=inference.max_num_batched_tokens,
        gpu_memory_utilization=inference.gpu_memory_utilization,
        speculation=guesses and Speculation(tokens=guesses.tokens, up_to_requests=guesses.up_to_requests),
        drafted=_drafted(guesses) if guesses else None,
        adapter_slots=inference.slots,
        adapter_rank=inference.largest_rank,
        hosts=1 if platform.keeps_pipelines else inference.pipeline_parallel_size,
        config_path=PROJECT / inference.model_config_file if inference.model_config_file else None,
        task=inference.task,
        overridden=any(one.startswith("--hf-overrides") for one in inference.extra_arguments),
    )


def _drafted(guesses: SpeculationSettings) -> Drafted | None:
    if guesses.method == "ngram" or guesses.model is None:
        return None
    file = guesses.model_config_file
    return Drafted(method=guesses.method, model=guesses.model, config_path=PROJECT / file if file else None)


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


def _further(settings: Settings) -> dict[str, Plan]:
    """The plans of the further models, by name."""
    return {name: size(settings.of(name)) for name in settings.models}


def missing_pins(settings: Settings, pins: Pins) -> list[Problem]:
    """Empty pins that this stack's platform, region and model need."""
    return platform_of(settings).missing_pins(pins) + (pins.missing_gateway() if settings.gateway else [])


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
    """The main model's resources, and those of batches, are called after these."""
    taken = (MAIN_MODEL, stack)
    return [
        Problem(
            key=f"models.{name}",
            wrong="is what the main model is called"
            if name in taken
            else "is what the group for `tandem batch` is called",
            value=name,
            allowed=f"another name than main and {stack}, on platform ec2 none that begins with batch",
            fix=f"rename tandem:models.{name} in the stack's file",
        )
        for name in settings.models
        if name in taken or (settings.platform == "ec2" and name.startswith("batch"))
    ]
