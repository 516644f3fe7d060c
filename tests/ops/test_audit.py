"""Leftovers of 15 kinds are found with their price; look-alikes of others are never named."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.audit import Audit, Leftover, audit
from tandem.ops.cli import app
from tandem.ops.kinds.kind import Clients
from tandem.tags import WEB_ACL_DESCRIPTION
from tests.ops.account import IMAGE, REGION, Builder, tags_of, watched

NOW = datetime.now(UTC)
BARE: dict[str, str] = {}


@pytest.fixture(scope="module")
def clients(moto_server: SimulatedAccount) -> Clients:
    """One account for all of these tests, each with a stack of its own: emptying it takes moto seconds."""
    moto_server.reset()
    return lambda service: moto_server.client(service, REGION)


@pytest.fixture
def stack() -> str:
    return f"t{uuid.uuid4().hex[:6]}"


class Site:
    """A network of a stack that was destroyed but for it, and what somebody left there.

    Attributes:
        tags: of what is left; none for what only hangs on the network.
    """

    def __init__(self, clients: Clients, stack: str, tags: dict[str, str] | None = None) -> None:
        self.clients = clients
        self.stack = stack
        self.builder = Builder(clients, stack, f"tandem-{stack}", tags)
        ec2 = clients("ec2")
        self.vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16", TagSpecifications=self.builder.specification("vpc"))["Vpc"][
            "VpcId"
        ]
        self.subnets = [
            ec2.create_subnet(VpcId=self.vpc, CidrBlock=f"10.7.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"][
                "SubnetId"
            ]
            for n, zone in enumerate("ab")
        ]

    def spec(self, kind: str) -> list[dict[str, Any]]:
        return self.builder.specification(kind)

    @property
    def tags(self) -> list[dict[str, str]]:
        return self.builder.tags


def volume(site: Site) -> str:
    return site.clients("ec2").create_volume(
        AvailabilityZone=f"{REGION}a", Size=200, VolumeType="gp3", TagSpecifications=site.spec("volume")
    )["VolumeId"]


def address(site: Site) -> str:
    return site.clients("ec2").allocate_address(Domain="vpc", TagSpecifications=site.spec("elastic-ip"))["AllocationId"]


def nat_gateway(site: Site) -> str:
    """By hand, without tags, in our network."""
    ec2 = site.clients("ec2")
    own = ec2.allocate_address(Domain="vpc")["AllocationId"]
    return ec2.create_nat_gateway(SubnetId=site.subnets[0], AllocationId=own)["NatGateway"]["NatGatewayId"]


def load_balancer(site: Site) -> str:
    """By hand, without tags, in our network."""
    elb = site.clients("elbv2")
    made = elb.create_load_balancer(Name=f"by-hand-{site.stack}", Subnets=site.subnets)
    return made["LoadBalancers"][0]["LoadBalancerArn"]


def interface(site: Site) -> str:
    """By hand, without tags, in our network."""
    made = site.clients("ec2").create_network_interface(SubnetId=site.subnets[0])
    return made["NetworkInterface"]["NetworkInterfaceId"]


def instance(site: Site) -> str:
    """By hand, without tags, in our network."""
    return site.clients("ec2").run_instances(
        ImageId=IMAGE, InstanceType="g6.12xlarge", MinCount=1, MaxCount=1, SubnetId=site.subnets[0]
    )["Instances"][0]["InstanceId"]


def controllers_node(site: Site) -> str:
    """Of a cluster."""
    return site.clients("ec2").run_instances(
        ImageId=IMAGE, InstanceType="m7i.large", MinCount=1, MaxCount=1, SubnetId=site.subnets[0]
    )["Instances"][0]["InstanceId"]


def endpoint(site: Site) -> str:
    return site.clients("ec2").create_vpc_endpoint(
        VpcId=site.vpc,
        VpcEndpointType="Interface",
        ServiceName=f"com.amazonaws.{REGION}.ssm",
        SubnetIds=site.subnets,
    )["VpcEndpoint"]["VpcEndpointId"]


def log_group(site: Site) -> str:
    """Written anew by a host that was still going when its group was deleted."""
    name = f"/tandem/{site.stack}/hosts"
    site.clients("logs").create_log_group(logGroupName=name)
    return name


def snapshot(site: Site) -> str:
    """Without tags, taken from a volume of ours."""
    return site.clients("ec2").create_snapshot(VolumeId=volume(site))["SnapshotId"]


def image_snapshot(site: Site) -> str:
    """What a machine image of ours starts from."""
    ec2 = site.clients("ec2")
    root = ec2.create_snapshot(VolumeId=ec2.create_volume(AvailabilityZone=f"{REGION}a", Size=50)["VolumeId"])
    image = ec2.register_image(
        Name=f"tandem-{site.stack}",
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": root["SnapshotId"]}}],
    )["ImageId"]
    ec2.create_tags(Resources=[image], Tags=site.tags)
    mappings = ec2.describe_images(ImageIds=[image])["Images"][0]["BlockDeviceMappings"]
    return mappings[0]["Ebs"]["SnapshotId"]


def file_system(site: Site) -> str:
    efs = site.clients("efs")
    return efs.create_file_system(
        CreationToken=site.stack, ThroughputMode="provisioned", ProvisionedThroughputInMibps=10, Tags=site.tags
    )["FileSystemId"]


def bucket(site: Site) -> str:
    s3, name = site.clients("s3"), f"tandem-{site.stack}-access-logs"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": site.tags})
    s3.put_object(Bucket=name, Key="log", Body=b"x" * 1000)
    return name


def secret(site: Site) -> str:
    return site.clients("secretsmanager").create_secret(Name=f"tandem-{site.stack}", SecretString="{}", Tags=site.tags)[
        "ARN"
    ]


def web_acl(site: Site) -> str:
    visible = {"SampledRequestsEnabled": False, "CloudWatchMetricsEnabled": False, "MetricName": "m"}
    return site.clients("wafv2").create_web_acl(
        Name=f"tandem-{site.stack}",
        Scope="REGIONAL",
        Description=WEB_ACL_DESCRIPTION,
        DefaultAction={"Allow": {}},
        VisibilityConfig=visible,
        Tags=site.tags,
    )["Summary"]["Id"]


def key(site: Site) -> str:
    tags = [{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in site.tags]
    return site.clients("kms").create_key(Tags=tags)["KeyMetadata"]["KeyId"]


def cluster(site: Site) -> str:
    where = {"subnetIds": ["subnet-1", "subnet-2"]}
    site.clients("eks").create_cluster(
        name=f"tandem-{site.stack}",
        roleArn="arn:aws:iam::123456789012:role/x",
        resourcesVpcConfig=where,
        tags=site.builder.tag_map,
    )
    return f"tandem-{site.stack}"


LEFTOVERS: dict[str, tuple[Callable[[Site], str], str, float | None, bool]] = {
    # maker: type, US dollars a month worked out by hand, whether a removal may name it
    "volume": (volume, types.VOLUME, 200 * 0.08, True),
    "address": (address, types.ADDRESS, 0.005 * 730, True),
    "NAT gateway": (nat_gateway, types.NAT_GATEWAY, 0.045 * 730, False),
    "load balancer": (load_balancer, types.LOAD_BALANCER, 0.0225 * 730 + 2 * 0.005 * 730, False),
    "network interface": (interface, types.NETWORK_INTERFACE, 0.0, False),
    "instance": (instance, types.INSTANCE, 4.6016 * 730, False),
    "controllers' node": (controllers_node, types.INSTANCE, 0.1008 * 730, False),
    "endpoint": (endpoint, types.ENDPOINT, 2 * 0.01 * 730, False),
    "log group": (log_group, types.LOG_GROUP, 0.0, False),
    "snapshot": (snapshot, types.SNAPSHOT, 200 * 0.05, False),
    "snapshot of an image": (image_snapshot, types.SNAPSHOT, None, False),
    "file system": (file_system, types.FILE_SYSTEM, 10 * 6.0, True),
    "bucket": (bucket, types.BUCKET, 1000 / 1e9 * 0.023, True),
    "secret": (secret, types.SECRET, 0.40, True),
    "web ACL": (web_acl, types.WEB_ACL, 6.0, True),
    "key": (key, types.KEY, 1.0, True),
    "cluster": (cluster, types.CLUSTER, 0.10 * 730, True),
}


def found(clients: Clients, stack: str | None) -> dict[tuple[str, str], Leftover]:
    result = audit(clients, stack, NOW)
    assert result.unreadable == []
    return {item.resource.key: item for item in result.leftovers}


@pytest.mark.parametrize("leftover", LEFTOVERS)
def test_each_kind_of_leftover_is_found_with_its_price(clients: Clients, stack: str, leftover: str) -> None:
    make, type_, usd, ours = LEFTOVERS[leftover]
    made = make(Site(clients, stack))
    item = found(clients, stack)[type_, made]
    assert item.ours is ours
    if usd is not None:
        assert item.usd_per_month == pytest.approx(usd, abs=0.005)
    assert item.costs is (type_ != types.NETWORK_INTERFACE)


@pytest.mark.parametrize("project", ["other", None], ids=["another project's tags", "tags of no project"])
def test_look_alikes_are_not_named(clients: Clients, stack: str, project: str | None) -> None:
    """The same names, the same tag keys, networks of their own; a log group with our name and somebody's tags.

    Beside them stands a network of ours, in which nothing of theirs is.
    """
    ours = Site(clients, stack)
    tags = tags_of(stack, project=project) if project else {"Name": f"tandem-{stack}", "stack": stack}
    site = Site(clients, stack, tags)
    for name, (make, _type, _usd, _ours) in LEFTOVERS.items():
        if name != "log group":
            make(site)
    clients("logs").create_log_group(logGroupName=f"/tandem/{stack}/hosts", tags=tags)
    Builder(clients, stack, f"tandem-{stack}-x", tags).everything()
    expected = {(types.VPC, ours.vpc), *((types.SUBNET, subnet) for subnet in ours.subnets)}
    assert set(found(clients, stack)) == expected
    assert {key for key, item in found(clients, None).items() if item.resource.stack == stack} == expected


def test_a_clusters_log_group_is_known_with_its_retention_and_what_it_stores(clients: Clients, stack: str) -> None:
    name, logs = f"/aws/eks/tandem-{stack}/cluster", clients("logs")
    logs.create_log_group(logGroupName=name, tags=tags_of(stack))
    logs.put_retention_policy(logGroupName=name, retentionInDays=90)
    for of in (stack, None):
        group = found(clients, of)[types.LOG_GROUP, name]
        assert (group.note, group.usd_per_month, group.resource.facts["retentionInDays"]) == ("", 0, 90)


def test_data_that_a_stack_leaves_are_said_to_be_kept_on_purpose(clients: Clients, stack: str) -> None:
    Builder(clients, stack, f"tandem-{stack}").everything()
    notes = {type_: item.note for (type_, _), item in found(clients, stack).items()}
    for type_ in (types.DATABASE, types.FILE_SYSTEM, types.BUCKET):
        assert notes[type_] == "holds data; a stack that is not ephemeral keeps it on purpose"


def test_a_running_stack_is_said_to_be_one_and_costs_what_it_costs(clients: Clients, stack: str) -> None:
    Builder(clients, stack, f"tandem-{stack}").everything()
    result = audit(clients, stack, NOW)
    assert result.still_runs
    assert result.usd_per_month > 4.6016 * 730
    assert result.leftovers[0].resource.type == types.INSTANCE


def test_a_cluster_without_hosts_is_a_running_stack(clients: Clients, stack: str) -> None:
    cluster(Site(clients, stack))
    assert audit(clients, stack, NOW).still_runs


def test_another_region_is_not_ours_even_under_our_stacks_name(clients: Clients, stack: str) -> None:
    iam = clients("iam")
    for region in ("us-east-1", "eu-west-1"):
        tags = [{"Key": k, "Value": v} for k, v in (tags_of(stack) | {"tandem:region": region}).items()]
        iam.create_role(RoleName=f"tandem-{stack}-{region}", AssumeRolePolicyDocument="{}", Tags=tags)
    assert list(found(clients, stack)) == [(types.ROLE, f"tandem-{stack}-us-east-1")]


def test_nothing_left_is_nothing(clients: Clients, stack: str) -> None:
    assert audit(clients, stack, NOW) == Audit([], [], [])


def test_what_is_refused_is_said(clients: Clients, stack: str) -> None:
    Site(clients, stack)

    def denied(service: str, operation: str) -> None:
        if service == "logs":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)  # pyright: ignore[reportArgumentType]

    result = audit(watched(clients, denied), stack, NOW)
    assert [problem.key for problem in result.unreadable] == [
        types.LOG_GROUP,
        "what hangs on the stack's resources",
    ]


def test_nothing_of_a_stack_that_is_up_is_said_to_be_left(
    aws_account: AccountGaps, clients: Clients, stack: str
) -> None:
    Builder(clients, stack, f"tandem-{stack}").everything()
    said = CliRunner().invoke(app, ["audit", stack, "--region", "us-east-1"]).stdout
    assert " in use or left that cost $" in said


def test_the_command_lists_sums_and_exits_with_1(aws_account: AccountGaps, stack: str) -> None:
    from tandem.ops.aws import aws_clients

    site = Site(aws_clients("us-east-1"), stack)
    volume(site)
    log_group(site)
    result = CliRunner().invoke(app, ["audit", stack, "--region", "us-east-1"], env={"COLUMNS": "250"})
    assert result.exit_code == 1
    assert "carries the tags of" in result.stdout
    assert "has no retention: it grows and is never emptied" in result.stdout
    assert "us-east-1: costs nothing: 1 Vpc, 2 Subnet" in result.stdout
    assert "us-east-1: 2 left that cost $16.00 a month." in result.stdout

    asked = ["audit", stack, "--region", "us-east-1", "--region", "eu-west-1", "--json"]
    report = json.loads(CliRunner().invoke(app, asked).stdout)
    assert report["regions"]["us-east-1"]["usdPerMonth"] == 16.0
    assert report["regions"]["eu-west-1"]["leftovers"] == []

    empty = CliRunner().invoke(app, ["audit", "gone", "--region", "us-east-1"])
    assert (empty.exit_code, empty.stdout) == (0, "us-east-1: 0 left that cost $0.00 a month.\n")


def test_where_no_stack_file_names_a_region_nothing_is_said_to_be_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty list of an account that nobody looked into would be a comfort."""
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    with pytest.raises(UserError, match="no region is named, and there is no stack file here"):
        options.regions_of(None, None)


def test_a_stack_without_a_file_needs_a_region(stack: str) -> None:
    result = CliRunner().invoke(app, ["audit", stack])
    assert "has no file that would name its region" in str(result.exception)
