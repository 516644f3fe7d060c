"""The program's own servers when a node is drained, a zone is lost and GPUs run out, with the real Karpenter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from rehearsal.kubernetes import build, charts, expectations
from rehearsal.kubernetes.api import Api, Object
from rehearsal.kubernetes.control_plane import control_plane
from rehearsal.kubernetes.disruption import all_back, drain, lose_zone
from rehearsal.kubernetes.karpenter import for_kwok, karpenter
from rehearsal.kubernetes.shortage import NAMESPACE, run_out_of_gpus
from rehearsal.kubernetes.watch import seconds_until
from tests.infra.kubernetes.samples import manifests

pytestmark = pytest.mark.kubernetes

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
CHARTS = ("karpenter", "aws-load-balancer-controller", "secrets-store-csi-driver")
REPLICAS = 3
NOT_HERE = {"EC2NodeClass", "ScaledObject"}
"""AWS's, and KEDA's: what they name is not there."""


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    """The sample stack with three replicas, as `up` leaves it."""
    build.ensure((*build.TOOLS_OF_THE_CONTROL_PLANE, *build.AUTOSCALERS), print)
    with control_plane() as plane:
        for chart in CHARTS:
            charts.install_definitions(plane.api, chart)
        with karpenter(plane, ZONES):
            for manifest in _sample():
                plane.api.apply(for_kwok(manifest, plane.api, lambda _: None), "test")
            assert seconds_until(lambda: all_back(plane.api), 60)
            yield plane.api


def _sample() -> list[Object]:
    found = [one for one in manifests("karpenter") if one["kind"] not in NOT_HERE]
    text = re.sub(r'"tandem-[\w-]+-id"', '"id"', json.dumps(found))
    for one in (found := json.loads(text)):
        if one["kind"] == "Deployment":
            one["spec"]["replicas"] = REPLICAS
    return found


def deployments(api: Api) -> list[Object]:
    return api.list("apps/v1", "Deployment")


def pools(api: Api) -> list[Object]:
    return [pool["spec"] for pool in api.list("karpenter.sh/v1", "NodePool")]


def test_a_drain_keeps_within_the_budget(api: Api) -> None:
    found = drain(api)
    budgets = api.list("policy/v1", "PodDisruptionBudget")
    assert expectations.leave_within_the_budget(found, deployments(api), budgets).violations == ()
    assert len(found.refusals) == REPLICAS - 1
    assert all("would violate the pod's disruption budget" in words for words in found.refusals)
    assert not any(node["spec"].get("unschedulable") for node in api.list("v1", "Node"))


def test_a_lost_zone_takes_its_own_servers_only(api: Api) -> None:
    before = pools(api)
    loss = lose_zone(api, lambda: None)
    assert expectations.outlive_a_zone(loss, deployments(api)).violations == ()
    zones = {node["metadata"]["labels"]["topology.kubernetes.io/zone"] for node in api.list("v1", "Node")}
    assert loss.zone not in zones
    assert pools(api) == before


def test_gpus_run_out_for_batch_work_first(api: Api) -> None:
    nodes = {node["metadata"]["name"] for node in api.list("v1", "Node")}
    shortage = run_out_of_gpus(api)
    assert expectations.are_told_why(shortage).violations == ()
    assert expectations.come_first(shortage).violations == ()
    assert shortage.limits == {"gpu-base": 4, "gpu": 12}
    assert len(shortage.preempted) == 1
    assert api.get("v1", "Namespace", NAMESPACE) is None
    assert {node["metadata"]["name"] for node in api.list("v1", "Node")} <= nodes
    assert all_back(api)
