"""Every row makes its round trip against moto: created, read twice alike, deleted; boto3 sees it come and go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.aws.tables import TABLE
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import changed_paths
from simulated.seen import ONLY_RECORDED, SEEN, STAYS
from simulated.world import SAMPLES, Made, World

TAGS = {"project": "shop"}


@dataclass
class Life:
    """What was observed of one resource."""

    made: Made
    seen: Any
    read: tuple[dict[str, Any], dict[str, Any]] | None
    seen_after_delete: Any
    read_after_delete: Any


def plain(properties: dict[str, Any]) -> dict[str, Any]:
    return {key: getattr(value, "value", value) for key, value in properties.items()}


def look(world: World, made: Made) -> Any:
    try:
        return SEEN[made.type](world, made)
    except ClientError:
        return None


@pytest.fixture(scope="module")
def lives(account: SimulatedAccount) -> dict[str, Life]:
    """All samples in one world, each created after what it needs, and deleted in the reverse order."""
    world = World(AwsProvider(account), default_tags=TAGS)
    for token in TABLE:
        world.get(token)
    made = [resource for resource in world.made.values() if resource.type in TABLE]
    lives = {
        resource.type: Life(resource, look(world, resource), world.read(resource), None, None)
        for resource in made
        if resource.type in SEEN and world.made[resource.type] is resource  # another may have been made to refer to
    }
    for resource in reversed(made):
        world.delete(resource)
        if resource.type in lives and world.made[resource.type] is resource:
            life = lives[resource.type]
            life.made = resource
            life.seen_after_delete = look(world, resource)
            life.read_after_delete = world.read(resource)
    return lives


def test_there_is_a_sample_and_a_way_to_see_it_for_every_row() -> None:
    assert set(SAMPLES) == set(TABLE)
    assert set(SEEN) == set(TABLE) - ONLY_RECORDED


@pytest.mark.parametrize("token", SEEN)
def test_boto3_sees_it_when_it_is_created(lives: dict[str, Life], token: str) -> None:
    assert lives[token].seen


@pytest.mark.parametrize("token", [token for token in SEEN if token not in STAYS])
def test_boto3_does_not_see_it_when_it_is_deleted(lives: dict[str, Life], token: str) -> None:
    assert not lives[token].seen_after_delete
    assert lives[token].read_after_delete is None


@pytest.mark.parametrize("token", SEEN)
def test_a_refresh_of_what_is_as_it_was_changes_nothing(lives: dict[str, Life], token: str) -> None:
    life = lives[token]
    assert life.read is not None
    inputs, state = life.read
    assert changed_paths(life.made.inputs, inputs) == {}
    # other outputs may well have changed: an address is associated, a target group has a load balancer
    given = {key: plain(life.made.state)[key] for key in life.made.inputs if key in state}
    assert {key: plain(state)[key] for key in given} == given


@pytest.mark.parametrize("token", SEEN)
def test_outputs_repeat_the_inputs(lives: dict[str, Life], token: str) -> None:
    made = lives[token].made
    state = plain(made.state)
    for name in TABLE[token].adds:
        assert state[name].keys() > made.inputs[name].keys()
        state[name] = {key: state[name][key] for key in made.inputs[name]}
    assert {key: state[key] for key in made.inputs if key in state} == {
        key: value for key, value in made.inputs.items() if key in state
    }


@pytest.mark.parametrize("token", [token for token in SEEN if TABLE[token].tags])
def test_default_tags_are_on_the_resource(lives: dict[str, Life], token: str) -> None:
    life = lives[token]
    assert life.made["tagsAll"] == {**TAGS, **(life.made.inputs.get("tags") or {})}
