"""The program's own Deployment gets a new image where every GPU is taken, with both strategies."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import pytest

from infra.catalog.instances import INSTANCE_TYPES
from infra.kubernetes.shared import NAMESPACE
from rehearsal.kubernetes import expectations
from rehearsal.kubernetes.api import Api, Object
from rehearsal.kubernetes.disruption import all_back, servers, unscheduled
from rehearsal.kubernetes.nodes import gpu_node
from rehearsal.kubernetes.readiness import wait_until_ready
from rehearsal.kubernetes.watch import lowest_available, seconds_until
from tests.infra.kubernetes.samples import manifests_of
from tests.rehearsal.kubernetes.conftest import ZONES

TYPE = "g6.12xlarge"
REPLICAS = 4
"""Two a node: all GPUs of the two nodes."""
WAIT_SECONDS = 60
NEEDED = ("Namespace", "PriorityClass", "ServiceAccount", "PersistentVolume", "PersistentVolumeClaim", "Deployment")


@pytest.fixture
def node_for_later(api: Api) -> Iterator[Object]:
    """A third node; it goes after the pods on it, which would outlive it for a minute."""
    node = gpu_node("spare", INSTANCE_TYPES[TYPE], ZONES[0])
    yield node
    api.delete(node)


@pytest.fixture
def deployment(api: Api, request: pytest.FixtureRequest) -> Iterator[Object]:
    """The servers of a stack with this `fleet.rollout`, all of them ready."""
    stack = {
        "region": "us-east-1",
        "platform": "eks",
        "fleet": {"instanceTypes": [TYPE], "hosts": 2, "maxHosts": 3, "rollout": request.param},
        "inference": {"model": "Qwen/Qwen3-8B"},
        "scaling": {"minReplicas": REPLICAS, "maxReplicas": REPLICAS},
    }
    found = [manifest for manifest in manifests_of(stack) if manifest["kind"] in NEEDED]
    for manifest in found:
        api.apply(manifest, "test")
    [servers] = [manifest for manifest in found if manifest["kind"] == "Deployment"]
    _, reasons = wait_until_ready(api, api.get("apps/v1", "Deployment", servers["metadata"]["name"], NAMESPACE) or {})
    assert reasons == []
    yield servers
    for manifest in reversed(found):
        api.delete(manifest)
    assert seconds_until(lambda: api.get("v1", "Namespace", NAMESPACE) is None, WAIT_SECONDS)


def with_new_image(deployment: Object) -> Object:
    changed = deepcopy(deployment)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "vllm:next"
    return changed


def images(api: Api) -> set[str]:
    return {pod["spec"]["containers"][0]["image"] for pod in servers(api)}


def has_gone_through(api: Api) -> bool:
    return images(api) == {"vllm:next"} and all_back(api)


@pytest.mark.parametrize("deployment", ["terminateFirst"], indirect=True)
def test_terminate_first_needs_no_spare_gpu(api: Api, deployment: Object) -> None:
    with lowest_available(api) as lowest:
        changed = api.apply(with_new_image(deployment), "test")
        assert seconds_until(lambda: has_gone_through(api), WAIT_SECONDS)
    assert expectations.promised_replicas(changed) == REPLICAS - 1
    assert expectations.keep_serving(lowest, [changed]).violations == ()


@pytest.mark.parametrize("deployment", ["launchFirst"], indirect=True)
def test_launch_first_waits_for_a_spare_gpu_and_says_so(api: Api, node_for_later: Object, deployment: Object) -> None:
    with lowest_available(api) as lowest:
        changed = api.apply(with_new_image(deployment), "test")
        assert seconds_until(lambda: any(waiting(api)), WAIT_SECONDS)
        assert all("2 Insufficient nvidia.com/gpu" in words for words in waiting(api))
        assert len(waiting(api)) == 1
        api.create(node_for_later)
        assert seconds_until(lambda: has_gone_through(api), WAIT_SECONDS)
    assert expectations.promised_replicas(changed) == REPLICAS
    assert expectations.keep_serving(lowest, [changed]).violations == ()


def waiting(api: Api) -> list[str]:
    return [words for pod in servers(api) for words in unscheduled(pod)]
