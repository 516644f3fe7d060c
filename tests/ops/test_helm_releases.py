"""Helm releases that a killed `up` left pending: what recover plans and does. With the real `kubectl` on a real control
plane: tests/rehearsal/kubernetes/test_helm_releases.py."""

from __future__ import annotations

from typing import Any
from unittest.mock import create_autospec

import pytest

from tandem.ops import helm_releases
from tandem.ops.helm_releases import RELEASE, Stuck
from tandem.ops.kinds.kind import Clients
from tandem.ops.pulumi import Deployment, Stack
from tandem.ops.resuming import carry_out, look
from tandem.tags import STACK_ID_TAG
from tests.ops.account import tags_of
from tests.ops.test_recovery import IDENTITY_RESOURCE, OWN

KARPENTER = {"urn": "urn:k", "type": RELEASE, "id": "kube-system/karpenter"} | {
    "inputs": {"name": "karpenter", "namespace": "kube-system"}
}
STUCK = Stuck("urn:k", "kube-system", "karpenter", "pending-upgrade", "sh.helm.release.v1.karpenter.v3")


def state(*resources: dict[str, Any]) -> Deployment:
    return {"version": 3, "deployment": {"resources": [IDENTITY_RESOURCE, *resources]}}


@pytest.fixture
def cluster(clients: Clients) -> Clients:
    clients("eks").create_cluster(
        name="tandem-dev",
        roleArn="arn:aws:iam::123456789012:role/x",
        resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]},
        tags=tags_of("dev") | {STACK_ID_TAG: OWN},
    )
    return clients


def test_one_that_is_pending_is_freed_and_looked_at_again(cluster: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[Stuck] = []
    monkeypatch.setattr(helm_releases, "pending", lambda _kubectl, own: [STUCK] if STUCK.urn in own.values() else [])
    monkeypatch.setattr(helm_releases, "forget", lambda _kubectl, stuck: freed.extend(stuck))
    plan = look(cluster, "dev", state(KARPENTER))
    assert (plan.helm.stuck, plan.is_empty) == ([STUCK], False)
    engine = create_autospec(Stack, instance=True)
    engine.name = "dev"
    carry_out(cluster, engine, state(KARPENTER), plan, lambda _line: None)
    assert freed == [STUCK]
    engine.refresh.assert_called_once_with(["urn:k"])
    engine.replace.assert_not_called()


def test_a_cluster_out_of_reach_is_said_and_the_rest_goes_on(cluster: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    plan = look(cluster, "dev", state(KARPENTER))
    assert [problem.wrong for problem in plan.helm.unseen] == ["is not on PATH"]
    assert plan.is_empty


@pytest.mark.parametrize("resources", [[], [KARPENTER]], ids=["no release", "no cluster"])
def test_without_release_or_cluster_nobody_asks(clients: Clients, resources: list[dict[str, Any]]) -> None:
    assert look(clients, "dev", state(*resources)).helm == helm_releases.Releases()
