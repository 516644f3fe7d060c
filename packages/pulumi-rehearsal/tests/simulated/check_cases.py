"""What each check refuses, with the words of the refusal, and the nearest thing that it lets pass."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pulumi_rehearsal.plugin import ProviderError
from simulated import world as w
from simulated.world import SAMPLES, Made, World, user_data

NUMBERS = itertools.count(1)
UNIVERSAL = "arn:aws:scheduler:::aws-sdk:"

Act = Callable[[World], Any]


@dataclass(frozen=True)
class Case:
    """A check in action.

    Attributes:
        name: of the check.
        refused: what it refuses.
        words: what the refusal says, all of it in parts that do not depend on ids.
        allowed: the nearest thing that it lets pass.
    """

    name: str
    refused: Act
    words: tuple[str, ...]
    allowed: Act


def fresh() -> str:
    return f"fresh{next(NUMBERS)}"


def make(type: str, **changed: Any) -> Act:
    """Creates another sample of the type with other inputs; None leaves an input out, a function gets the world."""

    def act(world: World) -> Made:
        given = {key: value(world) if callable(value) else value for key, value in changed.items()}
        return world.create(type, SAMPLES[type](world) | given, fresh())

    return act


def check(type: str, **changed: Any) -> Act:
    """Only checks the inputs, as a preview does."""

    def act(world: World) -> None:
        found = world.check(type, SAMPLES[type](world) | changed, fresh())
        if found.failures:
            raise AssertionError("; ".join(f"{where}: {why}" for where, why in found.failures))

    return act


def delete(used: str, by: Act) -> Act:
    """Deletes a fresh resource after another one has taken hold of it (`by` finds its id in `world.made[used]`)."""

    def act(world: World) -> None:
        inner = World(world.provider)
        inner.get(used)
        by(inner)
        inner.delete(inner.made[used])

    return act


def nothing(world: World) -> None:
    del world


def twice(type: str) -> Act:
    def act(world: World) -> None:
        world.get(type)
        world.create(type)

    return act


def after(type: str, act: Act) -> Act:
    """Acts once the sample of the type is there."""

    def both(world: World) -> None:
        world.get(type)
        act(world)

    return both


def kept_object(world: World) -> None:
    world.made[w.BUCKET] = world.update(world.made[w.BUCKET], forceDestroy=False)
    world.get(w.OBJECT)


def tags(count: int) -> dict[str, str]:
    return {f"k{number}": "" for number in range(count)}


def rules(count: int) -> list[dict[str, Any]]:
    return [{"protocol": "tcp", "fromPort": 1, "toPort": 1, "cidrBlocks": [f"10.0.{n}.0/24" for n in range(count)]}]


def of_version(version: str) -> Callable[[World], dict[str, Any]]:
    def act(world: World) -> dict[str, Any]:
        policy = copy.deepcopy(SAMPLES[w.FLEET](world)["mixedInstancesPolicy"])
        policy["launchTemplate"]["launchTemplateSpecification"]["version"] = version
        return policy

    return act


def without_gateway(world: World) -> list[str]:
    """Subnets of a VPC that has no way out."""
    vpc = world.create(w.VPC, {"cidrBlock": "10.0.0.0/16"}, fresh())
    blocks = {"us-east-1a": "10.0.1.0/24", "us-east-1b": "10.0.2.0/24"}
    inputs = [{"vpcId": vpc.id, "cidrBlock": block, "availabilityZone": zone} for zone, block in blocks.items()]
    return [world.create(w.SUBNET, one, fresh()).id for one in inputs]


def balancer_in(subnets: Callable[[World], list[str]], **more: Any) -> Act:
    return make(w.BALANCER, subnets=subnets, securityGroups=None, accessLogs=None, **more)


def forwarding_elsewhere(world: World) -> None:
    """A second load balancer, for the group of the first one's rule."""
    second = world.create(w.BALANCER, SAMPLES[w.BALANCER](world) | {"accessLogs": None}, fresh())
    forward = [{"type": "forward", "targetGroupArn": world.get(w.TARGETS)["arn"]}]
    make(
        w.LISTENER,
        loadBalancerArn=second["arn"],
        port=80,
        protocol="HTTP",
        sslPolicy=None,
        certificateArn=None,
        defaultActions=forward,
    )(world)


def nat_in(subnets: Callable[[World], list[str]]) -> Act:
    return make(w.NAT, subnetId=lambda world: subnets(world)[0])


def crowded(taken: int) -> Callable[[World], list[str]]:
    """Two subnets of eleven addresses each, so many of them taken in the first."""

    def act(world: World) -> list[str]:
        ids = []
        for zone in ("us-east-1a", "us-east-1b"):
            number = next(NUMBERS)
            block = f"10.0.{210 + number // 16}.{number % 16 * 16}/28"
            inputs = {"vpcId": world.get(w.VPC).id, "cidrBlock": block, "availabilityZone": zone}
            ids.append(world.create(w.SUBNET, inputs, fresh()).id)
        for _ in range(taken + 1):
            world.client("ec2").create_network_interface(SubnetId=ids[0])
        return ids

    return act


def endpoint_in(**dns: Any) -> Act:
    def act(world: World) -> None:
        vpc = world.create(w.VPC, {"cidrBlock": "10.0.0.0/16", **dns}, fresh())
        inputs = {"vpcId": vpc.id, "cidrBlock": "10.0.1.0/24"}
        subnet = world.create(w.SUBNET, inputs, fresh())
        make(w.ENDPOINT, vpcId=vpc.id, subnetIds=[subnet.id], securityGroupIds=None)(world)

    return act


def requested(world: World) -> str:
    inputs = {"domainName": f"{fresh()}.example.com", "validationMethod": "DNS"}
    return world.create(w.CERTIFICATE, inputs, fresh())["arn"]


