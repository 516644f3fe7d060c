"""What a killed `up` leaves of each kind that the program declares: found by recover, and not kept and made twice."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pytest

from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.moto import SimulatedAccount
from simulated.world import SAMPLES, Made, Sample, World, self_signed
from tandem import type_tokens as types
from tandem.ops import inventory
from tandem.ops.inventory import Inventory
from tandem.ops.kinds import KINDS, state_key
from tandem.ops.pulumi import Deployment
from tandem.ops.recovery import decide
from tandem.tags import PROJECT, PROJECT_TAG, STACK_ID_TAG, STACK_TAG
from tests.infra.declared import STACK_ID, declared_by
from tests.ops.account import REGION
from tests.ops.test_recovery import IDENTITY_RESOURCE

TAGS = {PROJECT_TAG: PROJECT, STACK_TAG: "dev", STACK_ID_TAG: STACK_ID}
OF_THE_PROGRAM = [type_ for type_, kind in KINDS.items() if kind.program]
HOSTS: dict[str, Any] = {
    "region": REGION,
    "network": {"egress": "singleNat", "flowLogRetentionDays": 90, "interfaceEndpoints": ["logs"]},
    "loadBalancer": {
        "domainName": "us.llm.example.com",
        "hostedZoneId": "Z0123456789ABC",
        "requestsPerMinutePerIp": 600,
    },
    "globalName": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "costGuard": {"monthlyBudgetUsd": 100, "alertEmails": ["a@example.com"], "expiresAfter": "4h"},
}
PODS: dict[str, Any] = {"region": REGION, "platform": "eks"}


def deployment(*resources: dict[str, Any], pending: list[dict[str, Any]]) -> Deployment:
    identity = IDENTITY_RESOURCE | {"outputs": {"hex": STACK_ID}}
    return {"version": 3, "deployment": {"resources": [identity, *resources], "pending_operations": pending}}


@functools.cache
def names() -> Mapping[str, dict[str, Any]]:
    """What the program calls one of each type; nothing where the engine or AWS chooses."""
    found: dict[str, dict[str, Any]] = {}
    for settings in (HOSTS, PODS):
        for one in declared_by(settings).resources:
            found[one.type] = {key: one.inputs[key] for key in ("name", "description", "tags") if key in one.inputs}
    return found


class Program(World):
    """Samples of all types, called as the program calls them."""

    def create(self, type: str, inputs: dict[str, Any] | None = None, name: str = "") -> Made:
        sample = SAMPLES[type](self) if inputs is None else inputs
        return super().create(type, sample | names().get(type, {}) | AS_THE_PROGRAM.get(type, lambda _: {})(self), name)


AS_THE_PROGRAM: Mapping[str, Sample] = {
    types.DASHBOARD: lambda world: {  # by its name the stack's parameter leads to it
        "dashboardName": world.get(types.PARAMETER).id.replace("/", "-").removeprefix("-")
    },
    types.SECURITY_GROUP: lambda _world: {"ingress": []},  # its rules are resources of their own
    types.CERTIFICATE: lambda world: dict(
        zip(("certificateBody", "privateKey"), self_signed(f"llm.{world.name}.example.com"), strict=True)
    ),
    types.RECORD: lambda world: {
        "name": f"llm.{world.name}.example.com",
        "type": "A",
        "ttl": None,
        "records": None,
        "aliases": [
            {
                "name": world.get(types.LOAD_BALANCER)["dnsName"],
                "zoneId": world.get(types.LOAD_BALANCER)["zoneId"],
                "evaluateTargetHealth": True,
            }
        ],
    },
}


@pytest.fixture(scope="module")
def made(moto_server: SimulatedAccount) -> tuple[Program, Inventory]:
    """One of each type, and what boto3 finds of them."""
    moto_server.reset()
    world = Program(AwsProvider(moto_server), default_tags=TAGS, name="tandem-dev")
    for type_ in OF_THE_PROGRAM:
        world.get(type_)
    found = inventory.find(lambda service: moto_server.client(service, REGION), "dev")
    assert found.unreadable == []
    return world, found


@pytest.mark.parametrize("type_", OF_THE_PROGRAM)
def test_it_is_taken_away_or_into_the_state(made: tuple[Program, Inventory], type_: str) -> None:
    world, found = made
    records = [
        {"urn": f"urn:{label}", "type": one.type, "id": one.id, "outputs": one.state}
        for label, one in world.made.items()
    ]
    [left] = [one for one in records if one["urn"] == f"urn:{type_}"]
    operation = {"type": "creating", "resource": {"urn": left["urn"], "type": type_, "inputs": world.get(type_).inputs}}
    plan = decide(deployment(*[one for one in records if one != left], pending=[operation]), found)
    taken = [*plan.remove, *(one.resource for one in plan.adopt)]
    assert [one.key for one in taken] == [state_key(left)]
    assert [kept for kept in plan.keep if kept.resource.type == type_] == []
