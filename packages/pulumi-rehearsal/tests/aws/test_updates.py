"""Changes in place, seen by boto3."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_rehearsal.aws import AwsProvider
from pulumi_rehearsal.aws.account import AwsError, Event, Region
from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.plugin import ProviderError
from simulated import world as w
from simulated.check_cases import ago
from simulated.world import SAMPLES, Made, World, self_signed, user_data


@pytest.fixture(scope="module")
def shared(account: SimulatedAccount) -> World:
    return World(AwsProvider(account))


def ec2(world: World, operation: str, **params: Any) -> Any:
    return getattr(world.client("ec2"), operation)(**params)


def elb(world: World, operation: str, arn: str, parameter: str) -> dict[str, str]:
    found = getattr(world.client("elbv2"), operation)(**{parameter: arn})["Attributes"]
    return {pair["Key"]: pair["Value"] for pair in found}


def fleet(world: World, made: Made) -> dict[str, Any]:
    found = world.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[made.id])
    return found["AutoScalingGroups"][0]


Look = Callable[[World, Made], Any]

CHANGES: list[tuple[str, dict[str, Any], Look, Any]] = [
    (
        w.VPC,
        {"enableDnsHostnames": False},
        lambda o, m: ec2(o, "describe_vpc_attribute", VpcId=m.id, Attribute="enableDnsHostnames")["EnableDnsHostnames"][
            "Value"
        ],
        False,
    ),
    (
        w.SUBNET,
        {"mapPublicIpOnLaunch": False},
        lambda o, m: ec2(o, "describe_subnets", SubnetIds=[m.id])["Subnets"][0]["MapPublicIpOnLaunch"],
        False,
    ),
    (
        w.INGRESS,
        {"fromPort": 8080, "toPort": 8081},
        lambda o, m: [
            (rule["FromPort"], rule["ToPort"])
            for rule in ec2(o, "describe_security_group_rules", SecurityGroupRuleIds=[m.id])["SecurityGroupRules"]
        ],
        [(8080, 8081)],
    ),
    (
        w.GROUP,
        {"ingress": [{"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": ["10.0.0.0/8"]}]},
        lambda o, m: sorted(
            rule["FromPort"]
            for rule in ec2(o, "describe_security_groups", GroupIds=[m.id])["SecurityGroups"][0]["IpPermissions"]
            if rule["FromPort"] != 8080  # a rule that is a resource of its own stays
        ),
        [22],
    ),
    (
        w.TEMPLATE,
        {"userData": user_data("#!/bin/sh\nexit 0\n")},
        lambda o, m: [
            (version["VersionNumber"], version["LaunchTemplateData"]["UserData"], version["DefaultVersion"])
            for version in ec2(o, "describe_launch_template_versions", LaunchTemplateId=m.id, Versions=["$Latest"])[
                "LaunchTemplateVersions"
            ]
        ],
        [(2, user_data("#!/bin/sh\nexit 0\n"), True)],
    ),
    (
        w.FLEET,
        {"maxSize": 4},
        lambda o, m: fleet(o, m)["MaxSize"],
        4,
    ),
    (w.FLEET, {"defaultInstanceWarmup": 90}, lambda o, m: fleet(o, m).get("DefaultInstanceWarmup"), 90),
    (w.FLEET, {"targetGroupArns": []}, lambda o, m: fleet(o, m)["TargetGroupARNs"], []),
    (
        w.FLEET,
        {"tags": [{"key": "Name", "value": "other", "propagateAtLaunch": False}]},
        lambda o, m: [(tag["Key"], tag["Value"], tag["PropagateAtLaunch"]) for tag in fleet(o, m)["Tags"]],
        [("Name", "other", False)],
    ),
    (
        w.BALANCER,
        {"idleTimeout": 120, "dropInvalidHeaderFields": False},
        lambda o, m: [
            elb(o, "describe_load_balancer_attributes", m.id, "LoadBalancerArn")[key]
            for key in ("idle_timeout.timeout_seconds", "routing.http.drop_invalid_header_fields.enabled")
        ],
        ["120", "false"],
    ),
    (
        w.TARGETS,
        {"deregistrationDelay": 60, "healthCheck": {"path": "/alive", "interval": 20, "timeout": 5}},
        lambda o, m: (
            elb(o, "describe_target_group_attributes", m.id, "TargetGroupArn")["deregistration_delay.timeout_seconds"],
            o.client("elbv2").describe_target_groups(TargetGroupArns=[m.id])["TargetGroups"][0]["HealthCheckPath"],
        ),
        ("60", "/alive"),
    ),
    (
        w.RULE,
        {"priority": 7, "conditions": [{"hostHeader": {"values": ["a.example.com"]}}]},
        lambda o, m: [
            (rule["Priority"], rule["Conditions"][0].get("HostHeaderConfig", {}).get("Values"))
            for rule in o.client("elbv2").describe_rules(RuleArns=[m.id])["Rules"]
        ],
        [("7", ["a.example.com"])],
    ),
    (
        w.HEALTH_CHECK,
        {"resourcePath": "/alive", "failureThreshold": 5},
        lambda o, m: [
            o.client("route53").get_health_check(HealthCheckId=m.id)["HealthCheck"]["HealthCheckConfig"][name]
            for name in ("ResourcePath", "FailureThreshold")
        ],
        ["/alive", 5],
    ),
    (
        w.RECORD,
        {"records": ["elsewhere.example.net"], "ttl": 300},
        lambda o, m: [
            (record["TTL"], record["ResourceRecords"])
            for record in o.client("route53").list_resource_record_sets(HostedZoneId=m.inputs["zoneId"])[
                "ResourceRecordSets"
            ]
            if record["Type"] == "CNAME"
        ],
        [(300, [{"Value": "elsewhere.example.net"}])],
    ),
    (
        w.ACL,
        {"defaultAction": {"block": {}}},
        lambda o, m: o.client("wafv2").get_web_acl(Name=m["name"], Scope="REGIONAL", Id=m.id)["WebACL"][
            "DefaultAction"
        ],
        {"Block": {}},
    ),
    (
        w.FILES,
        {"lifecyclePolicies": [{"transitionToIa": "AFTER_7_DAYS"}]},
        lambda o, m: o.client("efs").describe_lifecycle_configuration(FileSystemId=m.id)["LifecyclePolicies"],
        [{"TransitionToIA": "AFTER_7_DAYS"}],
    ),
    (
        w.ROLE,
        {"description": "others", "maxSessionDuration": 7200},
        lambda o, m: [
            o.client("iam").get_role(RoleName=m.id)["Role"][key] for key in ("Description", "MaxSessionDuration")
        ],
        ["others", 7200],
    ),
    (
        w.MANAGED_POLICY,
        {"policy": w.policy("s3:PutObject")},
        lambda o, m: o.client("iam").get_policy(PolicyArn=m.id)["Policy"]["DefaultVersionId"],
        "v2",
    ),
    (
        w.SECRET,
        {"description": "others"},
        lambda o, m: o.client("secretsmanager").describe_secret(SecretId=m.id)["Description"],
        "others",
    ),
    (
        w.KEY,
        {"enableKeyRotation": False, "description": "others"},
        lambda o, m: (
            o.client("kms").get_key_rotation_status(KeyId=m.id)["KeyRotationEnabled"],
            o.client("kms").describe_key(KeyId=m.id)["KeyMetadata"]["Description"],
        ),
        (False, "others"),
    ),
    (
        w.PARAMETER,
        {"value": "louder"},
        lambda o, m: o.client("ssm").get_parameter(Name=m.id, WithDecryption=True)["Parameter"]["Value"],
        "louder",
    ),
    (
        w.TOPIC,
        {"displayName": "others"},
        lambda o, m: o.client("sns").get_topic_attributes(TopicArn=m.id)["Attributes"]["DisplayName"],
        "others",
    ),
    (
        w.QUEUE,
        {"visibilityTimeoutSeconds": 90},
        lambda o, m: o.client("sqs").get_queue_attributes(QueueUrl=m.id, AttributeNames=["VisibilityTimeout"])[
            "Attributes"
        ],
        {"VisibilityTimeout": "90"},
    ),
    (
        w.BUDGET,
        {"limitAmount": "250.0"},
        lambda o, m: o.client("budgets").describe_budget(AccountId="123456789012", BudgetName=m.inputs["name"])[
            "Budget"
        ]["BudgetLimit"]["Amount"],
        "250.0",
    ),
    (
        w.SCHEDULE,
        {"scheduleExpression": "at(2037-01-01T00:00:00)"},
        lambda o, m: o.client("scheduler").get_schedule(GroupName=m.inputs["groupName"], Name=m.inputs["name"])[
            "ScheduleExpression"
        ],
        "at(2037-01-01T00:00:00)",
    ),
    (
        w.LOGS,
        {"retentionInDays": 0},
        lambda o, m: (
            o.client("logs").describe_log_groups(logGroupNamePrefix=m.id)["logGroups"][0].get("retentionInDays")
        ),
        None,
    ),
    (
        w.ALARM,
        {"threshold": 3},
        lambda o, m: o.client("cloudwatch").describe_alarms(AlarmNames=[m.id])["MetricAlarms"][0]["Threshold"],
        3.0,
    ),
    (
        w.COMPOSITE_ALARM,
        {"actionsEnabled": False},
        lambda o, m: o.client("cloudwatch").describe_alarms(AlarmNames=[m.id])["CompositeAlarms"][0]["ActionsEnabled"],
        False,
    ),
]


@pytest.mark.parametrize(
    ("type", "changed", "look", "wanted"),
    CHANGES,
    ids=[f"{type.rpartition(':')[2]}-{'-'.join(changed)}" for type, changed, _, _ in CHANGES],
)
def test_a_change_in_place(shared: World, type: str, changed: dict[str, Any], look: Look, wanted: Any) -> None:
    before = shared.get(type)
    assert look(shared, before) != wanted
    after = shared.made[type] = shared.update(before, **changed)
    assert look(shared, after) == wanted
    assert {name: getattr(after.state[name], "value", after.state[name]) for name in changed} == changed


def test_tags_come_and_go(shared: World) -> None:
    zone = shared.update(shared.get(w.ZONE), tags={"team": "platform", "cost": "gpu"})
    zone = shared.update(zone, tags={"cost": "gpu2"})
    found = shared.client("route53").list_tags_for_resource(ResourceType="hostedzone", ResourceId=zone.id)
    assert found["ResourceTagSet"]["Tags"] == [{"Key": "cost", "Value": "gpu2"}]


def test_only_tags_that_change_are_sent(shared: World) -> None:
    """As the real provider sends them: a policy that asks for a tag in the request does not allow later changes."""
    zone = shared.update(shared.get(w.ZONE), tags={"team": "platform", "cost": "gpu"})
    event, sent = "provide-client-params.route-53.ChangeTagsForResource", []
    events = shared.client("route53").meta.events
    events.register(event, lambda params, **_: sent.append(params), unique_id="sent")
    shared.update(zone, tags={"team": "platform", "cost": "gpu2"})
    events.unregister(event, unique_id="sent")
    assert [params["AddTags"] for params in sent] == [[{"Key": "cost", "Value": "gpu2"}]]


def test_a_buckets_tags_are_set_together(shared: World) -> None:
    bucket = shared.update(shared.get(w.BUCKET), tags={"a": "1", "b": "2"})
    bucket = shared.update(bucket, tags={"b": "2", "c": "3"})
    tags = shared.client("s3").get_bucket_tagging(Bucket=bucket.id)["TagSet"]
    assert tags == [{"Key": "b", "Value": "2"}, {"Key": "c", "Value": "3"}]


def test_a_certificate_is_imported_anew(shared: World) -> None:
    certificate = shared.get(w.CERTIFICATE)
    body, key = self_signed("other.example.com")
    shared.update(certificate, certificateBody=body, privateKey=key)
    found = shared.client("acm").describe_certificate(CertificateArn=certificate.id)["Certificate"]
    assert found["DomainName"] == "other.example.com"


def test_a_managed_policy_keeps_five_versions(shared: World) -> None:
    policy = shared.create(w.MANAGED_POLICY, {"policy": w.policy("s3:GetObject")}, "versions")
    for number in range(6):
        policy = shared.update(policy, policy=w.policy(f"s3:Get{number}"))
    versions = shared.client("iam").list_policy_versions(PolicyArn=policy.id)["Versions"]
    assert sorted(version["VersionId"] for version in versions) == ["v3", "v4", "v5", "v6", "v7"]
    assert json.loads(policy["policy"])["Statement"][0]["Action"] == "s3:Get5"


def test_inline_routes_come_and_go(world: World) -> None:
    table = world.get(w.ROUTE_TABLE)
    route = {"cidrBlock": "0.0.0.0/0", "gatewayId": world.get(w.GATEWAY).id}

    def destinations() -> list[str]:
        found = ec2(world, "describe_route_tables", RouteTableIds=[table.id])["RouteTables"][0]
        return [route["DestinationCidrBlock"] for route in found["Routes"]]

    table = world.update(table, routes=[route])
    assert destinations() == ["10.0.0.0/16", "0.0.0.0/0"]
    world.update(table, routes=[])
    assert destinations() == ["10.0.0.0/16"]


def launched_with(world: World, group: Made) -> list[str]:
    """The user data of the group's instances."""
    ids = [instance["InstanceId"] for instance in fleet(world, group)["Instances"]]
    found = [ec2(world, "describe_instance_attribute", InstanceId=id, Attribute="userData") for id in ids]
    return [attribute["UserData"]["Value"] for attribute in found]


