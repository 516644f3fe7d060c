"""The identity of one life of a stack; what it refuses is played on the engine in tests/rehearsal/test_identity.py."""

from __future__ import annotations

import pulumi
from pulumi_aws import autoscaling, ec2

from infra.components.stack_identity import StackIdentity, StackIdentityArgs
from tests.infra.declared import STACK_ID, Declared, declared

NAME = f"/tandem/dev/{STACK_ID}"


def identity(expires_at: str | None = None) -> Declared:
    expires = pulumi.Output.from_input(expires_at) if expires_at else None
    return declared(lambda: StackIdentity("i", StackIdentityArgs(stack="dev", expires_at=expires)))


def test_exact_resources() -> None:
    assert identity().counts() == {
        "tandem:index:StackIdentity": 1,
        "random:index/randomId:RandomId": 1,
        "aws:ssm/parameter:Parameter": 1,
    }


def test_the_id_is_in_the_parameters_name_value_and_tag() -> None:
    parameter = identity().one("Parameter")
    assert (parameter["name"], parameter["insecureValue"], parameter["tags"]) == (
        NAME,
        STACK_ID,
        {"tandem:stack-id": STACK_ID},
    )


def test_the_moment_of_expiry_is_on_the_parameter() -> None:
    tags = identity("2026-12-24T18:00:00Z").one("Parameter")["tags"]
    assert tags == {"tandem:stack-id": STACK_ID, "tandem:expires-at": "2026-12-24T18:00:00Z"}


def test_what_is_below_a_component_and_takes_tags_gets_the_id_beside_its_own() -> None:
    def program() -> None:
        of = StackIdentity("i", StackIdentityArgs(stack="dev"))
        above = pulumi.ComponentResource("a:b:C", "c", opts=pulumi.ResourceOptions(transformations=[of.tag]))
        child = pulumi.ResourceOptions(parent=above)
        vpc = ec2.Vpc("own", tags={"Name": "own"}, opts=child)
        ec2.Vpc("bare", opts=child)
        ec2.Route("none", route_table_id=vpc.id, opts=child)
        autoscaling.Group("list", min_size=0, max_size=0, tags=[], opts=child)

    found = declared(program)
    assert {name: vpc["tags"] for name, vpc in found.of("Vpc").items()} == {
        "own": {"Name": "own", "tandem:stack-id": STACK_ID},
        "bare": {"tandem:stack-id": STACK_ID},
    }
    assert "tags" not in found.one("Route")
    assert found.one("Group")["tags"] == []
