"""What the engine asks before and beside a resource's life: checks, differences, previews, names, tags, regions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import InitializationError, ProviderError, Subject
from pulumi_rehearsal.wire import Secret, unknown
from simulated import world as w
from simulated.world import SAMPLES, World

OFFLINE = World(AwsProvider(SimulatedAccount("http://127.0.0.1:1")))
"""What happens before a create needs no account."""


def check(type: str, inputs: dict[str, Any], world: World = OFFLINE, **more: Any) -> dict[str, Any]:
    found = world.check(type, inputs, **more)
    assert found.failures == []
    return found.inputs


def problems(type: str, inputs: dict[str, Any]) -> list[tuple[str, str]]:
    return OFFLINE.check(type, inputs).failures


# -- types and inputs that are not known


def test_a_type_without_a_row_is_named_before_anything_is_done() -> None:
    assert problems("aws:dynamodb/table:Table", {}) == [
        (
            "",
            "aws:dynamodb/table:Table is not simulated: add a row for it in pulumi_rehearsal/aws/tables/",
        )
    ]


def test_a_type_that_pulumi_aws_does_not_have_is_named() -> None:
    ((_, reason),) = problems("aws:ec2/vpc:Vpv", {})
    assert reason.startswith("pulumi-aws 7.51.1 has no resource type aws:ec2/vpc:Vpv")


def test_an_input_that_would_be_dropped_is_refused() -> None:
    ((path, reason),) = problems(w.VPC, {"cidrBlock": "10.0.0.0/16", "assignGeneratedIpv6CidrBlock": True})
    assert path == "assignGeneratedIpv6CidrBlock"
    assert reason.startswith("the rehearsal does not pass 'assignGeneratedIpv6CidrBlock' of aws:ec2/vpc:Vpc on to AWS")


def test_a_nested_input_that_has_no_place_is_refused() -> None:
    ((path, _),) = problems(w.ACCESS_POINT, {"fileSystemId": "fs-1", "posixUser": {"uid": 1, "gid": 1, "name": "x"}})
    assert path == "posixUser.name"


def test_an_input_that_does_not_exist_is_refused() -> None:
    assert problems(w.VPC, {"cidr": "10.0.0.0/16"}) == [("cidr", "aws:ec2/vpc:Vpc has no input 'cidr'")]


def test_a_required_input_must_be_given() -> None:
    assert ("vpcId", "Missing required argument 'vpcId'") in problems(w.SUBNET, {"cidrBlock": "10.0.0.0/24"})


def test_what_is_not_known_yet_passes() -> None:
    inputs = {"vpcId": unknown, "cidrBlock": "10.0.0.0/24", "tags": {"Name": unknown}}
    checked = check(w.SUBNET, inputs)
    assert checked["vpcId"] is unknown
    assert checked["tagsAll"] is unknown


# -- names


def test_a_name_is_made_of_the_resources_name_and_seven_hex_digits() -> None:
    name = check(w.ROLE, {"assumeRolePolicy": w.TRUST}, name="hosts")["name"]
    prefix, _, digits = name.rpartition("-")
    assert prefix == "hosts"
    assert len(digits) == 7
    assert int(digits, 16) >= 0


def test_an_automatic_name_stays() -> None:
    first = check(w.ROLE, {"assumeRolePolicy": w.TRUST}, name="hosts")
    again = OFFLINE.provider.check(OFFLINE.subject(w.ROLE, "hosts"), {"assumeRolePolicy": w.TRUST}, first, b"other")
    assert again.inputs["name"] == first["name"]


def test_a_new_seed_makes_another_name() -> None:
    names = {
        OFFLINE.provider.check(OFFLINE.subject(w.ROLE), {"assumeRolePolicy": w.TRUST}, {}, seed).inputs["name"]
        for seed in (b"1", b"2")
    }
    assert len(names) == 2


def test_a_given_name_is_taken() -> None:
    assert check(w.ROLE, {"assumeRolePolicy": w.TRUST, "name": "mine"})["name"] == "mine"


def test_a_name_prefix_gets_26_digits() -> None:
    name = check(w.LOGS, {"namePrefix": "hosts-"})["name"]
    assert name.startswith("hosts-")
    assert len(name) == len("hosts-") + 26


def test_a_buckets_name_is_in_lower_case() -> None:
    assert check(w.BUCKET, {}, name="AccessLogs")["bucket"].startswith("accesslogs-")


def test_an_aliass_name_has_its_prefix() -> None:
    assert check(w.ALIAS, {"targetKeyId": "k"}, name="volumes")["name"].startswith("alias/volumes-")


def test_an_automatic_name_that_is_too_long_is_refused() -> None:
    found = OFFLINE.check(w.ROLE, {"assumeRolePolicy": w.TRUST}, name="r" * 57)
    ((path, reason),) = found.failures
    assert path == "name"
    assert "is longer than maximum length 64" in reason


# -- tags and regions


def test_default_tags_join_those_of_the_resource_which_win() -> None:
    world = World(AwsProvider(OFFLINE.provider.account), default_tags={"a": "default", "b": "default"})
    checked = check(w.VPC, {"cidrBlock": "10.0.0.0/16", "tags": {"b": "own"}}, world)
    assert checked["tags"] == {"b": "own"}
    assert checked["tagsAll"] == {"a": "default", "b": "own"}


def test_a_resource_may_do_without_the_default_tags() -> None:
    world = World(AwsProvider(OFFLINE.provider.account), default_tags={"a": "default"})
    given = {"bucket": "b", "key": "k", "contentBase64": "", "contentType": "t", "tags": {"b": "own"}}
    checked = check(w.OBJECT, given | {"overrideProvider": {"defaultTags": {"tags": {}}}}, world)
    assert checked["tagsAll"] == {"b": "own"}


def test_a_type_without_tags_gets_none() -> None:
    assert "tagsAll" not in check(w.ROUTE, {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"})


def test_the_region_is_the_providers_or_the_resources_own() -> None:
    assert check(w.LOGS, {})["region"] == "us-east-1"
    assert check(w.LOGS, {"region": "eu-west-1"})["region"] == "eu-west-1"


def test_a_global_type_has_no_region() -> None:
    assert "region" not in check(w.ROLE, {"assumeRolePolicy": w.TRUST})


def test_a_provider_without_a_region_says_so() -> None:
    with pytest.raises(ProviderError, match="Missing region configuration"):
        OFFLINE.provider.check(Subject(w.LOGS, "logs", "", {}), {}, {}, b"")


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1"])
def test_resources_are_created_in_their_region(world_with: Callable[..., World], region: str) -> None:
    world = world_with(region=region)
    vpc = world.get(w.VPC)
    assert vpc["region"] == region
    assert vpc["arn"] == f"arn:aws:ec2:{region}:123456789012:vpc/{vpc.id}"
    assert world.client("ec2").describe_vpcs(VpcIds=[vpc.id])["Vpcs"]


# -- differences


def difference(type: str, old: dict[str, Any], new: dict[str, Any]) -> tuple[dict[str, str], set[str], bool]:
    found = OFFLINE.provider.diff(OFFLINE.subject(type), "id", old, new, {})
    return found.changes, set(found.replaces), found.delete_before_replace


def test_equal_inputs_do_not_differ() -> None:
    inputs = check(w.VPC, {"cidrBlock": "10.0.0.0/16"})
    assert difference(w.VPC, inputs, dict(inputs)) == ({}, set(), False)


@pytest.mark.parametrize(
    ("type", "name", "old", "new", "replaces"),
    [
        (w.VPC, "cidrBlock", "10.0.0.0/16", "10.1.0.0/16", True),
        (w.VPC, "enableDnsHostnames", False, True, False),
        (w.VPC, "region", "us-east-1", "us-east-2", True),
        (w.VPC, "tagsAll", {"a": "1"}, {"a": "1"} | {"b": "2"}, False),
        (w.TEMPLATE, "userData", "YQ==", "Yg==", False),
        (w.TEMPLATE, "name", "a", "b", True),
        (w.FLEET, "maxSize", 1, 2, False),
        (w.FLEET, "instanceRefresh", None, {"strategy": "Rolling"}, False),
        (w.FLEET, "initialLifecycleHooks", [], [{"name": "h"}], False),
        (w.FLEET, "name", "a", "b", True),
        (w.TARGETS, "port", 80, 81, True),
        (w.TARGETS, "deregistrationDelay", 300, 900, False),
        (w.BALANCER, "internal", False, True, True),
        (w.BALANCER, "idleTimeout", 60, 900, False),
        (w.LISTENER, "sslPolicy", "a", "b", False),
        (w.FILES, "encrypted", False, True, True),
        (w.FILES, "throughputMode", "bursting", "elastic", False),
        (w.SECRET, "recoveryWindowInDays", 30, 0, False),
        (w.SECRET_VERSION, "secretString", "a", "b", True),
        (w.BUCKET, "forceDestroy", False, True, False),
        (w.LOGS, "retentionInDays", 30, 90, False),
    ],
)
def test_what_replaces_and_what_is_changed_in_place(type: str, name: str, old: Any, new: Any, replaces: bool) -> None:
    changes, replaced, _ = difference(type, {name: old}, {name: new})
    assert {path.partition(".")[0].partition("[")[0] for path in changes} == {name}
    assert replaced == (set(changes) if replaces else set())


def test_a_policy_that_is_only_written_differently_does_not_differ() -> None:
    one, other = '{"a": 1, "b": 2}', '{"b":2,"a":1}'
    assert difference(w.ROLE_POLICY, {"policy": one}, {"policy": other})[0] == {}
    assert difference(w.ROLE_POLICY, {"policy": one}, {"policy": '{"a":1}'})[0] == {"policy": "update"}


def test_changes_are_told_to_the_point() -> None:
    old, new = ({"rules": [{"name": "r", "statement": {"limit": limit}}]} for limit in (1, 2))
    assert difference(w.ACL, old, new)[0] == {"rules[0].statement.limit": "update"}
    assert difference(w.ACL, {"description": "x"}, {"tokenDomains": ["y"]})[0] == {
        "description": "delete",
        "tokenDomains": "add",
    }


def test_a_replacement_that_keeps_its_given_name_waits_for_the_old_one_to_go() -> None:
    old, new = ({"name": "mine", "port": port} for port in (80, 81))
    assert difference(w.TARGETS, old, new)[2] is True
    automatic = [inputs | {"__defaults": ["name"]} for inputs in (old, new)]
    assert difference(w.TARGETS, *automatic)[2] is False


def test_a_mount_target_goes_before_its_replacement_comes() -> None:
    assert difference(w.MOUNT, {"subnetId": "a"}, {"subnetId": "b"})[2] is True


# -- previews


def test_a_preview_knows_the_inputs_and_nothing_else() -> None:
    inputs = check(w.VPC, {"cidrBlock": "10.0.0.0/16"})
    outputs = OFFLINE.provider.preview(OFFLINE.subject(w.VPC), inputs, None)
    assert outputs["cidrBlock"] == "10.0.0.0/16"
    assert outputs["region"] == "us-east-1"
    assert outputs["arn"] is unknown
    assert outputs["defaultSecurityGroupId"] is unknown


def test_a_preview_of_an_update_keeps_what_does_not_change() -> None:
    state = {"arn": "arn", "latestVersion": 3, "userData": "old"}
    outputs = OFFLINE.provider.preview(OFFLINE.subject(w.TEMPLATE), {"userData": "new"}, state)
    assert (outputs["arn"], outputs["userData"]) == ("arn", "new")
    assert outputs["latestVersion"] is unknown


# -- secrets, imports, trouble


def test_secret_outputs_are_marked(world: World) -> None:
    assert world.get(w.SECRET_VERSION).state["secretString"] == Secret("hush")
    assert world.get(w.PARAMETER).state["value"] == Secret("hush")


def test_an_import_finds_the_inputs_from_the_id(world: World) -> None:
    made = world.get(w.VPC)
    found = world.provider.read(world.subject(w.VPC), made.id, {}, {})
    assert found is not None
    inputs, state = found
    assert inputs["cidrBlock"] == "10.0.0.0/16"
    assert inputs["tags"] == {"Name": "sample"}
    assert state["arn"] == made["arn"]


def test_a_program_need_not_repeat_what_an_import_found(world: World) -> None:
    made = world.get(w.TARGETS)
    found = world.provider.read(world.subject(w.TARGETS), made.id, {}, {})
    assert found is not None
    imported, state = found
    checked = world.check(w.TARGETS, {**SAMPLES[w.TARGETS](world), "name": made.inputs["name"]}, old=imported)
    change = world.provider.diff(world.subject(w.TARGETS), made.id, imported, checked.inputs, state)
    assert change.changes == {}


@pytest.mark.parametrize(
    ("type", "id"),
    [
        (w.ROUTE, lambda made: f"{made.inputs['routeTableId']}_0.0.0.0/0"),
        (w.HOOK, lambda made: f"{made.inputs['autoscalingGroupName']}/{made.id}"),
        (w.ROLE_POLICY, lambda made: made.id),
        (w.SCHEDULE, lambda made: made.id),
        (w.RECORD, lambda made: made.id),
        (w.BUCKET_POLICY, lambda made: made.id),
        (w.LOGS, lambda made: made.id),
    ],
)
def test_an_import_takes_ids_apart(world: World, type: str, id: Callable[[Any], str]) -> None:
    made = world.get(type)
    found = world.provider.read(world.subject(type), id(made), {}, {})
    assert found is not None
    given = {key: value for key, value in SAMPLES[type](world).items() if not isinstance(value, dict | list)}
    assert {key: found[0].get(key) for key in given if key != "policy"} == {
        key: value for key, value in given.items() if key != "policy"
    }


def test_what_is_not_there_cannot_be_imported(world: World) -> None:
    assert world.provider.read(world.subject(w.VPC), "vpc-0123456789abcdef0", {}, {}) is None


def test_what_is_only_recorded_cannot_be_imported(world: World) -> None:
    with pytest.raises(ProviderError, match="cannot be imported"):
        world.provider.read(world.subject(w.BACKUP), "fs-1", {}, {})


def test_a_creation_that_is_cut_short_is_kept_and_mended(world: World) -> None:
    role = world.get(w.ROLE)
    name = f"{world.name}-late"
    checked = world.check(w.PROFILE, {"role": name})
    with pytest.raises(InitializationError, match=f"NoSuchEntity: Role {name} not found") as error:
        world.provider.create(world.subject(w.PROFILE), checked.inputs)
    world.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=role.inputs["assumeRolePolicy"])
    id = error.value.id
    state = world.provider.update(world.subject(w.PROFILE), id, checked.inputs, checked.inputs, dict(error.value.state))
    assert state["role"] == name
    profile = world.client("iam").get_instance_profile(InstanceProfileName=id)["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == [name]


def test_what_aws_refuses_is_said_in_its_words(world: World) -> None:
    with pytest.raises(ProviderError) as error:
        world.create(w.VPC, {"cidrBlock": "10.0.0.0/8"})
    assert str(error.value) == (
        "operation error EC2: CreateVpc, api error InvalidVpc.Range: The CIDR '10.0.0.0/8' is invalid."
    )


def test_what_aws_s_models_do_not_allow_is_refused_before_moto_is_asked(world: World) -> None:
    with pytest.raises(ProviderError) as error:
        world.create(w.ROLE, {"assumeRolePolicy": w.TRUST, "name": "hosts of mine"})
    assert str(error.value) == (
        "operation error IAM: CreateRole, api error ValidationError: 1 validation error detected: "
        "Value 'hosts of mine' at 'roleName' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w+=,.@-]+"
    )


# -- the report


def test_the_report_tells_moto_from_the_register(world: World) -> None:
    world.get(w.BACKUP)
    world.get(w.FLEET)
    report = world.provider.report()
    assert (report[w.FILES].in_moto, report[w.FILES].recorded) == (1, 0)
    assert (report[w.BACKUP].in_moto, report[w.BACKUP].recorded) == (0, 1)
    assert report[w.FLEET].recorded_inputs == ("instanceRefresh",)
    assert w.QUEUE not in report


def test_what_is_deleted_is_not_in_the_report(world: World) -> None:
    world.delete(world.get(w.QUEUE))
    assert world.provider.report() == {}


def test_default_tags_arrive_as_json_text() -> None:
    subject = Subject(w.VPC, "vpc", "", {"region": "us-east-1", "defaultTags": json.dumps({"tags": {"a": "1"}})})
    assert OFFLINE.provider.check(subject, {"cidrBlock": "10.0.0.0/16"}, {}, b"").inputs["tagsAll"] == {"a": "1"}


def test_a_node_group_is_found_by_its_cluster(world: World) -> None:
    group = world.get("aws:eks/nodeGroup:NodeGroup")
    cluster, name = group["clusterName"], group["nodeGroupName"]

    def found(token: str, **args: str) -> dict[str, Any]:
        return world.provider.invoke(f"aws:eks/{token}:{token}", {"clusterName": cluster, **args}, {"region": w.REGION})

    assert found("getNodeGroups")["names"] == [name]
    shown = found("getNodeGroup", nodeGroupName=name)
    known = ("instanceTypes", "amiType", "capacityType", "subnetIds", "arn")
    assert {key: shown[key] for key in known} == {key: group[key] for key in known}
