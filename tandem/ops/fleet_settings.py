"""The settings that make a stack of a fleet, on each platform; and whether tandem itself takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import TypeAdapter, ValidationError

from tandem import checks
from tandem.catalog.instances import GPUS_PER_REPLICA
from tandem.catalog.models import MODELS
from tandem.errors import Problem, UserError
from tandem.files import PROJECT
from tandem.loading import load
from tandem.objectives import impossible
from tandem.rules.hosts import region_is_of_the_main_partition
from tandem.settings import Settings, parsing
from tandem.settings.cluster import ScalingSettings
from tandem.settings.types import BETWEEN_TOKENS, FIRST_TOKEN, ProjectPath
from tandem.sizing.fleet import SPARE_HOSTS, Demand, Fleet, Lack
from tandem.sizing.plan import SETTINGS
from tandem.tasks import Task

PlatformName = Literal["ec2", "eks"]
PLATFORMS: tuple[PlatformName, ...] = get_args(PlatformName)
FLAGS = {setting: flag for flag, setting in SETTINGS.items() if flag.startswith("--")} | {
    "inference.tensorParallelSize": "--tp",
    "inference.model": "MODEL",
    "region": "--region",
}
"""What `tandem size` calls a setting."""
COPIED = "models/config.json"
"""Where in the project a config.json belongs that is elsewhere, or has a name that settings do not take."""
_IN_PROJECT = TypeAdapter(ProjectPath)


@dataclass(frozen=True, kw_only=True)
class Named:
    """How settings name the model.

    Attributes:
        inference: of that section.
        copy: the file that has to be copied to `modelConfigFile` first.
    """

    inference: Mapping[str, str]
    copy: Path | None = None

    @property
    def sized(self) -> bool:
        """Whether a stack knows the model's shape; else what sizing chose is written down."""
        return "modelConfigFile" in self.inference or self.inference["model"] in MODELS


def named(model: str | None, config: Path | None, task: Task = "generate") -> Named:
    """A model of the catalog or the hub, or one whose config.json is given."""
    does = {"task": task} if task != "generate" else {}
    if config is None:
        return Named(inference={"model": model or "", **does})
    path = config.resolve()
    path = path / "config.json" if path.is_dir() else path
    inside = _in_project(path)
    where = {"model": "ORGANISATION/MODEL", **does, "modelConfigFile": inside or COPIED}
    return Named(inference=where, copy=None if inside else path)


def _in_project(path: Path) -> str | None:
    """As `inference.modelConfigFile` takes it; None where it does not."""
    try:
        return _IN_PROJECT.validate_python(path.relative_to(PROJECT).as_posix())
    except (ValueError, ValidationError):
        return None


