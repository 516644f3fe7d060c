"""The program's own Deployment gets a new image where every GPU is taken, with both strategies."""

from __future__ import annotations

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.control_plane import BAD_DIGEST, ControlPlane
from pulumi_rehearsal.kubernetes.nodes import gpu_node
from pulumi_rehearsal.kubernetes.watch import lowest_available, seconds_until
from pulumi_rehearsal.moto import SimulatedAccount, simulated_account
from rehearsal.kubernetes import expectations
from rehearsal.kubernetes.disruption import all_back, servers, unscheduled
from simulated.plane import ZONES
from tandem.alarms import name_of_both
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import UserError
from tandem.kubernetes.kubeconfig import kubeconfig
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import NAMESPACE, VERSION
from tandem.kubernetes.rollouts import look, stage
from tandem.kubernetes.waiting import explained
from tandem.ops.commands import rollout as command
from tandem.ops.rollout import Gate
from tandem.ops.rollout.cluster import Deployments
from tandem.ops.screen import Screen
from tests.infra.kubernetes.samples import manifests_of

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
        "fleet": {"instanceTypes": [TYPE], "maxHosts": 3, "rollout": request.param},
        "inference": {"model": "Qwen/Qwen3-8B"},
        "scaling": {"minReplicas": REPLICAS, "maxReplicas": REPLICAS},
    }
    found = [manifest for manifest in manifests_of(stack) if manifest["kind"] in NEEDED]
    for manifest in found:
        api.apply(manifest, "test")
    [servers] = [manifest for manifest in found if manifest["kind"] == "Deployment"]
    assert seconds_until(lambda: all_back(api), WAIT_SECONDS)
    yield servers
    for manifest in reversed(found):
        api.delete(manifest)
    assert seconds_until(lambda: api.get("v1", "Namespace", NAMESPACE) is None, WAIT_SECONDS)


def with_new_image(deployment: Object, image: str = "vllm:next") -> Object:
    changed = deepcopy(deployment)
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = image
    for labelled in (changed, changed["spec"]["template"]):
        labelled["metadata"]["labels"][VERSION] = image.rpartition(":")[2][:12]
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
def test_launch_first_waits_for_a_spare_gpu_and_says_so(
    api: Api, node_for_later: Object, deployment: Object, platform: Deployments
) -> None:
    with lowest_available(api) as lowest:
        changed = api.apply(with_new_image(deployment), "test")
        assert seconds_until(lambda: any(waiting(api)), WAIT_SECONDS)
        assert all("2 Insufficient nvidia.com/gpu" in words for words in waiting(api))
        assert len(waiting(api)) == 1
        assert told(platform).startswith("waits for a node: 0/2 nodes are available: 2 Insufficient cpu")
        assert told(platform).endswith("2 Insufficient nvidia.com/gpu")
        [pod] = [pod for pod in servers(api) if not pod["spec"].get("nodeName")]
        event = api.create(karpenters_word("exceed limits for nodepool: gpu", pod))
        assert told(platform) == "waits for a node: Karpenter: exceed limits for nodepool: gpu"
        api.delete(event)
        api.create(node_for_later)
        assert seconds_until(lambda: has_gone_through(api), WAIT_SECONDS)
    assert expectations.promised_replicas(changed) == REPLICAS
    assert expectations.keep_serving(lowest, [changed]).violations == ()


@pytest.fixture
def platform(kubernetes: ControlPlane) -> Deployments:
    """`tandem rollout` with the real `kubectl`."""
    return Deployments(Kubectl(kubernetes.kubeconfig, str(build.KUBECTL.command("kubectl"))))


def told(platform: Deployments) -> str:
    """As `up` says it of the only pod that has no node."""
    pods = explained(platform.kubectl, look(platform.kubectl)[1])
    [waits] = [words for pod in pods if (words := stage(pod)).startswith("waits for a node")]
    return waits


def karpenters_word(words: str, pod: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "word", "namespace": NAMESPACE},
        "involvedObject": {"kind": "Pod", "namespace": NAMESPACE, "uid": pod["metadata"]["uid"]},
        "source": {"component": "karpenter"},
        "reason": "FailedScheduling",
        "message": words,
        "lastTimestamp": "2026-11-29T00:00:00Z",
    }


@pytest.fixture(scope="module")
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


def state(platform: Deployments) -> str:
    [found] = platform.look()
    return found.state


