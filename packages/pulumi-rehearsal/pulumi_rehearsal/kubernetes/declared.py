"""What a stack's state says of its cluster: objects and releases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pulumi_rehearsal.kubernetes import charts
from pulumi_rehearsal.kubernetes.api import Api, ApiError, Object
from pulumi_rehearsal.kubernetes.provider_plugin import RELEASE

SERVERS = ("kubernetes:apps/v1:Deployment", "kubernetes:leaderworkerset.x-k8s.io/v1:LeaderWorkerSet")
TIMEOUT = "pulumi.com/timeoutSeconds"
UNDECLARED_SECONDS = 600

LOOK = "rehearsal"
"""Field manager of a look that changes nothing."""

State = Sequence[Mapping[str, Any]]


def by_type(state: State) -> list[tuple[str, int, int]]:
    """Type, objects that the API server holds, and releases that are only recorded."""
    found: dict[str, list[bool]] = defaultdict(list)
    for resource in state:
        if resource["type"].startswith("kubernetes:"):
            found[resource["type"]].append(not _recorded(resource))
    return [(type, sum(held), len(held) - sum(held)) for type, held in sorted(found.items())]


def recorded_charts(state: State) -> dict[str, str]:
    """Releases that are only recorded, each with the reason."""
    return {charts.chart_name(one["inputs"]["chart"]): reason for one in state if (reason := _recorded(one))}


def _recorded(resource: Mapping[str, Any]) -> str:
    return charts.reason(charts.chart_name(resource["inputs"]["chart"])) if resource["type"] == RELEASE else ""


def manifests(state: State) -> list[Object]:
    """What the program declares, but for what is secret."""
    return [
        {key: value for key, value in resource["inputs"].items() if not key.startswith("__")}
        for resource in state
        if resource["type"].startswith("kubernetes:") and resource["type"] != RELEASE and "kind" in resource["inputs"]
    ]


def refusals(api: Api, declared: Iterable[Object]) -> Iterator[str]:
    """What the API server says to manifests when it looks at every field, which the provider only warns of."""
    for manifest in declared:
        try:
            api.apply(manifest, LOOK, force=True, fieldValidation="Strict", dryRun="All")
        except ApiError as error:
            yield f"{manifest['kind']} {manifest['metadata']['name']}: {error}"


def waits(state: State) -> dict[str, float | None]:
    """Seconds that the provider waits for servers before it fails, by name; none where `up` returns from them at once.

    Without a word of the program's it waits ten minutes, whatever `progressDeadlineSeconds` says.
    """
    found: dict[str, float | None] = {}
    for resource in state:
        if resource["type"] in SERVERS:
            annotations = resource["inputs"]["metadata"].get("annotations") or {}
            declared = annotations.get(TIMEOUT) or (resource.get("customTimeouts") or {}).get("create")
            at_once = annotations.get("pulumi.com/skipAwait") == "true" or "pulumi.com/waitFor" in annotations
            found[resource["inputs"]["metadata"]["name"]] = None if at_once else float(declared or UNDECLARED_SECONDS)
    return found
