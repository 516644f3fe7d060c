"""What must hold for `tandem batch` on platform eks."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.errors import Problem
from tandem.rules.cluster import karpenter_or
from tandem.settings.commands import removed
from tandem.settings.schema import Settings


def nodes_come_and_go(settings: Settings) -> Iterator[Problem]:
    """A managed node group is as large as it was made, and a batch would wait there for ever, or push servers away."""
    if settings.batch is not None and settings.node_pool.provisioner == "managed":
        yield Problem(
            key="batch",
            wrong="a managed node group stays as large as it was made, and has no nodes that come for a batch",
            value=settings.batch.model_dump(exclude_unset=True, by_alias=True),
            allowed="with nodePool.provisioner: karpenter, or on platform ec2",
            fix=karpenter_or(removed("batch"), settings),
        )


def a_pod_has_the_whole_model(settings: Settings) -> Iterator[Problem]:
    """A Job's pods come one by one."""
    if settings.batch is not None and settings.inference.is_pipeline:
        yield Problem(
            key="batch",
            wrong="a pod of a batch has its whole model, and this one is over several nodes",
            value=settings.batch.model_dump(exclude_unset=True, by_alias=True),
            allowed="with inference.pipelineParallelSize 1",
            fix=f"{removed('batch')}, or {removed('inference.pipelineParallelSize')} and an instance type with larger "
            "GPUs",
        )


RULES = (nodes_come_and_go, a_pod_has_the_whole_model)
