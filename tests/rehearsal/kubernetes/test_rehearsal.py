"""The whole rehearsal of a small program on platform eks, with the real control plane and the real Karpenter."""

from __future__ import annotations

from pathlib import Path

import pytest

from pulumi_rehearsal import engine
from pulumi_rehearsal.kubernetes import cluster
from pulumi_rehearsal.operations import Step
from rehearsal.report import Phase, StackReport
from rehearsal.run import rehearse_all

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]

SMALL = Path(__file__).parent / "small"


class Nobody:
    """A watcher that does not look."""

    def phase_started(self, stack: str, phase: str) -> None: ...

    def step_done(self, stack: str, step: Step) -> None: ...

    def phase_ended(self, stack: str, phase: Phase) -> None: ...


@pytest.fixture(scope="module")
def report() -> StackReport:
    cluster.ensure(print)
    [report] = rehearse_all(["sound"], engine.ensure(print), Nobody(), SMALL)
    return report


def test_a_sound_program_meets_every_expectation(report: StackReport) -> None:
    violations = {verdict.expectation: verdict.violations for phase in report.phases for verdict in phase.verdicts}
    assert {words: found for words, found in violations.items() if found} == {}
    phases = ["preview", "up", "second up", "new image", "bad image", "disruption", "secrets", "destroy"]
    assert [phase.name for phase in report.phases] == phases


def test_the_cluster_is_looked_at_and_not_only_the_state(report: StackReport) -> None:
    asked = {verdict.expectation for phase in report.phases for verdict in phase.verdicts}
    assert {
        "the control plane is of the minor version of Kubernetes that the program asks EKS for",
        "the API server holds each object of the state",
        "the API server knows each field of each object that reaches it",
        "controllers call AWS only as their roles allow, by resource and by tag",
        "roles that are lent to pods reach them",
        "nodes of managed groups can be emptied in the time that EKS gives them",
        "controllers run until their release goes",
        "each Deployment has its replicas ready",
        "servers have their GPUs to themselves, and are spread over the zones where they must",
        "a new image changes the servers, in place, and nothing else",
        "no rollout takes servers away that it does not allow itself to miss",
        "a version whose pods do not start is noticed, each model's by itself",
        "only those talk to servers, and servers only to those, that the documentation names",
        "a drain takes no more servers at once than their budget allows, and they come back elsewhere",
        "a lost zone takes its own servers only, and they come back in the others",
        "pods for which there may be no GPUs wait, or are refused by quota, and are told why",
        "servers come before batch work",
        "destroy leaves no object in the cluster",
    } <= asked


def test_the_report_says_what_exists_and_what_is_only_recorded(report: StackReport) -> None:
    counts = {row.type: (row.simulated, row.recorded) for row in report.resources}
    assert {type: count for type, count in counts.items() if type.startswith("kubernetes:")} == {
        "kubernetes:apps/v1:Deployment": (1, 0),
        "kubernetes:core/v1:ConfigMap": (1, 0),
        "kubernetes:core/v1:Namespace": (1, 0),
        "kubernetes:core/v1:Service": (1, 0),
        "kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding": (1, 0),
        "kubernetes:helm.sh/v3:Release": (2, 0),
        "kubernetes:karpenter.k8s.aws/v1:EC2NodeClass": (1, 0),
        "kubernetes:karpenter.sh/v1:NodePool": (1, 0),
        "kubernetes:networking.k8s.io/v1:NetworkPolicy": (2, 0),
        "kubernetes:policy/v1:PodDisruptionBudget": (1, 0),
        "kubernetes:scheduling.k8s.io/v1:PriorityClass": (1, 0),
    }
    assert counts["aws:eks/cluster:Cluster"] == (1, 0)


def test_the_report_says_who_may_talk_to_whom(report: StackReport) -> None:
    ways = {(way.source, way.destination): way.allowed for way in report.connections}
    assert ways["a pod in monitoring", "model:9090"]
    assert not ways["a pod in monitoring", "model:8080"]
    assert not ways["model", "instance metadata:80"]
