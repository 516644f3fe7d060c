"""All servers are of a new version when an objective's alarm begins: `tandem rollout --check` after `up`, and what the
state then tells, on the real controllers of Deployments and of LeaderWorkerSets and the real KEDA.

Alarms are set by hand.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.placeholders import OTHER_DIGEST, change_image
from rehearsal.scene import Scene, pins_of
from tandem.alarms import name_of_both
from tandem.kubernetes.kubectl import Kubectl
from tandem.ops.commands import rollout as command
from tandem.ops.rollout import Gate, Rollout
from tandem.ops.rollout.cluster import Deployments
from tandem.ops.screen import Screen
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

STACK = "back"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], maxHosts: 4}
  tandem:scaling: {minReplicas: 2, maxReplicas: 2}
  tandem:inference: INFERENCE
"""
INFERENCE = {
    "pods": "{model: Qwen/Qwen3-8B}",
    "pipelines": "{model: Qwen/Qwen3-32B, quantization: fp8, maxModelLen: 32768, pipelineParallelSize: 2}",
}
SECONDS = 60


@pytest.fixture(params=INFERENCE)
def unit(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def scene(unit: str, tmp_path: Path) -> Iterator[Scene]:
    """All servers are of a second version."""
    with scene_of(tmp_path, STACK, FILE.replace("INFERENCE", INFERENCE[unit])) as scene:
        for _ in range(2):
            up = scene.workspace.up()
            assert up.succeeded, up.messages
            change_image(pins_of(scene.workspace))
        yield scene


def test_what_all_serve_is_taken_back_and_the_state_tells_of_what_was_left(
    scene: Scene, unit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace, platform = scene.workspace, of_cluster(scene)
    [left] = platform.look()
    assert (left.state, left.unit, left.began is not None, runs_other(left)) == ("done", unit, True, True)
    watch, alarm = scene.clients("cloudwatch"), name_of_both(STACK, "main", "errors-fast", "life")
    watch.put_composite_alarm(AlarmName=alarm, AlarmRule='ALARM("part")', AlarmDescription="docs/alarms.md, errors")
    monkeypatch.setattr(command, "sleep", lambda _seconds: time.sleep(0.2))
    gate = Gate(scene.clients, STACK, "life", timedelta(hours=3))
    assert command._keeps_objectives(Screen(), STACK, platform, SECONDS, gate.begun), "no alarm calls"
    watch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="played")
    assert not command._keeps_objectives(Screen(), STACK, platform, SECONDS, gate.begun)
    said = " ".join(capsys.readouterr().out.split())
    assert f"vllm-main: has begun since {left.wanted.name} is rolled out: docs/alarms.md, errors" in said
    [back] = platform.look()
    assert (back.state, back.goes_back, runs_other(back)) == ("done", True, False)

    assert workspace.up().changing() == [], "to the state nothing has happened"
    assert platform.look() == [back]
    workspace.pulumi("up", "--refresh", "--yes", "--skip-preview")
    assert seconds_until(lambda: platform.look()[0].state == "done", SECONDS)
    [again] = platform.look()
    assert (again.began, runs_other(again)) == (None, True), "it leads there once more, and has served before"
    assert platform.runs(again, again.before or "")["image"] == back.wanted.runs["image"]

    workspace.pulumi("config", "set", "--path", "tandem:scaling.maxReplicas", "3")
    [changed] = workspace.up().changing()
    assert changed.changed == ("spec.maxReplicaCount",)


def of_cluster(scene: Scene) -> Deployments:
    """`tandem rollout` with the real `kubectl`."""
    assert scene.cluster is not None
    kubectl = Kubectl(scene.cluster.plane.kubeconfig, str(build.KUBECTL.command("kubectl")))
    return Deployments(kubectl)


def runs_other(found: Rollout) -> bool:
    return found.wanted.runs["image"].endswith(OTHER_DIGEST)
