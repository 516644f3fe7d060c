"""The composition: the two shipped stacks, type by type, and what no stack may hold."""

from __future__ import annotations

import base64
import functools
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from infra import stack
from tandem import pins
from tandem.errors import UserError
from tandem.loading import load_stack_file
from tandem.settings import Settings
from tandem.tags import STACK_ID_TAG
from tests.infra.declared import STACK_ID, Declared, declared, declared_by

ROOT = Path(__file__).parents[2]
TOKEN = "hf_" + "t" * 30
DIGEST = "d1" * 32


def settings_of(name: str, **changes: Any) -> Settings:
    return load_stack_file(ROOT / f"Pulumi.{name}.yaml").model_copy(update=changes)


COMMON = {
    "AccessPoint": 1,
    "Bucket": 2,
    "BucketAbac": 2,
    "BucketLifecycleConfiguration": 1,
    "BucketObjectv2": 1,
    "BucketPolicy": 2,
    "BucketPublicAccessBlock": 2,
    "BucketServerSideEncryptionConfiguration": 2,
    "Certificate": 1,
    "DefaultSecurityGroup": 1,
    "FileSystem": 1,
    "FileSystemPolicy": 1,
    "Group": 1,
    "InstanceProfile": 1,
    "InternetGateway": 1,
    "LaunchTemplate": 1,
    "LifecycleHook": 2,
    "Listener": 2,
    "ListenerRule": 1,
    "LoadBalancer": 1,
    "Parameter": 1,
    "Role": 2,
    "RolePolicy": 5,
    "Secret": 2,
    "SecretVersion": 1,
    "SecurityGroup": 3,
    "SecurityGroupEgressRule": 4,
    "SecurityGroupIngressRule": 4,
    "TargetGroup": 1,
    "Topic": 1,
    "Vpc": 1,
    "VpcEndpoint": 1,
    "WebAcl": 1,
    "WebAclAssociation": 1,
}
DEV = COMMON | {
    "MetricAlarm": 1,
    "Policy": 1,
    "LogGroup": 1,
    "MountTarget": 2,
    "Route": 1,
    "RouteTable": 1,
    "RouteTableAssociation": 2,
    "Schedule": 3,
    "ScheduleGroup": 1,
    "Subnet": 2,
}
PROD = COMMON | {
    "Budget": 1,
    "CompositeAlarm": 7,
    "Dashboard": 1,
    "Eip": 3,
    "FlowLog": 1,
    "LogGroup": 2,
    "MetricAlarm": 27,
    "Policy": 2,
    "MountTarget": 3,
    "NatGateway": 3,
    "Route": 4,
    "RouteTable": 4,
    "RouteTableAssociation": 6,
    "Subnet": 6,
    "TopicPolicy": 1,
    "TopicSubscription": 1,
}


@functools.cache
def built(name: str) -> Declared:
    settings = settings_of(name, require_pins=False)
    return declared(lambda: stack.build(settings, pins.load(), name), name)


def counts(name: str) -> dict[str, int]:
    return {token.split(":")[-1]: number for token, number in built(name).counts().items() if token.startswith("aws:")}


def test_the_dev_stack_resource_by_resource() -> None:
    assert counts("dev") == DEV


def test_the_prod_stack_resource_by_resource() -> None:
    assert counts("prod-ec2") == PROD


def test_access_logs_outlive_the_stack_unless_it_is_ephemeral() -> None:
    assert built("dev").of("Bucket")["dev-access-logs"]["forceDestroy"] is True
    assert built("prod-ec2").of("Bucket")["prod-ec2-access-logs"]["forceDestroy"] is False


@pytest.mark.parametrize("name", ["dev", "prod-ec2"])
def test_a_host_that_is_told_where_its_scripts_are_finds_them_and_may_read_them(name: str) -> None:
    """So the group, which is made after its launch template, is also gone before them."""
    template, *_ = built(name).urns("LaunchTemplate")
    before = built(name).before(template)
    (scripts,) = built(name).urns("BucketObjectv2")
    (grant,) = (urn for urn in built(name).urns("RolePolicy") if urn.endswith("host-scripts"))
    assert {scripts, grant} <= before