def lending(service_account: str) -> dict[str, Any]:
    return {
        "addonName": "aws-efs-csi-driver",
        "podIdentityAssociations": lambda world: [
            {"roleArn": w.pod_role(world)["arn"], "serviceAccount": service_account}
        ],
    }


def change(type: str, **changed: Any) -> Act:
    """Changes a sample of a world of its own."""

    def act(world: World) -> None:
        inner = World(world.provider)
        made = inner.get(type)
        inner.update(made, **{key: value(inner) if callable(value) else value for key, value in changed.items()})

    return act


def asked_from(cidr: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: world.get(w.CLUSTER).inputs["vpcConfig"] | {"publicAccessCidrs": [cidr]}


def in_zones(*zones: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: world.get(w.CLUSTER).inputs["vpcConfig"] | {"subnetIds": subnets(*zones)(world)}


def nodes_in_public(**subnet: Any) -> Act:
    def act(world: World) -> None:
        inner = World(world.provider)
        inner.get(w.ROUTE)
        inner.made[w.SUBNET] = inner.create(w.SUBNET, SAMPLES[w.SUBNET](inner) | subnet)
        inner.get(w.ASSOCIATION)
        inner.get(w.NODE_GROUP)

    return act


def bucket_policy(**statement: Any) -> Act:
    """Puts a policy with one statement on a bucket of its own; `{}` in a resource is the bucket's ARN."""

    def act(world: World) -> None:
        bucket = make(w.BUCKET)(world)
        resource = statement.get("Resource", "{}/*").replace("{}", bucket["arn"])
        whole = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", **statement, "Resource": resource}
        document = json.dumps({"Version": "2012-10-17", "Statement": {k: v for k, v in whole.items() if v}})
        world.create(w.BUCKET_POLICY, {"bucket": bucket.id, "policy": document}, fresh())

    return act


def trusting(**statement: Any) -> Act:
    whole = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole", **statement}
    document = {"Version": "2012-10-17", "Statement": [{k: v for k, v in whole.items() if v}]}
    return make(w.ROLE, assumeRolePolicy=json.dumps(document))


def each(*acts: tuple[Act, str]) -> Act:
    """Does them all: each is refused in its words, and what the last one raises is raised."""

    def act(world: World) -> None:
        for one, words in acts[:-1]:
            with pytest.raises(ProviderError, match=words):
                one(world)
        acts[-1][0](world)

    return act


def received(count: int) -> Act:
    def act(world: World) -> None:
        policy = {"deadLetterTargetArn": world.get(w.QUEUE)["arn"], "maxReceiveCount": count}
        make(w.QUEUE, redrivePolicy=json.dumps(policy))(world)

    return act


def open_to(principal: Any) -> Act:
    def act(world: World) -> None:
        inner = World(world.provider)
        inner.get(w.PUBLIC_ACCESS)
        document = w.policy("s3:GetObject", f"{inner.get(w.BUCKET)['arn']}/*", Principal=principal)
        inner.create(w.BUCKET_POLICY, {"bucket": inner.get(w.BUCKET).id, "policy": document})

    return act


def attached(count: int) -> Act:
    def act(world: World) -> None:
        inner = World(world.provider)
        for _ in range(count):
            policy = make(w.MANAGED_POLICY)(inner)
            make(w.ATTACHMENT, policyArn=policy["arn"])(inner)

    return act


def of_key(*, deleted: bool) -> Act:
    def act(world: World) -> None:
        key = world.create(w.KEY, SAMPLES[w.KEY](world), fresh())
        if deleted:
            world.delete(key)
        make(w.ALIAS, targetKeyId=key.id)(world)

    return act


def routed(policy: str, how: dict[str, Any], beside: tuple[str, dict[str, Any]]) -> Act:
    """A record with a policy of routing, beside one of the same name."""

    def act(world: World) -> None:
        inner = World(world.provider)
        for name, value in (beside, (policy, how)):
            make(w.RECORD, setIdentifier=fresh(), **{name: [value]})(inner)

    return act


def policy_of(characters: int) -> str:
    return w.policy(Sid="x" * (characters - len(json.dumps(json.loads(w.policy(Sid="")), separators=(",", ":")))))


def rule(limit: int, window: int) -> list[dict[str, Any]]:
    statement = {"limit": limit, "evaluationWindowSec": window, "aggregateKeyType": "IP"}
    metrics = {"metricName": "m", "cloudwatchMetricsEnabled": True, "sampledRequestsEnabled": False}
    return [
        {
            "name": "r",
            "priority": 1,
            "action": {"block": {}},
            "statement": {"rateBasedStatement": statement},
            "visibilityConfig": metrics,
        }
    ]


def hook(seconds: int) -> list[dict[str, Any]]:
    return [{"name": "h", "lifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING", "heartbeatTimeout": seconds}]


def paths(count: int) -> list[dict[str, Any]]:
    return [{"pathPattern": {"values": [f"/{number}" for number in range(count)]}}]


def target(arn: str, **request: Any) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"arn": UNIVERSAL + arn, "roleArn": world.get(w.ROLE)["arn"], "input": json.dumps(request)}


def ago(minutes: int) -> str:
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat(timespec="seconds")


def other_subnet(zone: str) -> Callable[[World], str]:
    def act(world: World) -> str:
        number = next(NUMBERS)
        block = f"10.0.{92 + number // 4}.{number % 4 * 64}/26"
        inputs = {"vpcId": world.get(w.VPC).id, "cidrBlock": block, "availabilityZone": zone}
        return world.create(w.SUBNET, inputs, fresh()).id

    return act


def subnets(*zones: str) -> Callable[[World], list[str]]:
    return lambda world: [other_subnet(zone)(world) for zone in zones]


def validation(with_records: bool) -> Act:
    def act(world: World) -> None:
        domain = f"{fresh()}.{world.get(w.ZONE).inputs['name']}"
        certificate = world.create(w.CERTIFICATE, {"domainName": domain, "validationMethod": "DNS"}, fresh())
        option = certificate["domainValidationOptions"][0]
        if with_records:
            record = {
                "zoneId": world.get(w.ZONE).id,
                "name": option["resourceRecordName"],
                "type": option["resourceRecordType"],
                "records": [option["resourceRecordValue"]],
                "ttl": 60,
            }
            world.create(w.RECORD, record, fresh())
        world.create(w.VALIDATION, {"certificateArn": certificate["arn"]}, fresh())

    return act


def secret_again(days: int) -> Act:
    def act(world: World) -> None:
        name = fresh()
        world.delete(world.create(w.SECRET, {"name": name, "recoveryWindowInDays": days}))
        world.create(w.SECRET, {"name": name})

    return act


def rule_of_another_group(world: World) -> None:
    inputs = {"vpcId": world.get(w.VPC).id}
    other = world.create(w.GROUP, inputs, fresh())
    rule = {"securityGroupId": other.id, "ipProtocol": "-1", "referencedSecurityGroupId": world.made[w.GROUP].id}
    world.create(w.INGRESS, rule, fresh())


def unprotected(world: World) -> None:
    world.made[w.BALANCER] = world.update(world.made[w.BALANCER], enableDeletionProtection=False)


def protected(world: World) -> None:
    world.made[w.BALANCER] = world.update(world.made[w.BALANCER], enableDeletionProtection=True)


def get(type: str) -> Act:
    return lambda world: world.get(type)


CASES = (
    Case(
        "user data size",
        make(w.TEMPLATE, userData=user_data("#" * 16385)),
        ("EC2: CreateLaunchTemplate", "InvalidUserData.Malformed: User data is limited to 16384 bytes (it has 16385)"),
        make(w.TEMPLATE, userData=user_data("#" * 16384)),
    ),
    Case(
        "load balancer name",
        check(w.BALANCER, name="x" * 33),
        ("name: ", '"name" cannot be longer than 32 characters'),
        check(w.BALANCER, name="x" * 32),
    ),
    Case(
        "deregistration delay",
        check(w.TARGETS, deregistrationDelay=3601),
        ("expected deregistration_delay to be in the range (0 - 3600), got 3601",),
        check(w.TARGETS, deregistrationDelay=3600),
    ),
    Case(
        "idle timeout",
        make(w.BALANCER, idleTimeout=4001),
        ("ModifyLoadBalancerAttributes", "expected idle_timeout to be in the range (1 - 4000), got 4001"),
        make(w.BALANCER, idleTimeout=4000),
    ),
    Case(
        "heartbeat timeout",
        check(w.HOOK, heartbeatTimeout=29),
        ("heartbeatTimeout: expected heartbeat_timeout to be in the range (30 - 7200), got 29",),
        check(w.HOOK, heartbeatTimeout=30),
    ),
    Case(
        "heartbeat timeout of initial hooks",
        make(w.FLEET, initialLifecycleHooks=hook(7201)),
        ("CreateAutoScalingGroup", "ValidationError: expected heartbeat_timeout to be in the range (30 - 7200)"),
        make(w.FLEET, initialLifecycleHooks=hook(7200)),
    ),
    Case(
        "group size",
        make(w.FLEET, minSize=2, maxSize=1),
        ("CreateAutoScalingGroup", "Max bound, 1, must be greater than or equal to min bound, 2"),
        make(w.FLEET, minSize=0, maxSize=1, desiredCapacity=0),
    ),
    Case(
        "node group size",
        make(w.NODE_GROUP, scalingConfig={"minSize": 2, "desiredSize": 1, "maxSize": 2}),
        ("CreateNodegroup", "InvalidParameterException: Minimum capacity 2 can't be greater than desired size 1"),
        make(w.NODE_GROUP, scalingConfig={"minSize": 0, "desiredSize": 0, "maxSize": 1}),
    ),
    Case(
        "condition values",
        make(w.RULE, priority=2, conditions=paths(6)),
        ("CreateRule", "A rule can only have '5' condition values"),
        make(w.RULE, priority=3, conditions=paths(5)),
    ),
    Case(
        "rate limit",
        check(w.ACL, rules=rule(9, 60)),
        ("rules[0].statement.rateBasedStatement.limit: expected limit to be in the range (10 - 2000000000), got 9",),
        check(w.ACL, rules=rule(10, 60)),
    ),
    Case(
        "rate window",
        check(w.ACL, rules=rule(100, 61)),
        ("expected evaluation_window_sec to be one of [60 120 300 600], got 61",),
        check(w.ACL, rules=rule(100, 120)),
    ),
    Case(
        "recovery window",
        check(w.SECRET, recoveryWindowInDays=6),
        ("expected recovery_window_in_days to be in the range (7 - 30), got 6",),
        check(w.SECRET, recoveryWindowInDays=0),
    ),
    Case(
        "queue",
        check(w.QUEUE, visibilityTimeoutSeconds=43_201, delaySeconds=901, messageRetentionSeconds=59),
        (
            "expected visibility_timeout_seconds to be in the range (0 - 43200), got 43201",
            "expected delay_seconds to be in the range (0 - 900), got 901",
            "expected message_retention_seconds to be in the range (60 - 1209600), got 59",
        ),
        check(w.QUEUE, visibilityTimeoutSeconds=43_200, delaySeconds=900, messageRetentionSeconds=60),
    ),
    Case(
        "receives before the dead-letter queue",
        received(1001),
        (
            "SQS: CreateQueue",
            "Invalid value for maxReceiveCount: 1001, valid values are from 1 to 1000 both",
        ),
        received(1000),
    ),
    Case(
        "security group name",
        check(w.GROUP, name="sg-web"),
        ('name: invalid value for name (cannot begin with sg-): "sg-web"',),
        check(w.GROUP, name="web-sg"),
    ),
    Case(
        "security group description",
        make(w.GROUP, description="café"),
        ("EC2: CreateSecurityGroup", "InvalidParameterValue: Value (café)", "beyond ASCII are not supported."),
        make(w.GROUP, description="cafe"),
    ),
    Case(
        "ports",
        make(w.GROUP, egress=[{"protocol": "tcp", "fromPort": 1, "toPort": 65_536, "cidrBlocks": ["10.0.0.0/8"]}]),
        ("AuthorizeSecurityGroupEgress", "InvalidParameterValue: TCP/UDP port (65536) out of range"),
        make(w.GROUP, egress=[{"protocol": "tcp", "fromPort": 1, "toPort": 65_535, "cidrBlocks": ["10.0.0.0/8"]}]),
    ),
    Case(
        "log retention",
        check(w.LOGS, retentionInDays=31),
        ("expected retention_in_days to be one of [0 1 3 5 7 14 30", "got 31"),
        check(w.LOGS, retentionInDays=30),
    ),
    Case(
        "role policy size",
        make(w.ROLE_POLICY, policy=policy_of(10241)),
        ("IAM: PutRolePolicy", "LimitExceeded: Maximum policy size of 10240 bytes exceeded for role"),
        make(w.ROLE_POLICY, policy=policy_of(10240)),
    ),
    Case(
        "managed policy size",
        make(w.MANAGED_POLICY, policy=policy_of(6145)),
        ("IAM: CreatePolicy", "LimitExceeded: Cannot exceed quota for PolicySize: 6144"),
        make(w.MANAGED_POLICY, policy=policy_of(6144)),
    ),
    Case(
        "schedule expression",
        make(w.SCHEDULE, scheduleExpression="at(2036-13-01T00:00:00)"),
        ("Scheduler: CreateSchedule", "ValidationException: Invalid Schedule Expression at(2036-13-01T00:00:00)."),
        make(w.SCHEDULE, scheduleExpression="rate(5 minutes)"),
    ),
    Case(
        "schedule moment",
        make(w.SCHEDULE, scheduleExpression="at(2026-01-01T00:00:00)"),
        ("Scheduler: CreateSchedule", "ValidationException: The schedule expression at(2026-01-01T00:00:00) lies in"),
        make(w.SCHEDULE, scheduleExpression="at(2036-01-01T00:00:00)"),
    ),
    Case(
        "schedule dates",
        make(w.SCHEDULE, scheduleExpression="rate(5 minutes)", startDate=ago(6)),
        ("ValidationException: The StartDate you specify cannot be earlier than 5 minutes ago.",),
        make(w.SCHEDULE, scheduleExpression="rate(5 minutes)", startDate=ago(-60)),
    ),
    Case(
        "schedule time zone",
        make(w.SCHEDULE, scheduleExpressionTimezone="Europe/Atlantis"),
        ("ValidationException: Invalid Schedule Expression Timezone Europe/Atlantis.",),
        make(w.SCHEDULE, scheduleExpressionTimezone="Europe/Berlin"),
    ),
    Case(
        "universal target",
        make(w.SCHEDULE, target=target("autoscaling:updateAutoScalingGroup", autoScalingGroupName="x")),
        ("Invalid RequestJson provided for autoscaling:updateAutoScalingGroup", "autoScalingGroupName"),
        make(w.SCHEDULE, target=target("autoscaling:updateAutoScalingGroup", AutoScalingGroupName="x", MaxSize=0)),
    ),
    Case(
        "references",
        make(w.BALANCER, securityGroups=["sg-0123456789abcdef0"]),
        ("CreateLoadBalancer", "InvalidGroup.NotFound: The security group 'sg-0123456789abcdef0' does not exist"),
        make(w.BALANCER),
    ),
    Case(
        "schedule group",
        make(w.SCHEDULE, groupName="nowhere"),
        ("Scheduler: CreateSchedule", "ResourceNotFoundException: Schedule group nowhere does not exist."),
        make(w.SCHEDULE, groupName="default"),
    ),
    Case(
        "endpoint service",
        make(w.ENDPOINT, serviceName="com.amazonaws.us-east-1.nothing"),
        ("EC2: CreateVpcEndpoint", "The Vpc Endpoint Service 'com.amazonaws.us-east-1.nothing' does not exist"),
        make(w.ENDPOINT, serviceName="com.amazonaws.us-east-1.logs"),
    ),
    Case(
        "TLS policy",
        make(w.LISTENER, port=8443, sslPolicy="ELBSecurityPolicy-2015"),
        ("CreateListener", "SSLPolicyNotFound: SSL policy 'ELBSecurityPolicy-2015' not found"),
        make(w.LISTENER, port=8444),
    ),
    Case(
        "listener certificate",
        make(w.LISTENER, port=8445, certificateArn=None),
        ("CreateListener", "ValidationError: A certificate must be specified for HTTPS listeners"),
        make(w.LISTENER, port=8446, protocol="HTTP", sslPolicy=None, certificateArn=None),
    ),
    Case(
        "access log bucket",
        make(w.BALANCER, accessLogs=lambda world: {"bucket": make(w.BUCKET)(world).id, "enabled": True}),
        ("ModifyLoadBalancerAttributes", "Access Denied for bucket: ", "Please check S3bucket permission"),
        make(w.BALANCER, accessLogs={"bucket": "not-used", "enabled": False}),
    ),
    Case(
        "certificate validation",
        validation(with_records=False),
        ("waiting for ACM Certificate", "timeout while waiting for state to become 'ISSUED'"),
        validation(with_records=True),
    ),
    Case(
        "zone",
        make(w.SUBNET, cidrBlock="10.0.90.0/24", availabilityZone="eu-west-1a"),
        ("EC2: CreateSubnet", "InvalidParameterValue: Value (eu-west-1a) for parameter availabilityZone is invalid."),
        make(w.SUBNET, cidrBlock="10.0.90.0/24", availabilityZone="us-east-1f"),
    ),
    Case(
        "load balancer zones",
        make(w.BALANCER, subnets=subnets("us-east-1a")),
        ("CreateLoadBalancer", "At least two subnets in two different Availability Zones must be specified"),
        make(w.BALANCER, subnets=subnets("us-east-1a", "us-east-1c")),
    ),
    Case(
        "load balancer name taken",
        twice(w.BALANCER),
        ("CreateLoadBalancer", "DuplicateLoadBalancerName: A load balancer with the same name", "exists"),
        make(w.BALANCER),
    ),
    Case(
        "group name taken",
        twice(w.FLEET),
        ("CreateAutoScalingGroup", "AlreadyExists: AutoScalingGroup by this name already exists"),
        make(w.FLEET),
    ),
    Case(
        "schedule group name taken",
        twice(w.SCHEDULE_GROUP),
        ("CreateScheduleGroup", "ConflictException: Schedule group", "already exists."),
        make(w.SCHEDULE_GROUP),
    ),
    Case(
        "listener port taken",
        twice(w.LISTENER),
        ("CreateListener", "DuplicateListener: A listener already exists on this port for this load balancer"),
        make(w.LISTENER, port=8447),
    ),
    Case(
        "secret being deleted",
        secret_again(days=7),
        ("CreateSecret", "InvalidRequestException: You can't create this secret because a secret with this name is"),
        secret_again(days=0),
    ),
    Case(
        "security group in use",
        delete(w.GROUP, by=rule_of_another_group),
        ("EC2: DeleteSecurityGroup", "DependencyViolation: resource sg-", "has a dependent object"),
        delete(w.GROUP, by=get(w.INGRESS)),  # its own rule names it, which holds nothing
    ),
    Case(
        "subnet in use",
        delete(w.SUBNET, by=get(w.MOUNT)),
        ("EC2: DeleteSubnet", "DependencyViolation: The subnet 'subnet-", "has dependencies and cannot be deleted."),
        delete(w.SUBNET, by=nothing),
    ),
    Case(
        "VPC in use",
        delete(w.VPC, by=get(w.GATEWAY)),
        ("EC2: DeleteVpc", "DependencyViolation: The vpc 'vpc-", "has dependencies and cannot be deleted."),
        delete(w.VPC, by=get(w.DEFAULT_GROUP)),
    ),
    Case(
        "internet gateway in use",
        delete(w.GATEWAY, by=get(w.NAT)),
        ("EC2: DetachInternetGateway", "DependencyViolation: Network vpc-", "has some mapped public address(es)."),
        delete(w.GATEWAY, by=get(w.ROUTE_TABLE)),
    ),
    Case(
        "address in use",
        delete(w.EIP, by=get(w.NAT)),
        ("EC2: ReleaseAddress", "InvalidIPAddress.InUse: Address ", " is in use."),
        delete(w.EIP, by=nothing),
    ),
    Case(
        "deletion protection",
        delete(w.BALANCER, by=protected),
        ("DeleteLoadBalancer", "OperationNotPermitted", "cannot be deleted because deletion protection is enabled"),
        delete(w.BALANCER, by=unprotected),
    ),
    Case(
        "certificate in use",
        delete(w.CERTIFICATE, by=get(w.LISTENER)),
        ("ACM: DeleteCertificate", "ResourceInUseException: Certificate arn:aws:acm", " is in use."),
        delete(w.CERTIFICATE, by=get(w.VALIDATION)),
    ),
    Case(
        "managed policy in use",
        delete(w.MANAGED_POLICY, by=get(w.ATTACHMENT)),
        ("IAM: DeletePolicy", "DeleteConflict: Cannot delete a policy attached to entities."),
        delete(w.MANAGED_POLICY, by=nothing),
    ),
    Case(
        "web ACL in use",
        delete(w.ACL, by=get(w.ACL_ASSOCIATION)),
        ("WAFV2: DeleteWebACL", "WAFAssociatedItemException: AWS WAF couldn't perform the operation because"),
        delete(w.ACL, by=nothing),
    ),
    Case(
        "VPC range",
        make(w.VPC, cidrBlock="10.0.0.0/15"),
        ("EC2: CreateVpc", "InvalidVpc.Range: The CIDR '10.0.0.0/15' is invalid."),
        make(w.VPC, cidrBlock="10.0.0.0/28"),
    ),
    Case(
        "subnet overlap",
        after(w.SUBNET, make(w.SUBNET, cidrBlock="10.0.1.128/25", availabilityZone="us-east-1b")),
        ("EC2: CreateSubnet", "InvalidSubnet.Conflict: The CIDR '10.0.1.128/25' conflicts with another subnet"),
        after(w.SUBNET, make(w.SUBNET, cidrBlock="10.0.3.0/25", availabilityZone="us-east-1b")),
    ),
    Case(
        "subnet range",
        make(w.SUBNET, cidrBlock="10.1.0.0/24"),
        ("EC2: CreateSubnet", "InvalidSubnet.Range: The CIDR '10.1.0.0/24' is invalid."),
        make(w.SUBNET, cidrBlock="10.0.255.0/24"),
    ),
    Case(
        "route taken",
        twice(w.ROUTE),
        ("EC2: CreateRoute", "RouteAlreadyExists: The route identified by 0.0.0.0/0 already exists"),
        after(w.ROUTE, make(w.ROUTE, destinationCidrBlock="198.51.100.0/24")),
    ),
    Case(
        "security group name taken",
        twice(w.GROUP),
        ("EC2: CreateSecurityGroup", "InvalidGroup.Duplicate: The security group", "already exists"),
        make(w.GROUP),
    ),
    Case(
        "rule taken",
        twice(w.INGRESS),
        ("AuthorizeSecurityGroupIngress", "InvalidPermission.Duplicate: The specified rule already exists"),
        after(w.INGRESS, make(w.INGRESS, toPort=81)),
    ),
    Case(
        "launch template name taken",
        twice(w.TEMPLATE),
        ("EC2: CreateLaunchTemplate", "InvalidLaunchTemplateName.AlreadyExistsException"),
        make(w.TEMPLATE),
    ),
    Case(
        "route table in use",
        delete(w.ROUTE_TABLE, by=get(w.ASSOCIATION)),
        (
            "EC2: DeleteRouteTable",
            "DependencyViolation: The routeTable 'rtb-",
            "has dependencies and cannot be deleted.",
        ),
        delete(w.ROUTE_TABLE, by=get(w.SUBNET)),
    ),
    Case(
        "log group taken",
        twice(w.LOGS),
        ("CreateLogGroup", "ResourceAlreadyExistsException: The specified log group already exists"),
        make(w.LOGS),
    ),
    Case(
        "parameter taken",
        twice(w.PARAMETER),
        ("SSM: PutParameter", "ParameterAlreadyExists: The parameter already exists."),
        make(w.PARAMETER),
    ),
    Case(
        "secret taken",
        twice(w.SECRET),
        ("CreateSecret", "ResourceExistsException: The operation failed because the secret", "already exists."),
        make(w.SECRET),
    ),
    Case(
        "budget taken",
        twice(w.BUDGET),
        ("CreateBudget", "DuplicateRecordException: Error creating budget: ", "the budget already exists."),
        make(w.BUDGET),
    ),
    Case(
        "record taken",
        twice(w.RECORD),
        ("ChangeResourceRecordSets", "InvalidChangeBatch: Tried to create resource record set [name='api.", "exists"),
        after(w.RECORD, make(w.RECORD, name="another")),
    ),
    Case(
        "zone in use",
        delete(w.ZONE, by=get(w.RECORD)),
        ("DeleteHostedZone", "HostedZoneNotEmpty: The hosted zone contains resource records that are not SOA or NS"),
        delete(w.ZONE, by=nothing),
    ),
    Case(
        "target group name taken",
        twice(w.TARGETS),
        ("CreateTargetGroup", "DuplicateTargetGroupName: A target group with the specified name already exists."),
        make(w.TARGETS),
    ),
    Case(
        "target group in use",
        delete(w.TARGETS, by=get(w.RULE)),
        ("DeleteTargetGroup", "ResourceInUse: The target group '", "' is currently in use by a listener or a rule"),
        delete(w.TARGETS, by=get(w.LISTENER)),
    ),
    Case(
        "role taken",
        twice(w.ROLE),
        ("IAM: CreateRole", "EntityAlreadyExists: Role with name ", " already exists."),
        make(w.ROLE),
    ),
    Case(
        "role with policies",
        delete(w.ROLE, by=get(w.ATTACHMENT)),
        ("IAM: DeleteRole", "DeleteConflict: Cannot delete entity, must detach all policies first."),
        delete(w.ROLE, by=get(w.MANAGED_POLICY)),
    ),
    Case(
        "role of a profile",
        delete(w.ROLE, by=get(w.PROFILE)),
        ("IAM: DeleteRole", "DeleteConflict: Cannot delete entity, must remove roles from instance profile first."),
        delete(w.ROLE, by=nothing),
    ),
    Case(
        "policy document",
        make(w.ROLE_POLICY, policy="{}"),
        ("IAM: PutRolePolicy", "MalformedPolicyDocument: Syntax errors in policy."),
        make(w.ROLE_POLICY),
    ),
    Case(
        "alias taken",
        twice(w.ALIAS),
        ("KMS: CreateAlias", "AlreadyExistsException: An alias with the name arn:aws:kms", "already exists"),
        make(w.ALIAS),
    ),
    Case(
        "file system with mount targets",
        delete(w.FILES, by=get(w.MOUNT)),
        ("EFS: DeleteFileSystem", "FileSystemInUse: "),
        delete(w.FILES, by=get(w.ACCESS_POINT)),
    ),
    Case(
        "bucket with objects",
        delete(w.BUCKET, by=kept_object),
        ("S3: DeleteBucket", "BucketNotEmpty: The bucket you tried to delete is not empty"),
        delete(w.BUCKET, by=get(w.OBJECT)),
    ),
    Case(
        "object tags",
        make(w.OBJECT, tags=tags(11)),
        ("S3: PutObjectTagging", "BadRequest: Object tags cannot be greater than 10"),
        make(w.OBJECT, tags=tags(10)),
    ),
    Case(
        "tags in Route 53",
        make(w.HEALTH_CHECK, tags=tags(11)),
        ("ChangeTagsForResource", "at 'addTags' failed to satisfy constraint: Member must have length less than or"),
        make(w.HEALTH_CHECK, tags=tags(10)),
    ),
    Case(
        "cluster with node groups",
        delete(w.CLUSTER, by=get(w.NODE_GROUP)),
        ("EKS: DeleteCluster", "ResourceInUseException: Cluster has nodegroups attached"),
        delete(w.CLUSTER, by=get(w.ACCESS_ENTRY)),
    ),
    Case(
        "tag count",
        make(w.VPC, tags=tags(51)),
        ("EC2: CreateVpc", "TagLimitExceeded: The maximum number of Tags for a resource has been reached."),
        make(w.VPC, tags=tags(50)),
    ),
    Case(
        "rules of a group",
        make(w.GROUP, ingress=rules(61)),
        ("AuthorizeSecurityGroupIngress", "RulesPerSecurityGroupLimitExceeded: The maximum number of rules per"),
        make(w.GROUP, ingress=rules(60)),
    ),
    Case(
        "mount target of a zone",
        after(w.MOUNT, make(w.MOUNT, subnetId=other_subnet("us-east-1a"))),
        ("EFS: CreateMountTarget", "MountTargetConflict: mount target already exists in this AZ"),
        after(w.MOUNT, make(w.MOUNT, subnetId=other_subnet("us-east-1c"))),
    ),
    Case(
        "priority taken",
        after(w.RULE, make(w.RULE)),
        ("CreateRule", "PriorityInUse: The specified priority is in use."),
        after(w.RULE, make(w.RULE, priority=77)),
    ),
    Case(
        "template version",
        make(w.FLEET, mixedInstancesPolicy=of_version("99")),
        ("Auto Scaling: ", "InvalidLaunchTemplateId.VersionNotFound: Could not find the specified version 99"),
        make(w.FLEET, mixedInstancesPolicy=of_version("1")),
    ),
    Case(
        "cluster taken",
        after(w.CLUSTER, make(w.CLUSTER, name=lambda world: world.get(w.CLUSTER)["name"])),
        ("EKS: CreateCluster", "ResourceInUseException: Cluster already exists with name: "),
        make(w.CLUSTER, name="another"),
    ),
    Case(
        "node group taken",
        twice(w.NODE_GROUP),
        ("EKS: CreateNodegroup", "ResourceInUseException: NodeGroup already exists with name "),
        after(w.NODE_GROUP, make(w.NODE_GROUP)),
    ),
    Case(
        "load balancer's way out",
        balancer_in(without_gateway),
        ("CreateLoadBalancer", "InvalidSubnet: VPC vpc-", "has no internet gateway"),
        balancer_in(without_gateway, internal=True),
    ),
    Case(
        "NAT gateway's way out",
        nat_in(without_gateway),
        ("EC2: CreateNatGateway", "Gateway.NotAttached: Network vpc-", "has no Internet gateway attached"),
        make(w.NAT),
    ),
    Case(
        "database zones",
        make(w.DATABASE_SUBNETS, subnetIds=lambda world: [world.get(w.SUBNET).id]),
        (
            "RDS: CreateDBSubnetGroup",
            "DBSubnetGroupDoesNotCoverEnoughAZs: The DB subnet group doesn't meet Availability Zone (AZ) coverage "
            "requirement. Current AZ coverage: us-east-1a. Add subnets to cover at least 2 AZs.",
        ),
        make(w.DATABASE_SUBNETS),
    ),
    Case(
        "load balancer's addresses",
        make(w.BALANCER, subnets=crowded(3)),
        ("CreateLoadBalancer", "InvalidSubnet: Not enough IP space available in subnet-"),
        make(w.BALANCER, subnets=crowded(2)),
    ),
    Case(
        "target group's load balancer",
        after(w.RULE, forwarding_elsewhere),
        ("TargetGroupAssociationLimit: The following target groups cannot be associated with more than one load",),
        make(w.RULE, priority=4711),
    ),
    Case(
        "private names",
        endpoint_in(enableDnsHostnames=False),
        ("EC2: CreateVpcEndpoint", "InvalidParameter: Enabling private DNS requires both enableDnsSupport and"),
        endpoint_in(enableDnsHostnames=True),
    ),
    Case(
        "issued certificate",
        make(w.LISTENER, port=8448, certificateArn=requested),
        (
            "CreateListener",
            "UnsupportedCertificate: The certificate 'arn:aws:acm",
            "must have a fully-qualified",
        ),
        make(w.LISTENER, port=8449),
    ),
    Case(
        "health check interval",
        make(w.TARGETS, healthCheck={"interval": 10, "timeout": 10}),
        ("CreateTargetGroup", "ValidationError: Health check interval must be greater than the timeout."),
        make(w.TARGETS, healthCheck={"interval": 10, "timeout": 9}),
    ),
    Case(
        "condition length",
        make(w.RULE, priority=4, conditions=[{"pathPattern": {"values": ["/" + "x" * 128]}}]),
        ("CreateRule", "conditions[0].pathPattern.values", "Member must have length less than or equal to 128"),
        make(w.RULE, priority=5, conditions=[{"hostHeader": {"values": ["x" * 128]}}]),
    ),
    Case(
        "accounts of an add-on",
        make(w.ADDON, **lending("efs-csi-node-sa")),
        (
            "EKS: CreateAddon",
            "Service account efs-csi-node-sa in pod identity configuration is not supported for",
        ),
        make(w.ADDON, **lending("efs-csi-controller-sa")),
    ),
    Case(
        "cluster zones",
        make(w.CLUSTER, vpcConfig=lambda world: {"subnetIds": subnets("us-east-1a", "us-east-1e")(world)}),
        ("EKS: CreateCluster", "UnsupportedAvailabilityZoneException: Cannot create cluster '", "because us-east-1e"),
        make(
            w.CLUSTER, name="zones", vpcConfig=lambda world: {"subnetIds": subnets("us-east-1a", "us-east-1b")(world)}
        ),
    ),
    Case(
        "cluster keeps its zones",
        change(w.CLUSTER, vpcConfig=in_zones("us-east-1a", "us-east-1b", "us-east-1c")),
        ("EKS: UpdateClusterConfig", "But they should belong to the exact set of AZs 'us-east-1a,us-east-1b' in which"),
        change(w.CLUSTER, vpcConfig=in_zones("us-east-1b", "us-east-1a")),
    ),
    Case(
        "endpoint ranges",
        change(w.CLUSTER, vpcConfig=asked_from("10.0.0.0/8")),
        ("The following CIDRs are invalid in publicAccessCidrs: [10.0.0.0/8]",),
        change(w.CLUSTER, vpcConfig=asked_from("9.9.9.0/24")),
    ),
    Case(
        "name of a certificate",
        make(w.CERTIFICATE, certificateBody=None, privateKey=None, domainName="x" * 53 + ".example.com"),
        ("ACM: ", "The length of the domain name that you provide cannot exceed 64 octets"),
        make(w.CERTIFICATE, certificateBody=None, privateKey=None, domainName="x" * 52 + ".example.com"),
    ),
    Case(
        "cluster version",
        change(w.CLUSTER, version="1.37"),
        ("EKS: UpdateClusterVersion", "Unsupported Kubernetes minor version update from 1.35 to 1.37"),
        change(w.CLUSTER, version="1.36"),
    ),
    Case(
        "node release",
        change(w.NODE_GROUP, releaseVersion="1.36.1-20261101"),
        (
            "EKS: UpdateNodegroupVersion",
            "Requested release version 1.36.1-20261101 is not valid for kubernetes",
        ),
        change(w.NODE_GROUP, releaseVersion="1.36.1-20261101", version="1.36"),
    ),
    Case(
        "counts of nodes",
        check(
            w.NODE_GROUP,
            nodeRepairConfig={"maxUnhealthyNodeThresholdCount": 1, "maxUnhealthyNodeThresholdPercentage": 20},
            updateConfig={"maxUnavailablePercentage": 101},
        ),
        (
            '"nodeRepairConfig.maxUnhealthyNodeThresholdCount": conflicts with',
            "expected updateConfig.maxUnavailablePercentage to be in the range (1 - 100), got 101",
        ),
        check(
            w.NODE_GROUP,
            nodeRepairConfig={"maxUnhealthyNodeThresholdCount": 1, "maxParallelNodesRepairedPercentage": 100},
            updateConfig={"maxUnavailable": 1},
        ),
    ),
    Case(
        "nodes in public subnets",
        nodes_in_public(mapPublicIpOnLaunch=False),
        ("EKS: CreateNodegroup", "Ec2SubnetInvalidConfiguration: One or more Amazon EC2 Subnets of [subnet-"),
        nodes_in_public(mapPublicIpOnLaunch=True),
    ),
    Case(
        "reserved tags",
        make(w.VPC, tags={"aws:mine": "1"}),
        ("EC2: CreateVpc", "InvalidParameterValue: Tag keys starting with 'aws:' are reserved for internal use"),
        make(w.VPC, tags={"aws-mine": "1"}),
    ),
    Case(
        "tags in capitals",
        make(w.ROLE, tags={"team": "1", "Team": "2"}),
        ("IAM: CreateRole", "InvalidInput: Duplicate tag keys found. Please note that Tag keys are case insensitive."),
        make(w.VPC, tags={"team": "1", "Team": "2"}),
    ),
    Case(
        "secret name",
        make(w.SECRET, name="schlüssel"),
        ("CreateSecret", "ValidationException: Invalid name. Must be a valid name containing alphanumeric characters"),
        make(w.SECRET, name="keys/of_mine+=.@!-1"),
    ),
    Case(
        "parameter size",
        make(w.PARAMETER, value="x" * 4097),
        (
            "SSM: PutParameter",
            "ValidationException: Standard tier parameters support a maximum parameter value of",
        ),
        make(w.PARAMETER, value="x" * 4096),
    ),
    Case(
        "bucket name",
        make(w.BUCKET, bucket="two..dots"),
        ("S3: CreateBucket", "InvalidBucketName: The specified bucket is not valid."),
        make(w.BUCKET, bucket="two.dots.here"),
    ),
    Case(
        "bucket policy",
        each(
            (bucket_policy(Principal=None), "MalformedPolicy: Missing required field Principal"),
            (bucket_policy(Action="sqs:SendMessage"), "MalformedPolicy: Policy has invalid action"),
            (bucket_policy(Resource="*"), "MalformedPolicy: Policy has invalid resource"),
            (bucket_policy(Resource="{}-other/*"), ""),
        ),
        ("S3: PutBucketPolicy", "MalformedPolicy: Policy has invalid resource"),
        bucket_policy(Resource="{}"),
    ),
    Case(
        "trust policy",
        each(
            (make(w.ROLE, assumeRolePolicy="{not json"), "MalformedPolicyDocument: This policy contains invalid Json"),
            (trusting(Action=None), "MalformedPolicyDocument: Missing required field Action"),
            (trusting(Action="s3:GetObject"), "AssumeRole policy may only specify STS AssumeRole actions"),
            (trusting(Resource="*"), ""),
        ),
        ("IAM: CreateRole", "MalformedPolicyDocument: Has prohibited field Resource"),
        trusting(Action=["sts:AssumeRole", "sts:TagSession"]),
    ),
    Case(
        "public policy",
        each(
            (bucket_policy(Effect="Allow"), "AccessDenied: User"),  # a bucket is born closed
            (open_to("*"), ""),
        ),
        ("S3: PutBucketPolicy", "AccessDenied: User", "prevented by the BlockPublicPolicy setting"),
        open_to({"AWS": "arn:aws:iam::123456789012:root"}),
    ),
    Case(
        "firewall's log",
        make(w.ACL_LOGGING, logDestinationConfigs=lambda world: [world.get(w.LOGS)["arn"]]),
        (
            "WAFV2: PutLoggingConfiguration",
            "Error reason: The ARN isn't valid.",
            "field: LOG_DESTINATION, parameter: arn",
        ),
        make(w.ACL_LOGGING),
    ),
    Case(
        "policies of a role",
        attached(11),
        ("IAM: AttachRolePolicy", "LimitExceeded: Cannot exceed quota for PoliciesPerRole: 10"),
        attached(10),
    ),
    Case(
        "key being deleted",
        of_key(deleted=True),
        ("KMS: CreateAlias", "KMSInvalidStateException: arn:aws:kms", "is pending deletion."),
        of_key(deleted=False),
    ),
    Case(
        "record beside others",
        routed("latencyRoutingPolicies", {"region": "eu-west-1"}, beside=("weightedRoutingPolicies", {"weight": 1})),
        (
            "InvalidChangeBatch: [RRSet with DNS name",
            "cannot be created as a non-latency set exists with the same",
        ),
        routed("weightedRoutingPolicies", {"weight": 2}, beside=("weightedRoutingPolicies", {"weight": 1})),
    ),
)
