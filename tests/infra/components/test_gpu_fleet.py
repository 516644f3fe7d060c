"""The GPU fleet: what it buys, how it is held back, rolled out and granted."""

from __future__ import annotations

import base64
import functools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.components.gpu_fleet import GpuFleet, GpuFleetArgs
from tandem.rollout import refresh_percentages
from tandem.settings.fleet import FleetSettings
from tests.infra.declared import ACCOUNT, Declared, declared

ROOT = Path(__file__).parents[3]
TAGS = {"tandem:project": "tandem", "tandem:stack": "dev"}
BLOCK = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1b", "endsAt": "2026-12-24T18:00:00Z"}


@functools.cache
def fleet(settings: str = "{}", **changes: Any) -> Declared:
    args: dict[str, Any] = {
        "region": "us-east-1",
        "account_id": ACCOUNT,
        "subnet_ids": {"us-east-1a": "subnet-a", "us-east-1b": "subnet-b"},
        "security_group_id": "sg-hosts",
        "public_address": False,
        "role_name": "hosts",
        "instance_profile_arn": "arn:profile",
        "target_group_arn": "arn:targets",
        "log_group_arn": "arn:logs",
        "machine_image_id": "ami-0123456789abcdef0",
        "user_data": b"\x1f\x8bdata",
        "group_name": "f-1",
        "min_hosts": 3,
        "max_hosts": 4,
        "tags": TAGS,
    }
    return declared(
        lambda: GpuFleet("f", GpuFleetArgs(settings=FleetSettings(**json.loads(settings)), **args | changes))
    )


def group(**settings: Any) -> dict[str, Any]:
    return fleet(json.dumps(settings)).one("Group")


def template(**changes: Any) -> dict[str, Any]:
    return fleet(**changes).one("LaunchTemplate")


def test_exact_resources() -> None:
    assert fleet().counts() == {
        "tandem:index:GpuFleet": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:ec2/launchTemplate:LaunchTemplate": 1,
        "aws:autoscaling/group:Group": 1,
        "aws:autoscaling/lifecycleHook:LifecycleHook": 2,
    }


def test_the_group_takes_the_templates_number() -> None:
    specification = group()["mixedInstancesPolicy"]["launchTemplate"]["launchTemplateSpecification"]
    assert specification == {"launchTemplateId": "f-LaunchTemplate-id", "version": "7"}


def test_metadata_needs_a_session_and_stays_out_of_containers() -> None:
    assert template()["metadataOptions"] == {
        "httpEndpoint": "enabled",
        "httpTokens": "required",
        "httpPutResponseHopLimit": 1,
    }
    assert template(weights_s3_uri="s3://weights/qwen")["metadataOptions"]["httpPutResponseHopLimit"] == 2


def test_the_root_volume_is_encrypted_gp3() -> None:
    (device,) = template()["blockDeviceMappings"]
    assert device == {
        "deviceName": "/dev/sda1",
        "ebs": {"volumeSize": 200, "volumeType": "gp3", "encrypted": "true", "deleteOnTermination": "true"},
    }


@pytest.mark.parametrize(("public", "expected"), [(False, "false"), (True, "true")])
def test_a_public_address_only_where_the_way_out_demands_one(public: bool, expected: str) -> None:
    (interface,) = template(public_address=public)["networkInterfaces"]
    assert interface["associatePublicIpAddress"] == expected
    assert interface["securityGroups"] == ["sg-hosts"]


def test_there_is_no_ssh_key() -> None:
    assert "keyName" not in template()


def test_user_data_is_passed_on_byte_by_byte() -> None:
    assert base64.b64decode(template()["userData"]) == b"\x1f\x8bdata"


def test_instances_carry_all_tags_and_volumes_those_that_never_change() -> None:
    expected = {"Name": "f-host", **TAGS, "team": "search"}
    made = fleet.__wrapped__(tags={**TAGS, "team": "search"})
    [volume] = made.one("LaunchTemplate")["tagSpecifications"]
    assert volume == {"resourceType": "volume", "tags": {"Name": "f-host", **TAGS}}
    tags = made.one("Group")["tags"]
    assert {tag["key"]: tag["value"] for tag in tags} == expected
    assert all(tag["propagateAtLaunch"] for tag in tags)


