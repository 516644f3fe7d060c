"""What a model that makes no tokens leaves without sense, and which paths lead to it."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.vllm_arguments import arguments
from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import removed, set_to
from tandem.settings.inference import InferenceSettings
from tandem.settings.observing import ObjectiveSettings
from tandem.settings.schema import Settings
from tandem.tags import MAIN_MODEL
from tandem.tasks import PATHS, PROBES, READ_PATHS, answers


def paths_lead_to_models(settings: Settings) -> Iterator[Problem]:
    """Each path that somebody lists is one that some model answers."""
    key, listed = "loadBalancer.paths", settings.load_balancer.paths
    for number, path in enumerate(listed):
        if "paths" in settings.load_balancer.model_fields_set and path not in settings.paths:
            tasks = dict.fromkeys(inference.task for _, inference, _ in models(settings))
            yield Problem(
                key=f"{key}[{number}]",
                wrong=f"vLLM answers it with no model whose inference.task is {' or '.join(tasks)}",
                value=path,
                allowed=_answered(settings),
                fix=removed(f"{key}[{number}]"),
            )


def models_have_paths(settings: Settings) -> Iterator[Problem]:
    """A model that answers none of the listed paths serves nobody; a host's asks through its own edge, too, whether it
    is ready."""
    listed = settings.load_balancer.paths
    for prefix, inference, _ in models(settings):
        probes, task = PROBES[inference.task], f"{prefix}inference.task: {inference.task}"
        if settings.platform == "ec2":
            wrong, ways = "a host proves that it is ready by a request of its task through its own edge", set(probes)
        else:
            wrong, ways = (
                f"none of them leads to a model with {task}",
                {path for path in listed if answers(inference.task, path) and path not in READ_PATHS},
            )
        if not ways & set(listed):
            yield Problem(
                key="loadBalancer.paths",
                wrong=wrong,
                value=list(listed),
                allowed=f"with {' or '.join(probes)}",
                fix=set_to(f"loadBalancer.paths[{len(listed)}]", [*probes][-1]),
            )


def _answered(settings: Settings) -> str:
    found = (PATHS.get(inference.task, tuple(PROBES["generate"])) for _, inference, _ in models(settings))
    return f"paths such as {', '.join(dict.fromkeys(path for paths in found for path in (*paths, *READ_PATHS[:1])))}"


def tokens_are_made(settings: Settings) -> Iterator[Problem]:
    """What is of tokens that are made is said of models that make some."""
    for prefix, inference, _ in models(settings):
        if not inference.makes_tokens:
            name = prefix.removeprefix("models.").removesuffix(".") or MAIN_MODEL
            has_canary = settings.canaries[name] is not None
            yield from _of_tokens(prefix, inference, settings.promised[name], has_canary=has_canary)


def _of_tokens(
    prefix: str, inference: InferenceSettings, promised: ObjectiveSettings, *, has_canary: bool
) -> Iterator[Problem]:
    known = arguments()
    said: dict[str, tuple[object, str]] = {
        "inference.toolCallParser": (inference.tool_call_parser, "is of tokens"),
        "inference.reasoningParser": (inference.reasoning_parser, "is of tokens"),
        "inference.adapters": ([*inference.adapters] or None, "changes the tokens that are made"),
        "inference.speculation": (
            inference.speculation and inference.speculation.model_dump(by_alias=True, exclude_defaults=True),
            "guesses tokens",
        ),
        "inference.routing": (
            inference.routing and inference.routing.model_dump(by_alias=True, exclude_defaults=True),
            "is of a cache that answers begin from",
        ),
        "inference.kvCacheDtype": (
            None if inference.kv_cache_dtype == "auto" else inference.kv_cache_dtype,
            "is of the cache that answers fill token by token",
        ),
        "objectives.betweenTokensSeconds": (promised.between_tokens_seconds, "is from one token to the next"),
        "canary": ({} if has_canary else None, "asks for texts"),
        **{
            f"inference.extraArguments[{number}]": (argument, "is of tokens, or of a cache for them")
            for number, argument in enumerate(inference.extra_arguments)
            if known.base(argument.partition("=")[0]) in known.of_tokens
        },
    }
    for key, (value, wrong) in said.items():
        if value is not None:
            yield Problem(
                key=f"{prefix}{key}",
                wrong=f"{wrong}, and a model with task {inference.task} makes none",
                value=value,
                allowed=f"unset, or {prefix}inference.task: generate",
                fix=removed(f"{prefix}{key}"),
            )