def test_the_load_balancer_is_made_after_its_way_out_and_goes_before_it() -> None:
    found = built("prod-ec2")
    (balancer,) = found.urns("loadBalancer:LoadBalancer")
    ways = [urn for urn in found.urns(":RouteTableAssociation", ":Route") if "-public" in urn]
    assert len(ways) == 4
    assert {*ways, *found.urns(":InternetGateway")} <= found.before(balancer)


def test_no_secret_reaches_a_host_or_an_output() -> None:
    found = declared_by(
        {"region": "us-east-1", "hugging_face_token": TOKEN, "clients": {"alice": {"sha256": [DIGEST]}}}
    )
    user_data = gzip.decompress(base64.b64decode(found.one("LaunchTemplate")["userData"])).decode()
    elsewhere = [resource for resource in found.resources if not resource.type.endswith(":SecretVersion")]
    for value in (TOKEN, DIGEST):
        assert value not in user_data
        assert value not in json.dumps([resource.inputs for resource in elsewhere], default=str)
    assert TOKEN in json.dumps(list(found.of("SecretVersion").values()))


def test_an_empty_pin_stops_a_stack_that_demands_pins() -> None:
    with pytest.raises(UserError, match=r"vllm\.digest: this pin is empty"):
        stack.check(settings_of("prod-ec2"), pins.load(), "prod-ec2", print)


@pytest.mark.parametrize("name", ["x", "Prod", "a" * 25, "9lives", "a_b", "dev-"])
def test_a_stack_name_that_aws_would_cut_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="stack: this name does not fit"):
        stack.check(settings_of("dev"), pins.load(), name, print)


@pytest.mark.parametrize("ephemeral", [True, False])
def test_the_users_tags_cannot_hide_the_stacks(ephemeral: bool) -> None:
    settings = settings_of("dev", tags={"team": "ml", "tandem:stack": "prod"}, ephemeral=ephemeral)
    provider = declared(lambda: stack.build(settings, pins.load(), "dev")).providers["aws"]
    assert json.loads(provider["defaultTags"])["tags"] == {
        "team": "ml",
        "tandem:project": "tandem",
        "tandem:stack": "dev",
        "tandem:region": settings.region,
        **({"tandem:ephemeral": "true"} if ephemeral else {}),
    }


TAGGED_BY_THEIR_PARENT = {
    "BucketAbac",
    "BucketLifecycleConfiguration",
    "BucketPolicy",
    "BucketPublicAccessBlock",
    "BucketServerSideEncryptionConfiguration",
    "CertificateValidation",
    "Dashboard",
    "FileSystemPolicy",
    "LifecycleHook",
    "MountTarget",
    "Policy",
    "Record",
    "RolePolicy",
    "RolePolicyAttachment",
    "Route",
    "RouteTableAssociation",
    "Schedule",
    "SecretVersion",
    "TopicPolicy",
    "TopicSubscription",
    "WebAclAssociation",
}
"""Types that take no tags, by pulumi_aws."""


@pytest.mark.parametrize("name", ["dev", "prod-ec2"])
def test_everything_that_takes_tags_carries_the_stacks_id(name: str) -> None:
    for resource in built(name).resources:
        kind = resource.type.rpartition(":")[2]
        if resource.type.startswith("aws:") and kind not in TAGGED_BY_THEIR_PARENT:
            tags = resource.inputs.get("tags")
            found = {tag["key"]: tag["value"] for tag in tags} if isinstance(tags, list) else tags
            assert (found or {}).get(STACK_ID_TAG) == STACK_ID, resource
    for specification in built(name).one("LaunchTemplate")["tagSpecifications"]:
        assert specification["tags"][STACK_ID_TAG] == STACK_ID


def test_names_that_the_account_has_once_are_of_one_life() -> None:
    assert built("dev").one("LogGroup")["name"] == f"/tandem/dev/{STACK_ID}/hosts"


@pytest.mark.parametrize("platform", ["ec2", "eks"])
def test_each_role_has_the_boundary_where_one_is_set(platform: str) -> None:
    """And none without, so that a stack from before changes nothing."""
    arn = "arn:aws:iam::123456789012:policy/tandem-boundary"
    found = {}
    for boundary in (None, arn):
        values = {"region": "us-east-1", "platform": platform, "permissionsBoundary": boundary}
        found[boundary] = declared_by(values).of("Role")
    assert {role.get("permissionsBoundary") for role in found[None].values()} == {None}
    assert {role.get("permissionsBoundary") for role in found[arn].values()} == {arn}