def test_a_group_launches_the_version_that_it_is_given(world: World) -> None:
    group = world.get(w.FLEET)
    first, second = user_data(), user_data("#!/bin/sh\nexit 2\n")
    assert launched_with(world, group) == [first]
    world.update(world.get(w.TEMPLATE), userData=second)
    group = world.update(group, desiredCapacity=2)
    assert launched_with(world, group) == [first, first]
    policy = json.loads(json.dumps(group.inputs["mixedInstancesPolicy"]))
    policy["launchTemplate"]["launchTemplateSpecification"]["version"] = "2"
    group = world.update(group, mixedInstancesPolicy=policy, maxSize=3, desiredCapacity=3)
    assert launched_with(world, group) == [first, first, second]


def refreshes(world: World, group: Made) -> list[dict[str, Any]]:
    return world.client("autoscaling").describe_instance_refreshes(AutoScalingGroupName=group.id)["InstanceRefreshes"]


def with_version(world: World, group: Made, number: int, **changes: Any) -> Made:
    """The group, updated to a new version of its template."""
    policy = json.loads(json.dumps(group.inputs["mixedInstancesPolicy"]))
    world.update(world.get(w.TEMPLATE), userData=user_data(f"#!/bin/sh\nexit {number}\n"))
    policy["launchTemplate"]["launchTemplateSpecification"]["version"] = str(number)
    return world.update(group, mixedInstancesPolicy=policy, **changes)


