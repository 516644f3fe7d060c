"""A controller that comes as a Helm chart, at a pinned version."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_kubernetes import helm

from tandem.chart_files import definitions, file_of
from tandem.pins import Chart

TIMEOUT_SECONDS = 600
DEFINITION = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinitionPatch"
OURS = {"pulumi.com/patchForce": "true", "pulumi.com/waitFor": "condition=Established"}
"""Of a definition: it is taken over from whoever made it, such as Helm; and it is served before the chart uses it."""


@dataclass(frozen=True, kw_only=True)
class HelmChartArgs:
    """What a chart needs.

    Attributes:
        name: of the chart in its repository, and of the release.
        chart: repository and version; an empty version takes the newest. One with a digest was fetched, and is
            installed from its file.
        namespace: made if it is not there.
        values: few; what is left out is the chart's default.
        definitions_apart: its CRDs are another chart's.
        after: what is there before its pods start, such as their role: a dependency of this component would not be one
            of its release.
    """

    name: str
    chart: Chart
    namespace: str
    values: Mapping[str, Any] = field(default_factory=dict)
    definitions_apart: bool = False
    after: Sequence[pulumi.Resource] = ()


class HelmChart(pulumi.ComponentResource):
    """One Helm release. `up` waits until its pods are ready, and takes back a release that never becomes so.

    The CRDs in a fetched chart's crds/ are resources of their own: Helm makes them once, and never upgrades them
    (https://helm.sh/docs/chart_best_practices/custom_resource_definitions/). They stay when the stack goes: with a CRD
    all its objects go, others' too. Without a digest Helm fetches the chart, and makes them.
    """

    def __init__(
        self,
        name: str,
        args: HelmChartArgs,
        kubernetes: pulumi.ProviderResource,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tandem:index:HelmChart", name, None, opts)
        chart = args.chart
        source, repository = _source(chart, args.name)
        own = [] if args.definitions_apart else definitions(chart, args.name)
        kept = pulumi.ResourceOptions(parent=self, provider=kubernetes, retain_on_delete=True)
        defined = [_definition(name, one, kept) for one in own]
        helm.v3.Release(
            name,
            helm.v3.ReleaseArgs(
                # A fixed name: a generated one would make two of a controller when it is replaced.
                name=args.name,
                chart=source,
                repository_opts=helm.v3.RepositoryOptsArgs(repo=repository) if repository else None,
                version=chart.version or None,
                namespace=args.namespace,
                create_namespace=args.namespace != "kube-system",
                values=_merged(args.values, chart.image_values),
                skip_crds=args.definitions_apart or bool(own),
                atomic=True,
                timeout=TIMEOUT_SECONDS,
            ),
            opts=pulumi.ResourceOptions(parent=self, provider=kubernetes, depends_on=[*args.after, *defined]),
        )
        self.register_outputs({})


def _definition(name: str, manifest: Mapping[str, Any], opts: pulumi.ResourceOptions) -> pulumi.CustomResource:
    """Applied on the server's side, which makes it, or changes the one that is there."""
    metadata = manifest["metadata"]
    annotated = {**metadata, "annotations": {**metadata.get("annotations", {}), **OURS}}
    return pulumi.CustomResource(DEFINITION, f"{name}-{metadata['name']}", {**manifest, "metadata": annotated}, opts)


def _source(chart: Chart, name: str) -> tuple[str, str | None]:
    """What Helm calls the chart, and its repository. A file by its path from the program's directory, which is that of
    the provider as well, so that the plan is the same on every machine."""
    if chart.digest:
        return os.path.relpath(file_of(chart, name)), None
    if chart.repository.startswith("oci://"):
        return f"{chart.repository}/{name}", None
    return name, chart.repository


def _merged(values: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: _merged(values[key], more[key]) for key in values if key in more}
    return {**values, **more, **both}