def test_on_demand_base_and_spot_above_it() -> None:
    found = group(instanceTypes=["g6e.12xlarge", "g6.12xlarge"], onDemandBase=2, onDemandPercentage=25)
    assert found["mixedInstancesPolicy"]["instancesDistribution"] == {
        "onDemandBaseCapacity": 2,
        "onDemandPercentageAboveBaseCapacity": 25,
        "onDemandAllocationStrategy": "prioritized",
        "spotAllocationStrategy": "price-capacity-optimized",
    }
    overrides = found["mixedInstancesPolicy"]["launchTemplate"]["overrides"]
    assert [override["instanceType"] for override in overrides] == ["g6e.12xlarge", "g6.12xlarge"]
    assert found["capacityRebalance"] is True


def test_nothing_is_rebalanced_where_nothing_is_spot() -> None:
    assert group()["capacityRebalance"] is False


def test_without_a_spare_gpu_nothing_starts_a_host_more_than_the_group_may_have() -> None:
    found = group(onDemandPercentage=0, rollout="terminateFirst")
    assert (found["capacityRebalance"], found["suspendedProcesses"]) == (False, ["AZRebalance"])
    assert "suspendedProcesses" not in group(onDemandPercentage=0)


def test_a_capacity_block_is_targeted_in_its_zone() -> None:
    found = fleet(json.dumps({"capacityBlock": BLOCK, "instanceTypes": ["p5.48xlarge"]}))
    assert found.one("LaunchTemplate")["instanceMarketOptions"] == {"marketType": "capacity-block"}
    assert found.one("LaunchTemplate")["capacityReservationSpecification"] == {
        "capacityReservationTarget": {"capacityReservationId": BLOCK["reservationId"]}
    }
    assert found.one("Group")["vpcZoneIdentifiers"] == ["subnet-b"]
    assert found.one("Group")["launchTemplate"] == {"id": "f-LaunchTemplate-id", "version": "7"}
    assert "mixedInstancesPolicy" not in found.one("Group")


@pytest.mark.parametrize(
    ("when_full", "preference"),
    [("onDemand", "capacity-reservations-first"), ("wait", "capacity-reservations-only")],
)
def test_hosts_start_in_reservations_and_beside_them_or_wait(when_full: str, preference: str) -> None:
    ids = {"us-east-1b": "cr-" + "1" * 17}
    found = fleet(json.dumps({"capacityReservations": {"byZone": ids, "whenFull": when_full}}))
    assert found.one("Group")["capacityReservationSpecification"] == {
        "capacityReservationPreference": preference,
        "capacityReservationTarget": {"capacityReservationIds": list(ids.values())},
    }
    assert _spread(found.one("Group")) == "reservations-then-balanced"
    assert found.one("Group")["vpcZoneIdentifiers"] == ["subnet-b"]
    assert found.one("Group")["launchTemplate"]["version"] == "7"
    assert "mixedInstancesPolicy" not in found.one("Group")
    assert not {"instanceMarketOptions", "capacityReservationSpecification"} & {*found.one("LaunchTemplate")}


def test_a_group_that_no_longer_has_reservations_says_so() -> None:
    """What is left out of an update stays as it was."""
    for found in (group(), group(capacityBlock=BLOCK, instanceTypes=["p5.48xlarge"])):
        assert found["capacityReservationSpecification"] == {"capacityReservationPreference": "default"}
        assert _spread(found) == "balanced-best-effort"


def _spread(group: dict[str, Any]) -> str:
    return group["availabilityZoneDistribution"]["capacityDistributionStrategy"]


def test_hosts_are_held_until_the_first_token_and_until_drained() -> None:
    initial = {hook["name"]: hook for hook in group()["initialLifecycleHooks"]}
    assert {name: (h["lifecycleTransition"], h["defaultResult"]) for name, h in initial.items()} == {
        "first-token": ("autoscaling:EC2_INSTANCE_LAUNCHING", "ABANDON"),
        "drain": ("autoscaling:EC2_INSTANCE_TERMINATING", "CONTINUE"),
    }
    hooks = fleet().of("LifecycleHook").values()
    assert [{k: v for k, v in hook.items() if k != "autoscalingGroupName"} for hook in hooks] == list(initial.values())


def test_as_many_hosts_are_wanted_as_there_are_at_least() -> None:
    found = group()
    assert (found["minSize"], found["desiredCapacity"], found["maxSize"]) == (3, 3, 4)
    assert found["waitForCapacityTimeout"] == "0"
    assert "warmPool" not in found


