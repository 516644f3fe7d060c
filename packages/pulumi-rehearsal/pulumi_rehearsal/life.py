"""The whole life of a stack: preview, up, up again, destroy; what does not go as it should is a problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pulumi_rehearsal.kubernetes import declared
from pulumi_rehearsal.operations import Operation
from pulumi_rehearsal.stage import ResourceCount, Stage
from pulumi_rehearsal.workspace import OnStep, ignore


@dataclass
class Life:
    """What was seen of a stack.

    Attributes:
        operations: of the engine, in order; the last one is the first that failed.
        resources: as they were after the first `up`, by type.
        recorded_charts: Helm charts that are only recorded, each with the reason.
        kept: what `destroy` left on purpose (`retain_on_delete`), by type.
        problems: what was not as it should be, in words; none where all went well.
    """

    operations: list[Operation] = field(default_factory=list)
    resources: list[ResourceCount] = field(default_factory=list)
    recorded_charts: Mapping[str, str] = field(default_factory=dict)
    kept: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def live(stage: Stage, on_step: OnStep = ignore) -> Life:
    """Brings a stack up and takes it down. A second `up` must change nothing, and `destroy` leave nothing."""
    life, workspace = Life(), stage.workspace
    if not (_succeeds(life, workspace.preview(on_step)) and _succeeds(life, workspace.up(on_step))):
        return life
    life.resources, life.recorded_charts = stage.resources(), declared.recorded_charts(workspace.resources())
    again = workspace.up(on_step)
    if not _succeeds(life, again):
        return life
    life.problems += [
        f"a second up: {step.operation} {step.type} {step.name} ({', '.join(step.changed)})"
        for step in again.changing()
    ]
    destroy = workspace.destroy(on_step)
    if _succeeds(life, destroy):
        retained = Counter(step.type for step in destroy.steps if step.retained)
        left = Counter({one.type: one.simulated + one.recorded for one in stage.resources()})
        life.kept = left & retained
        life.problems += [f"destroy leaves {count} of {type}" for type, count in (left - retained).items()]
    return life


def _succeeds(life: Life, operation: Operation) -> bool:
    life.operations.append(operation)
    if not operation.succeeded:
        life.problems += [f"{operation.name} fails: {message}" for message in operation.messages]
    return operation.succeeded