def test_a_new_launch_template_version_starts_an_instance_refresh(world: World) -> None:
    group = with_version(world, world.get(w.FLEET), 2)
    [refresh] = refreshes(world, group)
    assert (refresh["Strategy"], "DesiredConfiguration" in refresh) == ("Rolling", False)
    world.update(group, maxSize=3)
    assert len(refreshes(world, group)) == 1


def test_another_version_cancels_a_refresh_that_is_under_way(world: World) -> None:
    group = with_version(world, with_version(world, world.get(w.FLEET), 2), 3)
    assert [refresh["Status"] for refresh in refreshes(world, group)][1:] == ["Cancelled"]


def test_a_way_back_of_the_providers_locks_the_group_and_leads_to_the_new_version(world: World) -> None:
    """https://github.com/hashicorp/terraform-provider-aws/issues/34189"""
    refresh = {"strategy": "Rolling", "preferences": {"autoRollback": True, "minHealthyPercentage": 100}}
    group = with_version(world, world.get(w.FLEET), 2, instanceRefresh=refresh)
    [found] = refreshes(world, group)
    policy = found["DesiredConfiguration"]["MixedInstancesPolicy"]
    assert policy["LaunchTemplate"]["LaunchTemplateSpecification"]["Version"] == "2"
    with pytest.raises(AwsError, match="An active instance refresh with a desired configuration exists"):
        with_version(world, group, 3)