def test_a_fleet_that_must_not_run_is_declared_at_0() -> None:
    found = fleet(running=False).one("Group")
    assert (found["minSize"], found["maxSize"], found["name"]) == (0, 0, "f-1")


def test_health_is_the_watchdogs_business() -> None:
    assert group()["healthCheckType"] == "EC2"


@pytest.mark.parametrize(("rollout", "expected"), [("launchFirst", (100, 125)), ("terminateFirst", (66, 100))])
def test_rollout_with_and_without_a_spare_gpu(rollout: str, expected: tuple[int, int]) -> None:
    preferences = group(rollout=rollout)["instanceRefresh"]["preferences"]
    assert (preferences["minHealthyPercentage"], preferences["maxHealthyPercentage"]) == expected
    assert {*preferences} == {"minHealthyPercentage", "maxHealthyPercentage", "instanceWarmup"}


def test_a_rollout_can_wait_after_its_first_host() -> None:
    preferences = group(hold_after_first_host="90m")["instanceRefresh"]["preferences"]
    assert (preferences["checkpointPercentages"], preferences["checkpointDelay"]) == ([25, 100], "5400")


@pytest.mark.parametrize(("most", "share"), [(2, 50), (100, 1), (101, 1), (120, 1)])
def test_a_large_group_is_held_after_its_first_hundredth(most: int, share: int) -> None:
    preferences = fleet('{"hold_after_first_host": "90m"}', max_hosts=most).one("Group")["instanceRefresh"][
        "preferences"
    ]
    assert preferences["checkpointPercentages"] == [share, 100]


@pytest.mark.parametrize("hosts", [0, 1, 2, 3, 7, 100])
def test_a_refresh_replaces_one_host_at_a_time(hosts: int) -> None:
    low, high = refresh_percentages("launchFirst", hosts, hosts)
    assert low == 100
    assert max(hosts, 1) * (high - 100) // 100 == 1
    low, high = refresh_percentages("terminateFirst", hosts, hosts)
    assert high == 100
    assert max(hosts, 1) * (100 - low) // 100 == 1


def test_hosts_may_act_on_their_own_stack_only() -> None:
    statements = json.loads(fleet().one("RolePolicy")["policy"])["Statement"]
    by_action = {action: statement for statement in statements for action in statement["Action"]}
    change = by_action["autoscaling:SetInstanceHealth"]
    assert change["Resource"] == [
        "arn:aws:autoscaling:us-east-1:123456789012:autoScalingGroup:*:autoScalingGroupName/f-*"
    ]
    assert change["Condition"] == {
        "StringEquals": {"aws:ResourceTag/tandem:project": "tandem", "aws:ResourceTag/tandem:stack": "dev"}
    }
    assert by_action["elasticloadbalancing:DeregisterTargets"]["Resource"] == ["arn:targets"]
    assert by_action["logs:PutLogEvents"]["Resource"] == ["arn:logs:*"]
    unconditional = [s["Action"] for s in statements if s["Resource"] == ["*"] and "Condition" not in s]
    assert [action for actions in unconditional for action in actions if ":Describe" not in action] == []
    assert "s3:GetObject" not in by_action


def test_hosts_may_do_all_that_their_scripts_ask_of_aws() -> None:
    scripts = "".join(path.read_text() for path in (ROOT / "cloud-init/host").glob("*.py"))
    asked = {f"autoscaling:{name}" for name in re.findall(r'(?:autoscaling|_act)\("(\w+)"', scripts)}
    asked |= {f"elasticloadbalancing:{name}" for name in re.findall(r'target\("(\w+)"', scripts)}
    statements = json.loads(fleet().one("RolePolicy")["policy"])["Statement"]
    granted = {action for statement in statements for action in statement["Action"]}
    assert granted >= asked
    assert {action for action in granted if not action.startswith(("logs:", "cloudwatch:"))} == asked


def test_streamed_weights_are_readable_below_their_path() -> None:
    statements = json.loads(fleet(weights_s3_uri="s3://weights/qwen/").one("RolePolicy")["policy"])["Statement"]
    by_action = {action: statement["Resource"] for statement in statements for action in statement["Action"]}
    assert by_action["s3:GetObject"] == ["arn:aws:s3:::weights/qwen/*"]
    assert by_action["s3:ListBucket"] == ["arn:aws:s3:::weights"]