def not_settings(region: str, asked: Mapping[str, object]) -> Iterator[Problem]:
    """What a stack cannot be told, whichever fleet it has: options of which there is no setting with this value.

    Args:
        asked: settings of `inference` as options say them; None for those that are left out.
    """
    inference = {key: value for key, value in asked.items() if value is not None}
    try:
        settings = parsing.parse({"tandem:region": region, "tandem:inference": json.dumps(inference)})
        found = tuple(region_is_of_the_main_partition(settings))
    except UserError as error:
        found = error.problems
    for problem in found:
        flag = FLAGS.get(problem.key, problem.key)
        yield Problem(
            key=flag,
            wrong=f"as a stack's {problem.key} it {problem.wrong}",
            value=problem.value,
            allowed=problem.allowed,
            fix=f"choose another {flag}, or ask without --requests-per-second which types hold the model",
        )


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A fleet, and a stack file of it for each platform that can have it.

    Attributes:
        refused: what tandem says against it on the others.
    """

    fleet: Fleet
    settings: Mapping[PlatformName, Mapping[str, Any]]
    refused: Mapping[PlatformName, Problem]


def stacks(fleets: Iterable[Fleet], model: Named, region: str) -> tuple[tuple[Stack, ...], tuple[Lack, ...]]:
    """Those that a platform takes, as its stack file would be read and checked; and why others are none."""
    found = [_stack(fleet, model, region) for fleet in fleets]
    return tuple(one for one in found if one.settings), tuple(_lack(one) for one in found if not one.settings)


def _stack(fleet: Fleet, model: Named, region: str) -> Stack:
    written: dict[PlatformName, dict[str, Any]] = {
        platform: settings_of(fleet, model, region, platform) for platform in PLATFORMS
    }
    problems: dict[PlatformName, tuple[Problem, ...]] = {
        platform: _problems(one, model) for platform, one in written.items()
    }
    return Stack(
        fleet=fleet,
        settings={platform: one for platform, one in written.items() if not problems[platform]},
        refused={platform: found[0] for platform, found in problems.items() if found},
    )


def _lack(stack: Stack) -> Lack:
    way, problem = stack.fleet.way, next(iter(stack.refused.values()))
    name = f"{way.instance_type.name} {way.quantization or ''}".strip()
    return Lack(name, f"its settings are refused: {problem.key} {problem.wrong}; is {problem.value}", fix=problem.fix)


def _problems(document: Mapping[str, Any], model: Named) -> tuple[Problem, ...]:
    config = {key: value if isinstance(value, str) else json.dumps(value) for key, value in document["config"].items()}
    try:
        settings = load(config)
    except UserError as error:
        return error.problems
    return () if model.copy else tuple(_sized_problems(settings))


def _sized_problems(settings: Settings) -> Iterator[Problem]:
    sized = checks.size(settings)
    yield from sized.problems
    yield from impossible(settings.objectives, sized.fastest_token_seconds, "objectives")


def settings_of(fleet: Fleet, model: Named, region: str, platform: PlatformName) -> dict[str, Any]:
    """Of a stack file, as it is read."""
    way, demand = fleet.way, fleet.demand
    serving = way.sizing.serving
    inference = {
        **model.inference,
        "quantization": way.quantization,
        "tensorParallelSize": tp if (tp := serving.tensor_parallel_size) != GPUS_PER_REPLICA else None,
        "kvCacheDtype": None if serving.kv_cache_dtype == "auto" else serving.kv_cache_dtype,
        "gpuMemoryUtilization": serving.gpu_memory_utilization if model.sized else way.sizing.utilization,
        "maxModelLen": serving.max_model_len,
        "maxNumSeqs": serving.max_num_seqs,
        "maxNumBatchedTokens": serving.max_num_batched_tokens if model.sized else way.sizing.batch.tokens,
        "speculation": {"tokens": serving.speculation.tokens} if serving.speculation else None,
    }
    objectives = {
        "firstTokenSeconds": _bound(FIRST_TOKEN, demand.first_token),
        "betweenTokensSeconds": _bound(BETWEEN_TOKENS, demand.between_tokens),
    }
    sections = {"region": region, **_hosts_of(fleet, platform), "inference": inference, "objectives": objectives}
    sections["fleet"] = {"instanceTypes": [way.instance_type.name], **sections["fleet"]}
    return {"config": {f"tandem:{key}": _set(value) for key, value in sections.items() if _set(value)}}


def _hosts_of(fleet: Fleet, platform: PlatformName) -> dict[str, Any]:
    bought = {"onDemandPercentage": 0 if fleet.spot_usd else None}
    if platform == "ec2":
        return {"fleet": {"hosts": fleet.needed, "spareHosts": SPARE_HOSTS, **bought}}
    at_once, usual = fleet.way.sizing.batch.requests, ScalingSettings().running_requests_per_replica
    return {
        "platform": "eks",
        "fleet": {"maxHosts": fleet.hosts + 1, **bought},
        "scaling": {
            "minReplicas": fleet.replicas,
            "maxReplicas": fleet.replicas,
            "runningRequestsPerReplica": at_once if at_once < usual else None,
        },
    }


def _set(section: Any) -> Any:
    return {key: value for key, value in section.items() if value is not None} if isinstance(section, dict) else section


def _bound(bounds: tuple[float, ...], wanted: float | None) -> float | None:
    """The nearest that vLLM counts by, not below what is wanted."""
    return next((bound for bound in bounds if wanted and bound >= wanted), None)


def rounded(demand: Demand) -> Iterator[str]:
    """Which objectives are not as they were asked for."""
    for key, bounds, wanted in (
        ("firstTokenSeconds", FIRST_TOKEN, demand.first_token),
        ("betweenTokensSeconds", BETWEEN_TOKENS, demand.between_tokens),
    ):
        if wanted and (bound := _bound(bounds, wanted)) != wanted:
            kept = f"is {bound:g}, the next above {wanted:g}" if bound else f"is left out: none is above {wanted:g}"
            yield f"objectives.{key} {kept} of the bounds by which vLLM counts."
