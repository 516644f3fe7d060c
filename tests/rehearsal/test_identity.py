"""Whose a stack is, on the real engine: a name that is taken, a stack from before, one that was reaped."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from pulumi_rehearsal.aws.provider import AwsProvider
from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.operations import Operation
from pulumi_rehearsal.plugin import Subject, attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.wire import Properties
from rehearsal import placeholders
from rehearsal.account import simulated_account
from rehearsal.scene import Scene, open_workspace, pins_of, set_the_scene
from tandem.ops import inventory
from tandem.ops.kinds import KINDS
from tandem.ops.whose import stack_id
from tandem.tags import STACK_ID_TAG

pytestmark = [pytest.mark.engine, pytest.mark.long]

IDENTITY = "tandem:index:StackIdentity"
GROUP, PARAMETER = "aws:autoscaling/group:Group", "aws:ssm/parameter:Parameter"
OWN_TYPES = (IDENTITY, "random:index/randomId:RandomId", PARAMETER)


@pytest.fixture(scope="module")
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


@pytest.fixture(scope="module")
def scene(account: SimulatedAccount, pulumi_engine: Engine) -> Iterator[Scene]:
    """The shipped development stack, up."""
    with set_the_scene("dev", pulumi_engine, account) as scene:
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        yield scene


def exported(scene: Scene) -> dict[str, Any]:
    return json.loads(scene.workspace.pulumi("stack", "export"))


def found(scene: Scene) -> dict[tuple[str, str], str]:
    """What boto3 finds of what the program declares, with the id that it carries. A host that runs keeps the tags that
    it was launched with, until the refresh of the group renews it."""
    listed = inventory.find(scene.clients, "dev")
    assert listed.unreadable == []
    return {one.key: one.stack_id for one in listed.resources if KINDS[one.type].program}


def test_everything_carries_the_id_of_the_state(scene: Scene) -> None:
    assert set(found(scene).values()) == {stack_id(exported(scene))} == {scene.workspace.outputs()["stackId"]}
    for resource in scene.workspace.resources():
        if "tagsAll" in (outputs := resource.get("outputs", {})):
            assert outputs["tagsAll"].get(STACK_ID_TAG), resource["urn"]


def test_a_second_state_of_the_name_stops_before_it_makes_anything(
    scene: Scene, account: SimulatedAccount, pulumi_engine: Engine
) -> None:
    before = found(scene)
    with ExitStack() as up:
        other = up.enter_context(set_the_scene("dev", pulumi_engine, account))
        for operation in (other.workspace.preview, other.workspace.up):
            done = operation()
            assert not done.succeeded
            assert "the name is taken in this account and region by another state" in "\n".join(done.messages)
        made = [one["type"] for one in other.workspace.resources() if one.get("custom")]
        assert [type_ for type_ in made if type_.startswith("aws:")] == []
    assert found(scene) == before


def test_a_stack_from_before_gets_its_id_without_a_replacement(scene: Scene) -> None:
    """The state loses what this version brought, and the account the parameter and the tag; the group has the name that
    the engine once gave it."""
    named = scene.workspace.outputs()["fleetName"]
    _rename_group(scene, named, FORMER)
    state = json.loads(json.dumps(exported(scene)).replace(named, FORMER))
    kept = _from_before(state["deployment"]["resources"], lambda one: one["urn"])
    for one in kept:
        _forget(one)
    state["deployment"]["resources"] = kept
    path = scene.workspace.directory / "before.json"
    path.write_text(json.dumps(state))
    for parameter in scene.clients("ssm").get_parameters_by_path(Path="/tandem/dev")["Parameters"]:
        scene.clients("ssm").delete_parameter(Name=parameter["Name"])
    scene.workspace.pulumi("stack", "import", "--file", str(path))
    assert stack_id(exported(scene)) is None
    before = set(found(scene))

    up = scene.workspace.up()

    assert up.succeeded, up.messages
    replaced = [(step.name, step.changed) for step in up.changing() if "replace" in step.operation]
    assert replaced == []
    operations = {step.operation for step in up.changing()}
    assert operations == {"create", "update"}
    assert {step.type for step in up.changing() if step.operation == "create"} == set(OWN_TYPES)
    after = found(scene)
    assert set(after) > before
    assert scene.workspace.outputs()["fleetName"] == FORMER
    own = stack_id(exported(scene))
    assert {key: value for key, value in after.items() if value != own} == {}
    assert scene.workspace.up().changing() == []


FORMER = "tandem-dev-1a2b3c4"


def _rename_group(scene: Scene, name: str, other: str) -> None:
    """What AWS cannot: the same group under another name."""
    scaling = scene.clients("autoscaling")
    (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
    hooks = scaling.describe_lifecycle_hooks(AutoScalingGroupName=name)["LifecycleHooks"]
    same = ("MinSize", "MaxSize", "DesiredCapacity", "MixedInstancesPolicy", "VPCZoneIdentifier", "TargetGroupARNs")
    # AWS gives id and name of a template, and takes one of them.
    group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName")
    tags = [{**tag, "ResourceId": other} for tag in group["Tags"] if tag["Key"] != STACK_ID_TAG]
    scaling.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=other, Tags=tags, HealthCheckType="EC2", **{key: group[key] for key in same}
    )
    for hook in hooks:
        hook.pop("GlobalTimeout", None)
        scaling.put_lifecycle_hook(**{**hook, "AutoScalingGroupName": other})


def _forget(resource: dict[str, Any]) -> None:
    """Takes the id out of a resource of the state, and what depends on what is gone."""
    for part in ("inputs", "outputs"):
        for name in ("tags", "tagsAll"):
            tags = (resource.get(part) or {}).get(name)
            if isinstance(tags, dict):
                tags.pop(STACK_ID_TAG, None)
    resource["dependencies"] = _from_before(resource.get("dependencies") or [])
    properties = resource.get("propertyDependencies") or {}
    resource["propertyDependencies"] = {name: _from_before(urns or []) for name, urns in properties.items()}


def _from_before(some: list[Any], urn: Callable[[Any], str] = str) -> list[Any]:
    """Without what this version brought."""
    brought = (IDENTITY, "random:index/randomId:RandomId::tandem-dev-fleet")
    return [one for one in some if not any(new in urn(one) for new in brought)]


def test_after_a_reap_the_next_up_says_so_and_its_fix_makes_the_stack_anew(scene: Scene) -> None:
    from tandem.ops.removal import remove_stack

    former = stack_id(exported(scene))
    left = remove_stack(scene.clients, inventory.find(scene.clients, "dev").resources, sleep=lambda _: None)
    assert left == []
    for operation in (scene.workspace.preview, scene.workspace.up):
        done = operation()
        assert not done.succeeded
        assert "the stack was removed from the account, by `tandem reap` or by hand" in "\n".join(done.messages)
    assert found(scene) == {}

    scene.workspace.pulumi("state", "delete", "--all", "--yes")
    up = scene.workspace.up()

    assert up.succeeded, up.messages
    assert set(found(scene).values()) == {stack_id(exported(scene))} != {former}
    assert scene.workspace.destroy().succeeded
    assert found(scene) == {}


def test_of_two_first_ups_at_the_same_moment_at_most_one_goes_on(
    account: SimulatedAccount, pulumi_engine: Engine
) -> None:
    """Both find the name free: neither takes it before both have looked."""
    both = threading.Barrier(2, timeout=120)

    class Patient(AwsProvider):
        def create(self, subject: Subject, inputs: Properties) -> tuple[str, Properties]:
            if subject.type == PARAMETER:
                both.wait()
            made = super().create(subject, inputs)
            if subject.type == PARAMETER:
                both.wait()
            return made

    def up(_number: int) -> tuple[Operation, list[str]]:
        own = [Patient(account), random_provider(), tls_provider(), time_provider()]
        with (
            attach(*own) as providers,
            open_workspace("dev", pulumi_engine, providers, account.environment("us-west-2")) as workspace,
        ):
            placeholders.fill(pins_of(workspace))
            workspace.pulumi("config", "set", "tandem:region", "us-west-2")
            done = workspace.up()
            made = [one["type"] for one in workspace.resources() if one["type"].startswith("aws:")]
            assert workspace.destroy().succeeded
            return done, made

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(up, range(2)))
    for done, made in ended:
        assert not done.succeeded
        assert "the name is taken in this account and region by another state" in "\n".join(done.messages)
        assert made == [PARAMETER]
    assert inventory.find(lambda service: account.client(service, "us-west-2"), "dev").resources == []
