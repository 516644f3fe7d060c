"""Whose a stack is, on the real engine: a name that is taken, a stack from before, one that was reaped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from infra.tags import STACK_ID_TAG
from ops import inventory
from ops.kinds import KINDS
from ops.recovery import stack_id
from rehearsal.engine import Engine
from rehearsal.moto import SimulatedAccount, simulated_account
from rehearsal.scene import Scene, set_the_scene

pytestmark = [pytest.mark.engine, pytest.mark.long]

IDENTITY = "tandem:index:StackIdentity"
OWN_TYPES = ("tandem:index:StackIdentity", "random:index/randomId:RandomId", "aws:ssm/parameter:Parameter")


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
    assert set(found(scene).values()) == {stack_id(exported(scene))}
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
    """The state loses what this version brought, and the account the parameter and the tag."""
    state = exported(scene)
    kept = [one for one in state["deployment"]["resources"] if IDENTITY not in one["urn"]]
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
    own = stack_id(exported(scene))
    assert {key: value for key, value in after.items() if value != own} == {}
    assert scene.workspace.up().changing() == []


def _forget(resource: dict[str, Any]) -> None:
    """Takes the id out of a resource of the state, and what depends on what is gone."""
    for part in ("inputs", "outputs"):
        for name in ("tags", "tagsAll"):
            tags = (resource.get(part) or {}).get(name)
            if isinstance(tags, dict):
                tags.pop(STACK_ID_TAG, None)
    resource["dependencies"] = [urn for urn in resource.get("dependencies") or [] if IDENTITY not in urn]
    properties = resource.get("propertyDependencies") or {}
    resource["propertyDependencies"] = {
        name: [urn for urn in urns or [] if IDENTITY not in urn] for name, urns in properties.items()
    }


def test_after_a_reap_the_next_up_says_so_and_its_fix_makes_the_stack_anew(scene: Scene) -> None:
    from ops.removal import remove_stack

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
