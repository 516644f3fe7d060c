"""Are manifests valid in other Kubernetes versions? kubeconform says so, strictly, by the API that each version has.

Its schemas are made from the OpenAPI document that lies in each version's Go module, and from the CRDs of the charts;
nothing else is downloaded.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pulumi_rehearsal import go_build
from pulumi_rehearsal.cache import Progress, cache_directory, make_once
from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.build import (
    CONTROL_PLANE,
    CRD_DIRECTORIES,
    CRDS,
    Tool,
    custom_resource_definitions,
    ensure,
)

KUBECONFORM = Tool(
    "kubeconform",
    "github.com/yannh/kubeconform",
    "kubeconform",
    {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"},
)
VERSIONS = (
    CONTROL_PLANE,
    Tool("schemas-1.34", "k8s.io/kubernetes", "the API of Kubernetes", {}),
    Tool("schemas-1.33", "k8s.io/kubernetes", "the API of Kubernetes", {}),
)
"""The version that is rehearsed, and the two before it."""

DOCUMENT = "api/openapi-spec/swagger.json"
GROUP_VERSION_KIND = "x-kubernetes-group-version-kind"

# What OpenAPI calls a string and the API server takes as a number, too.
EITHER = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": ["string", "integer"]},
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": ["string", "number"]},
}


@dataclass(frozen=True)
class Misfit:
    """A manifest that a version does not take.

    Attributes:
        object: kind and name.
        version: of Kubernetes.
        problem: in kubeconform's words.
    """

    object: str
    version: str
    problem: str


def misfits(manifests: Sequence[Object], progress: Progress = print) -> list[Misfit]:
    """What the three versions do not take of the manifests; builds kubeconform and the schemas at first.

    Raises:
        SetupError: they cannot be built.
        RuntimeError: kubeconform itself failed.
    """
    ensure((KUBECONFORM, CRDS), progress)
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    return [misfit for tool in VERSIONS for misfit in _misfits(text, tool, schemas(tool, progress))]


def _misfits(text: str, tool: Tool, directory: Path) -> Iterator[Misfit]:
    location = f"{directory}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    command = [KUBECONFORM.command("kubeconform"), "-strict", "-output", "json", "-schema-location", location, "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"kubeconform failed: {done.stderr or done.stdout}")
    for resource in json.loads(done.stdout).get("resources") or []:
        yield Misfit(f"{resource['kind']} {resource['name']}", tool.version, resource["msg"])


def schemas(tool: Tool, progress: Progress) -> Path:
    """The directory of a version's schemas, one file a kind, made once."""
    home = cache_directory() / "kubernetes" / f"schemas-{tool.version}-{CRDS.home.name}"
    make_once(home, home.is_dir, partial(_make, tool, progress), f"schemas of Kubernetes {tool.version}", progress)
    return home


def _make(tool: Tool, progress: Progress, directory: Path) -> None:
    progress(f"reading the API of Kubernetes {tool.version}")
    go = go_build.toolchain(tool.module.required_go, cache_directory(), progress)
    document = json.loads((tool.module.source(go, "k8s.io/kubernetes") / DOCUMENT).read_text())
    for name, schema in (*_own_kinds(document["definitions"]), *_custom_kinds()):
        (directory / f"{name}.json").write_text(json.dumps(schema))


def _own_kinds(definitions: dict[str, Any]) -> Iterator[tuple[str, Object]]:
    strict = {name: EITHER.get(name) or _strict(schema) for name, schema in definitions.items()}
    for name, schema in definitions.items():
        needed = {other: strict[other] for other in _reachable(name, strict)}
        for kind in schema.get(GROUP_VERSION_KIND) or []:
            found = {"$ref": f"#/definitions/{name}", "definitions": needed}
            yield _file(kind["group"], kind["version"], kind["kind"]), found


def _custom_kinds() -> Iterator[tuple[str, Object]]:
    for chart in CRD_DIRECTORIES:
        for definition in custom_resource_definitions(chart):
            spec = definition["spec"]
            for version in spec["versions"]:
                schema = _strict(version["schema"]["openAPIV3Schema"])
                # the API server knows what the CRD need not repeat
                schema["properties"] = {**schema["properties"], "metadata": {"type": "object"}}
                yield _file(spec["group"], version["name"], spec["names"]["kind"]), schema


def _file(group: str, version: str, kind: str) -> str:
    """As kubeconform looks for it: of a group, what comes before the first dot."""
    return "-".join(filter(None, (kind.lower(), group.partition(".")[0], version)))


def _strict(schema: Any) -> Any:
    """The schema with every object closed that says what it may hold."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") is True:
        return {"type": ["string", "integer"]}
    open_ended = "additionalProperties" in schema or schema.get("x-kubernetes-preserve-unknown-fields") is True
    if isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object" and not open_ended:
        found["additionalProperties"] = False
    return found


def _reachable(name: str, definitions: dict[str, Any]) -> set[str]:
    """The definitions that one refers to, and those that these refer to."""
    seen: set[str] = set()
    left = [name]
    while left:
        one = left.pop()
        if one not in seen:
            seen.add(one)
            left += _references(definitions[one])
    return seen


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value.rpartition("/")[2]
            else:
                yield from _references(value)
