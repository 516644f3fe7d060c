"""A stack on managed nodes stops by its own schedules, as EventBridge Scheduler would invoke them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pulumi_rehearsal.kubernetes.cluster import Cluster as ControlPlane
from rehearsal import expectations, expiry
from rehearsal.kubernetes.expectations import have_no_gpu
from rehearsal.scene import Scene
from tandem.loading import load_stack_file
from tandem.ops import inventory
from tandem.ops.status import Cluster, look
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]

STACK = "managed"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:nodePool: {provisioner: managed}
  tandem:fleet: {instanceTypes: [g6.12xlarge], hosts: 2}
  tandem:scaling: {minReplicas: 2, maxReplicas: 3}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
  tandem:costGuard: {expiresAfter: 4h, maxUsd: 200}
"""


def test_the_schedules_of_a_stack_take_its_gpu_nodes_away(tmp_path: Path) -> None:
    with scene_of(tmp_path, STACK, FILE) as scene:
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        assert scene.cluster is not None
        before = status(scene)
        assert [(group.desired, group.state) for group in before.node_groups] == [(2, "ACTIVE"), (2, "ACTIVE")]
        assert [(model.name, model.minimum, model.serving) for model in before.models] == [("main", 2, 2)]
        assert not before.stopped
        calls = expiry.calls(scene.clients, inventory.find(scene.clients, STACK).resources)
        assert {call.action for call in calls} == {"eks:UpdateNodegroupConfig", "sns:Publish"}
        assert have_no_gpu(nodes(scene.cluster)).violations != (), "there were some"
        for call in calls:
            allowed = expectations.role_allows(call.action, call.role, expiry.policies(scene.clients, call.role))
            assert allowed.violations == ()
            call.invoke(scene.clients)
        assert have_no_gpu(nodes(scene.cluster)).violations == ()
        assert len(nodes(scene.cluster)) == 2, "the controllers' stay"
        assert status(scene).stopped


def status(scene: Scene) -> Cluster:
    """What `tandem status` finds."""
    settings = load_stack_file(scene.workspace.directory / f"Pulumi.{STACK}.yaml")
    found = look(scene.clients, STACK, settings, datetime.now(UTC), probe=False).servers
    assert isinstance(found, Cluster)
    return found


def nodes(found: ControlPlane) -> list[dict[str, object]]:
    return [object for object in found.objects() if object["kind"] == "Node"]