@pytest.mark.parametrize("deployment", ["terminateFirst"], indirect=True)
def test_a_bad_image_is_noticed_and_the_way_back_leads_to_the_old_one(
    api: Api, deployment: Object, platform: Deployments
) -> None:
    assert seconds_until(lambda: state(platform) == "done", WAIT_SECONDS)
    good = images(api)
    with lowest_available(api) as lowest:
        changed = api.apply(with_new_image(deployment, f"vllm@{BAD_DIGEST}"), "test")
        assert seconds_until(lambda: state(platform) == "failing", WAIT_SECONDS)
        [found] = platform.look()
        assert "ImagePullBackOff: Back-off pulling image" in found.failures[0]
        assert (found.wanted.serving, found.before) == (0, "1")
        platform.take(found, "1")
        assert seconds_until(lambda: state(platform) == "done", WAIT_SECONDS)
    assert expectations.keep_serving(lowest, [changed]).violations == ()
    assert images(api) == good
    [found] = platform.look()
    assert found.before == found.wanted.name, "a second way back leads nowhere else"
    api.apply(deployment, "test")  # the old pin put back: as the next `up` does, without force
    [found] = platform.look()
    assert found.before is None, "what was gone back from is no version to go back to"
    api.apply(with_new_image(deployment), "test")
    assert seconds_until(lambda: has_gone_through(api), WAIT_SECONDS)


@pytest.mark.parametrize("deployment", ["terminateFirst"], indirect=True)
def test_an_objective_that_is_kept_no_more_takes_a_rollout_back(
    api: Api,
    deployment: Object,
    platform: Deployments,
    account: SimulatedAccount,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`tandem rollout --check` beside `up`, once the API has been tried."""
    good, watch = images(api), account.client("cloudwatch", "us-east-1")
    before, later = (name_of_both("prod", "main", alarm, "life") for alarm in ("errors-slow", "errors-fast"))
    for name in (before, later):
        watch.put_composite_alarm(AlarmName=name, AlarmRule='ALARM("part")', AlarmDescription=f"docs/alarms.md, {name}")
    watch.set_alarm_state(AlarmName=before, StateValue="ALARM", StateReason="played")
    assert seconds_until(lambda: state(platform) == "done", WAIT_SECONDS)
    time.sleep(1)  # the cluster tells whole seconds
    changed = api.apply(with_new_image(deployment), "test")
    looks = iter(["OK", *["ALARM"] * 99])

    def time_passes(_seconds: float) -> None:
        watch.set_alarm_state(AlarmName=later, StateValue=next(looks), StateReason="played")
        time.sleep(0.2)

    monkeypatch.setattr(command, "sleep", time_passes)
    gate = Gate(lambda service: account.client(service, "us-east-1"), "prod", "life", timedelta(hours=3))
    with lowest_available(api) as lowest:
        assert not command._keeps_objectives(Screen(), "prod", platform, WAIT_SECONDS, gate.begun)
        assert seconds_until(lambda: all_back(api) and images(api) == good, WAIT_SECONDS)
    assert expectations.keep_serving(lowest, [changed]).violations == ()
    said = " ".join(capsys.readouterr().out.split())
    assert f"vllm-main: has begun since 2 is rolled out: docs/alarms.md, {later}" in said
    assert before not in said


@pytest.mark.parametrize("deployment", ["terminateFirst"], indirect=True)
def test_a_rollout_can_be_held_and_goes_on_or_back(api: Api, deployment: Object, platform: Deployments) -> None:
    [found] = platform.look()
    good = images(api)
    platform.cancel(found)
    api.apply(with_new_image(deployment), "test")
    assert state(platform) == "held"
    assert images(api) == good
    [held] = platform.look()
    platform.go_on(held)
    assert seconds_until(lambda: has_gone_through(api) and state(platform) == "done", WAIT_SECONDS)
    [found] = platform.look()
    platform.cancel(found)
    [held] = platform.look()
    platform.take(held, held.before or "")
    assert seconds_until(lambda: images(api) == good, WAIT_SECONDS)


def test_a_cluster_that_does_not_answer_is_a_message(platform: Deployments, tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    nowhere.write_text(kubeconfig("us-east-1", "tandem-dev-1", "https://127.0.0.1:1", ""))
    with pytest.raises(UserError, match="the cluster does not do what it is asked"):
        Deployments(replace(platform.kubectl, kubeconfig=nowhere)).look()


def waiting(api: Api) -> list[str]:
    return [words for pod in servers(api) for words in unscheduled(pod)]