def test_a_host_on_its_way_keeps_the_provider_from_cancelling(world: World) -> None:
    world.get(w.HOOK)
    group = with_version(world, world.get(w.FLEET), 2)
    refreshes(world, group)
    with pytest.raises(ProviderError, match="instance refresh cancel: timeout while waiting"):
        with_version(world, group, 3)


def sizes(world: World, group: Made) -> tuple[int, int, int]:
    found = fleet(world, group)
    return found["MinSize"], found["DesiredCapacity"], found["MaxSize"]


def set_to_0(world: World, group: Made) -> None:
    """What a schedule does."""
    world.client("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=group.id, MinSize=0, MaxSize=0, DesiredCapacity=0
    )


def test_a_group_with_hooks_of_its_own_is_born_at_0_and_gets_its_size_last(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []
    call = Region.call

    def noted(self: Region, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        if not operation.startswith("describe"):
            asked.append((operation, params.get("MaxSize")))
        return call(self, service, operation, **params)

    inputs = SAMPLES[w.FLEET](world)
    monkeypatch.setattr(Region, "call", noted)
    world.create(w.FLEET, inputs)
    assert asked == [
        ("create_auto_scaling_group", 0),
        ("put_lifecycle_hook", None),
        ("update_auto_scaling_group", inputs["maxSize"]),
    ]


def test_an_update_sends_only_what_changed(world: World) -> None:
    """So a minimum alone does not fit a group that a schedule has set to 0, and a change of something else leaves it
    there."""
    group = world.get(w.FLEET)
    set_to_0(world, group)
    group = world.update(group, healthCheckType="ELB")
    assert sizes(world, group) == (0, 0, 0)
    with pytest.raises(AwsError, match="Max bound, 0, must be greater than or equal to min bound, 2"):
        world.update(group, minSize=2)
    group = world.update(group, minSize=2, maxSize=3, desiredCapacity=2)
    assert sizes(world, group) == (2, 2, 3)


def test_sizes_alone_leave_what_a_group_launches(world: World) -> None:
    group = world.get(w.FLEET)
    set_to_0(world, group)
    assert fleet(world, group)["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]


def test_new_bounds_move_the_wanted_size(world: World) -> None:
    inputs = SAMPLES[w.FLEET](world) | {"minSize": 1, "maxSize": 1}
    inputs.pop("desiredCapacity", None)
    group = world.create(w.FLEET, inputs)
    group = world.update(group, minSize=0, maxSize=0)
    assert sizes(world, group) == (0, 0, 0)
    group = world.update(group, minSize=2, maxSize=3)
    assert sizes(world, group) == (2, 2, 3)


def test_a_moment_that_has_passed_since_is_refused_with_the_next_change(world: World) -> None:
    """UpdateSchedule sets everything anew."""
    schedule = world.create(
        w.SCHEDULE, SAMPLES[w.SCHEDULE](world) | {"scheduleExpression": "rate(5 minutes)", "startDate": ago(4)}
    )
    schedule.inputs["startDate"] = ago(10)
    with pytest.raises(AwsError, match="StartDate you specify cannot be earlier"):
        world.update(schedule, description="another")


def test_a_group_without_force_delete_shrinks_first(world: World) -> None:
    inputs = SAMPLES[w.FLEET](world) | {"forceDelete": False}
    group = world.create(w.FLEET, inputs)
    (instance,) = fleet(world, group)["Instances"]
    world.delete(group)
    state = ec2(world, "describe_instances", InstanceIds=[instance["InstanceId"]])["Reservations"][0]["Instances"][0]
    assert state["State"]["Name"] == "terminated"


def test_a_bucket_with_objects_goes_only_when_forced(world: World) -> None:
    bucket = world.create(w.BUCKET, {"forceDestroy": True})
    world.client("s3").put_bucket_versioning(Bucket=bucket.id, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"one", b"two"):
        world.client("s3").put_object(Bucket=bucket.id, Key="object", Body=body)
    world.client("s3").delete_object(Bucket=bucket.id, Key="object")
    world.delete(bucket)
    assert bucket.id not in [found["Name"] for found in world.client("s3").list_buckets()["Buckets"]]


@pytest.mark.parametrize(("days", "can_be_restored"), [(7, True), (0, False)])
def test_a_secrets_recovery_window(world: World, days: int, can_be_restored: bool) -> None:
    secret = world.create(w.SECRET, {"recoveryWindowInDays": days})
    world.delete(secret)
    found = world.client("secretsmanager").list_secrets(IncludePlannedDeletion=True)["SecretList"]
    assert (secret.id in [item["ARN"] for item in found]) == can_be_restored


def test_a_retained_log_group_stays(world: World) -> None:
    logs = world.create(w.LOGS, {"skipDestroy": True})
    world.delete(logs)
    assert world.client("logs").describe_log_groups(logGroupNamePrefix=logs.id)["logGroups"]


def test_drift_is_found(world: World) -> None:
    targets = world.get(w.TARGETS)
    world.client("elbv2").modify_target_group_attributes(
        TargetGroupArn=targets.id, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "5"}]
    )
    found = world.read(targets)
    assert found is not None
    assert (found[0]["deregistrationDelay"], found[1]["deregistrationDelay"]) == (5, 5)


def test_what_moto_cannot_change_is_recorded(world: World) -> None:
    files = world.update(world.get(w.FILES), throughputMode="provisioned", provisionedThroughputInMibps=100)
    assert world.provider.events() == [Event("elasticfilesystem:UpdateFileSystem", files.id)]
    assert files["throughputMode"] == "provisioned"
