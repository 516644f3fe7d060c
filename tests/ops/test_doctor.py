"""`tandem doctor` against broken accounts: a moto server behind account_gaps.py, which fills moto's gaps.

Each case breaks one thing in an account in which all is right, and the finding must name it and the remedy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import ANSWERS, PUBLIC_IMAGE, AccountGaps
from tandem import pins
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.quotas import vcpu_quota
from tandem.costs import hosts_by_purchase
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.doctor import CHECKS, Finding, examine, exit_status, on_demand_reservations, run
from tandem.ops.doctor.address import covers
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.permissions import actions, resources
from tandem.ops.doctor.run import run_check
from tandem.settings import Settings
from tests.ops import (
    test_doctor_clients,
    test_doctor_existing_cluster,
    test_doctor_kubernetes,
    test_doctor_network,
)
from tests.ops.broken_account import NOW, Account, Case, World, assert_found

BLOCK = "cr-0123456789abcdef0"
ARN = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012"


@pytest.fixture
def account(aws_account: AccountGaps, world: World, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(aws_account, world, aws_clients("us-east-1", ask=False), monkeypatch)


def no_credentials(account: Account) -> None:
    account.monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    account.monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")


def refused(action: str, code: str, message: str = "no") -> Callable[[Account], None]:
    return lambda account: account.gaps.refused.__setitem__(action, (code, message))


def unreachable(account: Account) -> None:
    account.monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")


def root_user(account: Account) -> None:
    answer = {"Arn": "arn:aws:iam::123456789012:root", "Account": "123456789012", "UserId": "1"}
    account.monkeypatch.setitem(ANSWERS, "sts:GetCallerIdentity", lambda _gaps, _call: answer)


def region_off(account: Account) -> None:
    account.sections["region"] = "ap-east-1"
    account.gaps.disabled_regions.add("ap-east-1")


def action_denied(account: Account) -> None:
    account.gaps.denied["autoscaling:CreateAutoScalingGroup"] = "implicitDeny"


def pass_role_denied(account: Account) -> None:
    account.gaps.denied["iam:PassRole"] = "explicitDeny"


def zone_missing(account: Account) -> None:
    account.sections["network"] = {"zones": ["us-east-1a", "us-east-1z"]}


def type_in_one_zone_only(account: Account) -> None:
    account.gaps.not_offered.add(("g6.12xlarge", "us-east-1b"))


def type_nowhere(account: Account) -> None:
    account.gaps.not_offered |= {("g6.12xlarge", f"us-east-1{letter}") for letter in "abcd"}


def no_quota_on_demand(account: Account) -> None:
    account.gaps.quotas["L-DB2E81BA"] = 0


def spot_quota_forgotten(account: Account) -> None:
    account.fleet(onDemandPercentage=0)
    account.gaps.quotas |= {"L-DB2E81BA": 480, "L-3819A6DF": 0}


def quota_below_maximum(account: Account) -> None:
    account.fleet(hosts=2, maxHosts=4)
    account.gaps.quotas["L-DB2E81BA"] = 3 * 48


def quota_without_a_spare(account: Account) -> None:
    account.fleet(hosts=2)
    account.gaps.quotas["L-DB2E81BA"] = 2 * 48


def quota_in_use(account: Account) -> None:
    account.gaps.quotas["L-DB2E81BA"] = 96
    for _ in range(2):
        account.clients("ec2").run_instances(ImageId=PUBLIC_IMAGE, InstanceType="g5.12xlarge", MinCount=1, MaxCount=1)


def quota_reserved(account: Account, **fields: Any) -> None:
    """By a reservation of another type, of which three are used by nobody."""
    reservations(account, InstanceType="g5.12xlarge", **fields)
    account.fleet()
    account.gaps.quotas["L-DB2E81BA"] = 96


def p_family_quota(account: Account) -> None:
    account.fleet(instanceTypes=["p5.48xlarge"])
    account.gaps.quotas["L-417A185B"] = 100


def vpcs_used_up(account: Account) -> None:
    account.gaps.quotas["L-F678F1CE"] = 5
    for number in range(4):  # and the default one
        account.clients("ec2").create_vpc(CidrBlock=f"10.{number}.0.0/16")


def addresses_used_up(account: Account) -> None:
    account.gaps.quotas["L-0263D0A3"] = 5
    for _ in range(4):
        account.clients("ec2").allocate_address(Domain="vpc")


def image_gone(account: Account) -> None:
    account.fleet(machineImageId="ami-0123456789abcdef0")


def image_parameter_gone(account: Account) -> None:
    account.gaps.parameters[pins.load().machine_image.ubuntu.parameter] = None


def image_for_arm(account: Account) -> None:
    account.gaps.images[PUBLIC_IMAGE]["Architecture"] = "arm64"


def image_of_another_ubuntu(account: Account) -> None:
    account.gaps.images[PUBLIC_IMAGE]["Name"] = "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server"


def image_with_an_old_driver(account: Account) -> None:
    account.gaps.images[PUBLIC_IMAGE] |= {
        "OwnerId": "898082745236",
        "Name": "Deep Learning Base OSS Nvidia Driver GPU AMI",
        "Description": "NVIDIA driver version: 570.133.20",
    }


def zone_unknown(account: Account) -> None:
    account.sections["loadBalancer"] = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}


def tag_inactive(account: Account) -> None:
    account.sections["costGuard"] = {"monthlyBudgetUsd": 500, "alertEmails": ["a@example.com"]}
    account.gaps.allocation_tags = {"tandem:stack": "Inactive"}


def tag_unknown(account: Account) -> None:
    account.gaps.allocation_tags = {}


def no_spot_role(account: Account) -> None:
    account.fleet(onDemandPercentage=0)
    account.gaps.spot_role = False


def hosted_zone(account: Account, name: str) -> None:
    zone_unknown(account)
    zone = account.clients("route53").create_hosted_zone(Name=name, CallerReference=name)
    account.zone_id = zone["HostedZone"]["Id"].removeprefix("/hostedzone/")


def zone_of_another_domain(account: Account) -> None:
    hosted_zone(account, "example.org")


def zone_not_delegated(account: Account) -> None:
    hosted_zone(account, "example.com")


def certificate_unknown(account: Account) -> None:
    account.sections["loadBalancer"] = {"domainName": "llm.example.com", "certificateArn": ARN}


def certificate(account: Account, **fields: Any) -> None:
    """moto's own certificates are issued at once and never end."""
    certificate_unknown(account)
    found = {
        "CertificateArn": ARN,
        "DomainName": "llm.example.com",
        "Status": "ISSUED",
        "Type": "AMAZON_ISSUED",
        "NotAfter": NOW + timedelta(days=200),
        **fields,
    }
    account.monkeypatch.setitem(ANSWERS, "acm:DescribeCertificate", lambda _gaps, _call: {"Certificate": found})


def certificate_pending(account: Account) -> None:
    certificate(account, Status="PENDING_VALIDATION")


def certificate_of_another_name(account: Account) -> None:
    certificate(account, DomainName="www.example.com")


def certificate_of_no_gateway(account: Account) -> None:
    certificate(account, SubjectAlternativeNames=["*.llm.example.com"])
    account.sections["gateway"] = {"hostName": "teams.example.com"}


def zone_of_no_gateway(account: Account) -> None:
    hosted_zone(account, "example.com")
    account.sections["gateway"] = {"hostName": "teams.example.org"}


def certificate_ends(account: Account) -> None:
    certificate(account, Type="IMPORTED", NotAfter=NOW + timedelta(days=9))


def lines_to_no_stream(account: Account) -> None:
    account.sections["logs"] = {"sendTo": "arn:aws:kinesis:us-east-1:123456789012:stream/lines"}


def lines_to_a_stream(account: Account) -> None:
    lines_to_no_stream(account)
    account.clients("kinesis").create_stream(StreamName="lines", ShardCount=1)


def lines_to_a_delivery(account: Account) -> None:
    account.sections["logs"] = {"sendTo": "arn:aws:firehose:us-east-1:123456789012:deliverystream/lines"}
    place = {"RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": "arn:aws:s3:::b"}
    account.clients("firehose").create_delivery_stream(DeliveryStreamName="lines", S3DestinationConfiguration=place)


def lines_to_a_function(account: Account) -> None:
    account.sections["logs"] = {"sendTo": "arn:aws:lambda:us-east-1:123456789012:function:lines"}
    trust = {"Version": "2012-10-17", "Statement": []}
    role = account.clients("iam").create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    account.clients("lambda").create_function(
        FunctionName="lines", Role=role, Runtime="python3.13", Handler="a.b", Code={"ZipFile": b"no code"}
    )


def secrets_gone(account: Account) -> None:
    tags = [{"Key": "tandem:project", "Value": "tandem"}, {"Key": "tandem:stack", "Value": "dev"}]
    secrets, scaling, ec2 = (account.clients(name) for name in ("secretsmanager", "autoscaling", "ec2"))
    secrets.create_secret(Name="tandem-dev-issued-keys", SecretString="{}", Tags=tags)
    secrets.delete_secret(SecretId="tandem-dev-issued-keys")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    template = ec2.create_launch_template(
        LaunchTemplateName="t", LaunchTemplateData={"ImageId": PUBLIC_IMAGE, "InstanceType": "t3.micro"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="fleet",
        MinSize=0,
        MaxSize=1,
        VPCZoneIdentifier=subnet,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        Tags=tags,
    )


def model_is_gated(account: Account) -> None:
    account.world.hub = (403, "GatedRepo")


def reservation(account: Account, **fields: Any) -> None:
    ends = NOW + timedelta(days=2)
    block = {"reservationId": BLOCK, "zone": "us-east-1a", "endsAt": ends.isoformat()}
    account.fleet(instanceTypes=["p5.48xlarge"], capacityBlock=block)
    account.gaps.reservations = [
        {
            "CapacityReservationId": BLOCK,
            "InstanceType": "p5.48xlarge",
            "AvailabilityZone": "us-east-1a",
            "TotalInstanceCount": 1,
            "StartDate": NOW - timedelta(hours=1),
            "EndDate": ends,
            "State": "active",
            **fields,
        }
    ]


def reservation_unknown(account: Account) -> None:
    reservation(account)
    account.gaps.reservations = []


def reservation_ended(account: Account) -> None:
    reservation(account, EndDate=NOW - timedelta(minutes=1))


def reservation_to_come(account: Account) -> None:
    reservation(account, StartDate=NOW + timedelta(hours=5))


def reservation_ends_sooner(account: Account) -> None:
    reservation(account, EndDate=NOW + timedelta(days=1))


def reservation_of_another_type(account: Account) -> None:
    reservation(account, InstanceType="p5en.48xlarge")


def reservation_in_another_zone(account: Account) -> None:
    reservation(account, AvailabilityZone="us-east-1b")


def reservations(account: Account, when_full: str = "onDemand", hosts: int = 1, **fields: Any) -> None:
    reserved = {"byZone": {"us-east-1a": BLOCK}, "whenFull": when_full}
    account.fleet(capacityReservations=reserved, hosts=hosts)
    account.gaps.reservations = [
        {
            "CapacityReservationId": BLOCK,
            "ReservationType": "default",
            "InstanceType": "g6.12xlarge",
            "AvailabilityZone": "us-east-1a",
            "InstancePlatform": "Linux/UNIX",
            "Tenancy": "default",
            "InstanceMatchCriteria": "targeted",
            "TotalInstanceCount": 4,
            "AvailableInstanceCount": 3,
            "EndDateType": "unlimited",
            "State": "active",
            **fields,
        }
    ]


def reservations_gone(account: Account) -> None:
    reservations(account)
    account.gaps.reservations = []


def reserved_by(when_full: str = "onDemand", hosts: int = 1, **fields: Any) -> Callable[[Account], None]:
    return lambda account: reservations(account, when_full, hosts, **fields)


def reservation_on_demand(account: Account) -> None:
    reservation(account, ReservationType="default")
    del account.gaps.reservations[0]["EndDate"]


def price_higher(account: Account) -> None:
    account.sections["region"] = "eu-west-1"
    account.gaps.prices["g6.12xlarge"] = 7.82181 * 1.2


def no_spot_price(account: Account) -> None:
    account.fleet(onDemandPercentage=0)
    account.gaps.spot_share = None


def spot_dearer(account: Account) -> None:
    account.fleet(onDemandPercentage=0)
    account.gaps.spot_share = 1.01


def spot_score_low(account: Account) -> None:
    account.fleet(onDemandPercentage=0)
    account.gaps.placement_score = 2


def expired_already(account: Account) -> None:
    account.sections["costGuard"] = {"expiresAt": (NOW - timedelta(hours=1)).isoformat()}


def protected_of_another_scheme(account: Account) -> None:
    ec2, elbv2 = account.clients("ec2"), account.clients("elbv2")
    tags = [{"Key": "tandem:project", "Value": "tandem"}, {"Key": "tandem:stack", "Value": "dev"}]
    tagged = [{"ResourceType": "vpc", "Tags": tags}]
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16", TagSpecifications=tagged)["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.9.{number}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"]
        for number, zone in enumerate("ab")
    ]
    placed = {"Scheme": "internet-facing", "Subnets": [one["SubnetId"] for one in subnets], "Tags": tags}
    [made] = elbv2.create_load_balancer(Name="dev-1", **placed)["LoadBalancers"]
    protection = [{"Key": "deletion_protection.enabled", "Value": "true"}]
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=made["LoadBalancerArn"], Attributes=protection)
    account.sections["loadBalancer"] = {"scheme": "internal"}


def not_pinned(account: Account) -> None:
    account.pins["vllm"] = pins.load().vllm.model_copy(update={"digest": ""})


def driver_too_old(account: Account) -> None:
    account.pins["nvidia_driver"] = pins.load().nvidia_driver.model_copy(
        update={"branch": 570, "version": "570.133.20"}
    )


RAISE = "aws service-quotas request-service-quota-increase --region us-east-1 --service-code"
BROKEN: dict[str, Case] = {
    "no credentials": (no_credentials, "credentials", "error", "no AWS credentials", "aws configure sso"),
    "expired token": (
        refused("sts:GetCallerIdentity", "ExpiredToken"),
        "credentials",
        "error",
        "credentials have expired",
        "aws sso login",
    ),
    "unknown key": (
        refused("sts:GetCallerIdentity", "InvalidClientTokenId"),
        "credentials",
        "error",
        "does not know these credentials",
        "aws configure list",
    ),
    "no network": (unreachable, "credentials", "error", "no endpoint there that answers", "AWS_ENDPOINT_URL"),
    "root user": (root_user, "credentials", "warning", "root user", "https://docs.aws.amazon.com/singlesignon"),
    "region off": (region_off, "region", "error", "not enabled ap-east-1", "enable-region --region-name ap-east-1"),
    "action not allowed": (action_denied, "permissions", "error", "may not do all", "attach a policy"),
    "PassRole denied": (pass_role_denied, "permissions", "error", "explicitly denied: iam:PassRole", "attach a policy"),
    "zone missing": (zone_missing, "zones", "error", "no zone us-east-1z", "network.zones[0]' us-east-1a`"),
    "type not in a zone": (
        type_in_one_zone_only,
        "instance types",
        "warning",
        "no instance type of the fleet is offered in us-east-1b",
        "network.zones[1]' us-east-1c`",
    ),
    "type nowhere": (
        type_nowhere,
        "instance types",
        "error",
        "g6.12xlarge is not offered in us-east-1",
        "tandem:fleet.instanceTypes[0]",
    ),
    "no GPU quota": (
        no_quota_on_demand,
        "GPU quota",
        "error",
        "(L-DB2E81BA) is too small for the hosts that `up` starts",
        f"{RAISE} ec2 --quota-code L-DB2E81BA --desired-value 96",
    ),
    "spot quota forgotten": (
        spot_quota_forgotten,
        "GPU quota",
        "error",
        "All G and VT Spot Instance Requests (L-3819A6DF)",
        f"{RAISE} ec2 --quota-code L-3819A6DF --desired-value 96",
    ),
    "quota below the maximum": (
        quota_below_maximum,
        "GPU quota",
        "warning",
        "too small for the group at its maximum",
        "--desired-value 240",
    ),
    "quota without a spare": (
        quota_without_a_spare,
        "GPU quota",
        "warning",
        "too small for the group while hosts are replaced",
        "--desired-value 144",
    ),
    "quota in use": (
        quota_in_use,
        "GPU quota",
        "error",
        "too small for the hosts that `up` starts",
        "--desired-value 192",
    ),
    "quota reserved for others": (
        quota_reserved,
        "GPU quota",
        "error",
        "too small for the hosts that `up` starts",
        "--desired-value 240",
    ),
    "P quota": (p_family_quota, "GPU quota", "error", "Running On-Demand P instances (L-417A185B)", "L-417A185B"),
    "VPCs used up": (
        vpcs_used_up,
        "network quota",
        "error",
        "VPCs per Region (L-F678F1CE) is too small",
        f"{RAISE} vpc --quota-code L-F678F1CE --desired-value 6",
    ),
    "addresses used up": (
        addresses_used_up,
        "network quota",
        "error",
        "EC2-VPC Elastic IPs (L-0263D0A3) is too small",
        "--quota-code L-0263D0A3 --desired-value 6",
    ),
    "machine image gone": (
        image_gone,
        "machine image",
        "error",
        "not available in us-east-1",
        "tandem pin --region us-east-1 --update",
    ),
    "no public parameter": (
        image_parameter_gone,
        "machine image",
        "error",
        "no public parameter",
        "fleet.machineImageId",
    ),
    "image for Arm": (image_for_arm, "machine image", "error", "does not run on these hosts", "tandem pin --region"),
    "another Ubuntu": (image_of_another_ubuntu, "machine image", "error", "another release", "tandem pin --region"),
    "old driver": (image_with_an_old_driver, "machine image", "error", "too old", "machine_image.default to ubuntu"),
    "hosted zone unknown": (
        zone_unknown,
        "hosted zone",
        "error",
        "no such hosted zone",
        "aws route53 list-hosted-zones",
    ),
    "another domain's zone": (
        zone_of_another_domain,
        "hosted zone",
        "error",
        "does not hold the domain",
        "hostedZoneId",
    ),
    "not delegated": (
        zone_not_delegated,
        "hosted zone",
        "error",
        "example.com is not delegated",
        "where example.com is registered",
    ),
    "certificate unknown": (
        certificate_unknown,
        "certificate",
        "error",
        "no such certificate",
        "aws acm list-certificates",
    ),
    "certificate pending": (
        certificate_pending,
        "certificate",
        "error",
        "not issued",
        f"aws acm describe-certificate --region us-east-1 --certificate-arn {ARN}",
    ),
    "another name's certificate": (
        certificate_of_another_name,
        "certificate",
        "error",
        "not for llm.example.com",
        "request-certificate --region us-east-1 --domain-name llm.example.com",
    ),
    "no gateway's certificate": (
        certificate_of_no_gateway,
        "certificate",
        "error",
        "not for teams.example.com",
        "--domain-name llm.example.com --subject-alternative-names teams.example.com",
    ),
    "no gateway's zone": (
        zone_of_no_gateway,
        "hosted zone",
        "error",
        "does not hold the domain",
        "hostedZoneId",
    ),
    "certificate ends": (certificate_ends, "certificate", "warning", "ends soon", "aws acm import-certificate"),
    "secrets gone": (
        secrets_gone,
        "secrets",
        "error",
        "its secrets are gone",
        "restore-secret --region us-east-1 --secret-id tandem-dev-issued-keys",
    ),
    "no stream for lines": (
        lines_to_no_stream,
        "place of lines",
        "error",
        "logs.sendTo is not there",
        "pulumi config rm --path 'tandem:logs.sendTo'",
    ),
    "another scheme": (
        protected_of_another_scheme,
        "load balancer",
        "error",
        "loadBalancer.scheme: internal makes another load balancer",
        "Key=deletion_protection.enabled,Value=false",
    ),
    "gated model": (model_is_gated, "model", "error", "the model is gated", "tandem:huggingFaceToken"),
    "no such Capacity Block": (
        reservation_unknown,
        "Capacity Block",
        "error",
        "no such Capacity Block",
        "describe-capacity-reservations",
    ),
    "Capacity Block ended": (
        reservation_ended,
        "Capacity Block",
        "error",
        "has ended",
        "aws ec2 purchase-capacity-block",
    ),
    "Capacity Block to come": (
        reservation_to_come,
        "Capacity Block",
        "warning",
        "has not begun",
        "tandem:fleet.hosts 0",
    ),
    "Capacity Block ends sooner": (
        reservation_ends_sooner,
        "Capacity Block",
        "error",
        "ends at another time",
        f"capacityBlock.endsAt {NOW + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}",
    ),
    "another type's Capacity Block": (
        reservation_of_another_type,
        "Capacity Block",
        "error",
        "another instance type",
        "tandem:fleet.instanceTypes[0] p5en.48xlarge",
    ),
    "another zone's Capacity Block": (
        reservation_in_another_zone,
        "Capacity Block",
        "error",
        "in another zone",
        "capacityBlock.zone us-east-1b",
    ),
    "a reservation for a Capacity Block": (
        reservation_on_demand,
        "Capacity Block",
        "error",
        "is no Capacity Block",
        "fleet.capacityReservations",
    ),
    "no such reservation": (
        reservations_gone,
        "capacity reservations",
        "error",
        "no such On-Demand Capacity Reservation",
        "fleet.capacityReservations.byZone.us-east-1a ID",
    ),
    "a Capacity Block for a reservation": (
        reserved_by(ReservationType="capacity-block"),
        "capacity reservations",
        "error",
        "is a Capacity Block",
        "fleet.capacityBlock",
    ),
    "cancelled reservation": (
        reserved_by(State="cancelled"),
        "capacity reservations",
        "warning",
        "has ended; hosts in it run on",
        "create-capacity-reservation",
    ),
    "expired reservation, and nothing beside it": (
        reserved_by("wait", State="expired"),
        "capacity reservations",
        "error",
        "has ended",
        "config rm --path 'tandem:fleet.capacityReservations'",
    ),
    "reservation to come": (
        reserved_by("wait", State="scheduled"),
        "capacity reservations",
        "warning",
        "has not begun",
        "describe-capacity-reservations",
    ),
    "reservation of another type": (
        reserved_by(InstanceType="g6.24xlarge"),
        "capacity reservations",
        "error",
        "another instance type",
        "--instance-type g6.12xlarge",
    ),
    "reservation in another zone": (
        reserved_by(AvailabilityZone="us-east-1b"),
        "capacity reservations",
        "error",
        "in another zone",
        "fleet.capacityReservations.byZone",
    ),
    "reservation for Windows": (
        reserved_by(InstancePlatform="Windows"),
        "capacity reservations",
        "error",
        "another platform",
        "--instance-platform Linux/UNIX",
    ),
    "dedicated reservation": (
        reserved_by(Tenancy="dedicated"),
        "capacity reservations",
        "error",
        "dedicated hardware",
        "create-capacity-reservation",
    ),
    "reservation in a placement group": (
        reserved_by(PlacementGroupArn="arn:aws:ec2:us-east-1:123456789012:placement-group/close"),
        "capacity reservations",
        "error",
        "in a placement group",
        "create-capacity-reservation",
    ),
    "open reservation": (
        reserved_by(InstanceMatchCriteria="open"),
        "capacity reservations",
        "warning",
        "is open",
        "--instance-match-criteria targeted",
    ),
    "reservation ends": (
        reserved_by(EndDate=NOW + timedelta(days=3)),
        "capacity reservations",
        "warning",
        "ends soon",
        "--end-date-type unlimited",
    ),
    "full reservation": (
        reserved_by(AvailableInstanceCount=0),
        "capacity reservations",
        "warning",
        "the rest starts on demand",
        "--instance-count COUNT",
    ),
    "full reservation, and nothing beside it": (
        reserved_by("wait", AvailableInstanceCount=0),
        "capacity reservations",
        "error",
        "no room for the hosts that `up` starts",
        "--instance-count COUNT",
    ),
    "no room for a rollout": (
        reserved_by("wait", hosts=3),
        "capacity reservations",
        "warning",
        "a host more while hosts are replaced",
        "fleet.rollout terminateFirst",
    ),
    "dearer region": (
        price_higher,
        "price",
        "warning",
        "would be passed by 20%",
        "tandem pin --prices",
    ),
    "tag not activated": (
        tag_inactive,
        "budget's tag",
        "warning",
        "$500.00 sees nothing",
        "TagKey=tandem:stack",
    ),
    "tag not known": (tag_unknown, "budget's tag", "warning", "is not activated", "update-cost-allocation-tags-status"),
    "no spot role": (no_spot_role, "spot role", "warning", "no role for spot", "create-service-linked-role"),
    "not sold as spot": (no_spot_price, "spot price", "warning", "no spot price", "onDemandPercentage 100"),
    "spot dearer": (spot_dearer, "spot price", "warning", "costs no less than on demand", "onDemandPercentage 100"),
    "low spot score": (spot_score_low, "spot placement", "warning", "little chance", "fleet.instanceTypes"),
    "expired already": (expired_already, "expiry", "error", "expired before it comes up", "costGuard.expiresAt"),
    "digest not pinned": (not_pinned, "pins", "warning", "vllm.digest is not pinned", "`tandem pin --image`"),
    "driver branch too old": (driver_too_old, "settings", "error", "driver is too old for CUDA", "pin a later branch"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_account_is_found_with_its_remedy(name: str, account: Account) -> None:
    assert_found(account, BROKEN[name])


def test_every_check_finds_an_account_broken() -> None:
    """The stack's name: tests/ops/test_whose.py; a name of the API that is wrong is the hosted zone's matter."""
    all_broken = (
        BROKEN,
        test_doctor_clients.BROKEN,
        test_doctor_existing_cluster.BY_EKS,
        test_doctor_kubernetes.BROKEN,
        test_doctor_network.BROKEN,
    )
    broken = {case[1] for cases in all_broken for case in cases.values()}
    assert set(CHECKS) - broken == {"name", "stack's name"}


def test_a_sound_account_has_no_complaints(account: Account) -> None:
    hosted_zone(account, "example.com")
    zone = account.clients("route53").get_hosted_zone(Id=account.zone_id)
    account.world.name_servers = zone["DelegationSet"]["NameServers"]
    account.fleet(hosts=1, maxHosts=2, onDemandBase=1, onDemandPercentage=0)
    started = time.monotonic()
    found = examine(account.examination())
    assert time.monotonic() - started < 15
    assert {finding.severity for finding in found if finding.check not in ("settings", "pins")} == {"ok"}
    assert {finding.check for finding in found} == set(CHECKS) - {
        "Capacity Block",
        "capacity reservations",
        "certificate",
        "cluster commands",
        "cluster zones",
        "controllers' quota",
        "existing cluster",
        "existing network",
        "Kubernetes",
        "load balancer",
        "place of lines",
    }


def test_what_nobody_uses_of_a_reservation_is_told_in_dollars(account: Account) -> None:
    reservations(account, hosts=3)
    (found,) = run_check("capacity reservations", account.examination())
    assert (found.severity, found.value) == ("ok", "3 in us-east-1a; 3 used by nobody, for $13.80 an hour")


def test_a_reservation_full_of_our_hosts_has_room_for_them(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    reservations(account, "wait", hosts=3, AvailableInstanceCount=1)
    monkeypatch.setattr(on_demand_reservations, "_own_hosts", lambda _: {BLOCK: 3})
    (found,) = run_check("capacity reservations", account.examination())
    assert (found.severity, found.value) == ("ok", "4 in us-east-1a; 1 used by nobody, for $4.60 an hour")


def test_a_load_balancer_that_may_go_or_stays_is_no_matter(account: Account) -> None:
    protected_of_another_scheme(account)
    account.sections["loadBalancer"] = {"scheme": "internetFacing"}
    assert run_check("load balancer", account.examination()) == []
    account.sections["loadBalancer"] = {"scheme": "internal"}
    elbv2 = account.clients("elbv2")
    [balancer] = elbv2.describe_load_balancers()["LoadBalancers"]
    unprotected = [{"Key": "deletion_protection.enabled", "Value": "false"}]
    elbv2.modify_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"], Attributes=unprotected)
    assert run_check("load balancer", account.examination()) == []


@pytest.mark.parametrize("made", [lines_to_a_stream, lines_to_a_delivery, lines_to_a_function])
def test_a_place_that_takes_lines_is_found(made: Callable[[Account], None], account: Account) -> None:
    made(account)
    (found,) = run_check("place of lines", account.examination())
    assert found.severity == "ok"


def test_without_credentials_nothing_else_is_asked(account: Account) -> None:
    no_credentials(account)
    found = examine(account.examination())
    assert {finding.check for finding in found} == {"settings", "pins", "expiry", "name", "credentials"}
    assert account.gaps.asked == []
    assert exit_status(found) == 2


def test_a_denied_look_is_not_a_fault(account: Account) -> None:
    message = "User: arn:aws:iam::123456789012:user/x is not authorized to perform: servicequotas:GetServiceQuota"
    refused("service-quotas:GetServiceQuota", "AccessDeniedException", message)(account)
    (found,) = run_check("GPU quota", account.examination())
    assert found.severity == "unknown"
    assert found.fix == "allow servicequotas:GetServiceQuota for them"
    assert exit_status([found]) == 1


def test_throttled_calls_are_repeated(account: Account) -> None:
    account.gaps.throttled["service-quotas:GetServiceQuota"] = 2
    (found,) = run_check("GPU quota", account.examination())
    assert found.severity == "ok"
    assert account.gaps.throttled["service-quotas:GetServiceQuota"] == 0


def test_an_open_request_is_waited_for(account: Account) -> None:
    no_quota_on_demand(account)
    asked = [{"Status": "CASE_OPENED", "DesiredValue": 96.0}]
    answer = {"RequestedQuotas": asked}
    name = "service-quotas:ListRequestedServiceQuotaChangeHistoryByQuota"
    account.monkeypatch.setitem(ANSWERS, name, lambda _gaps, _call: answer)
    (found,) = run_check("GPU quota", account.examination())
    assert found.fix.startswith("wait: a request for 96 is case opened")


def test_the_stacks_own_hosts_are_not_counted_twice(account: Account) -> None:
    account.gaps.quotas["L-DB2E81BA"] = 96
    tags = [{"Key": "tandem:project", "Value": "tandem"}, {"Key": "tandem:stack", "Value": "dev"}]
    account.clients("ec2").run_instances(
        ImageId=PUBLIC_IMAGE,
        InstanceType="g6.12xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    (found,) = run_check("GPU quota", account.examination())
    assert (found.severity, found.value) == ("ok", "96 vCPUs, 0 in use by others")


@pytest.mark.parametrize(
    "fields",
    [
        {"State": "cancelled"},
        {"AvailableInstanceCount": 0},
        {"OwnerId": "210987654321"},
        {"ReservationType": "capacity-block"},
        {"InstanceMatchCriteria": "open", "InstanceType": "g6.12xlarge"},
    ],
    ids=str,
)
def test_what_no_quota_is_taken_by(account: Account, fields: dict[str, Any]) -> None:
    """Who shares a reservation has it in its own account, and a host takes an open one of its type by itself."""
    quota_reserved(account)
    account.gaps.reservations[0] |= fields
    (found,) = run_check("GPU quota", account.examination())
    assert (found.severity, found.value) == ("ok", "96 vCPUs, 0 in use by others")


def test_a_reservation_of_the_stacks_own_is_its_hosts_need(account: Account) -> None:
    reservations(account)
    account.gaps.quotas["L-DB2E81BA"] = 96
    (found,) = run_check("GPU quota", account.examination())
    assert (found.severity, found.value) == ("ok", "96 vCPUs, 0 in use by others")


def test_spot_of_a_further_model_wants_the_role(account: Account) -> None:
    no_spot_role(account)
    account.fleet(onDemandPercentage=100)
    account.sections["models"] = {
        "small": {
            "hostName": "small.example.com",
            "inference": {"model": "Qwen/Qwen3-14B"},
            "fleet": {"onDemandPercentage": 0},
        }
    }
    account.sections["loadBalancer"] = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
    (found,) = run_check("spot role", account.examination())
    assert found.severity != "ok"


def test_terminate_first_needs_no_spare_quota(account: Account) -> None:
    quota_without_a_spare(account)
    account.sections["fleet"]["rollout"] = "terminateFirst"
    (found,) = run_check("GPU quota", account.examination())
    assert found.severity == "ok"


def test_a_gated_model_with_a_token_is_fine(account: Account) -> None:
    model_is_gated(account)
    account.sections["huggingFaceToken"] = "hf_" + "x" * 30
    (found,) = run_check("model", account.examination())
    assert found.severity == "ok"


def test_what_is_beside_a_model_must_be_readable_as_that(account: Account) -> None:
    model_is_gated(account)
    adapters = {"sql": {"model": "acme/sql", "rank": 16}}
    account.sections["inference"] = {"adapters": adapters, "speculation": {"method": "draft", "model": "acme/draft"}}
    found = [*run_check("model", account.examination())]
    assert [one.severity for one in found] == ["error"] * 3
    assert {f"acme/{name}: the model is gated" for name in ("sql", "draft")} < {one.what for one in found}


@pytest.mark.parametrize(
    ("changed", "severity", "said"),
    [
        ({}, None, ""),
        ({"rank_pattern": {"q_proj": 16}}, None, ""),
        ({"r": 9}, None, "vLLM reserves for 16 anyway"),
        ({"r": 32}, "error", "its rank is more than inference.adapters.sql.rank says"),
        ({"rank_pattern": {"q_proj": 17}}, "error", "its rank is more than"),
        ({"r": 8}, "warning", "its rank is less than"),
        ({"r": 1024}, "error", "has no rank that vLLM takes"),
        ({"r": None}, "error", "has no rank that vLLM takes"),
        ({"use_dora": True}, "error", "an adapter with DoRA"),
        ({"layer_replication": [[0, 2]]}, "error", "an adapter with replicated layers"),
        ({"base_model_name_or_path": "Qwen/Qwen3-14B"}, "warning", "it was made for another model"),
        ({"base_model_name_or_path": "/data/qwen3-8b/"}, None, "its own name in a directory"),
    ],
)
def test_an_adapter_is_what_the_stack_says_of_it(
    account: Account, changed: dict[str, Any], severity: str | None, said: str
) -> None:
    account.world.adapter |= changed
    account.sections["inference"] = {"adapters": {"sql": {"model": "acme/sql", "rank": 16}}}
    found = [one for one in run_check("model", account.examination()) if one.severity != "ok"]
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(said in one.what and one.fix for one in found)


def test_an_unreachable_hub_is_unknown_not_wrong(account: Account) -> None:
    account.monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    (found,) = run_check("model", account.examination())
    assert (found.severity, found.value) == (
        "unknown",
        "http://127.0.0.1:9/api/models/Qwen/Qwen3-8B/revision/main?blobs=true",
    )


@pytest.mark.parametrize(
    ("fleet", "hosts", "expected"),
    [
        ({}, 3, (3, 0)),
        ({"onDemandPercentage": 0}, 3, (0, 3)),
        ({"onDemandBase": 2, "onDemandPercentage": 0, "hosts": 2}, 5, (2, 3)),
        ({"onDemandPercentage": 50}, 3, (2, 1)),
        ({"onDemandBase": 1, "onDemandPercentage": 25}, 4, (2, 2)),
    ],
)
def test_hosts_are_split_as_auto_scaling_does(fleet: dict[str, Any], hosts: int, expected: tuple[int, int]) -> None:
    settings = Settings.model_validate({"region": "us-east-1", "fleet": fleet})
    assert tuple(hosts_by_purchase(settings, hosts).values()) == expected


def test_every_known_type_has_a_quota() -> None:
    codes = {name: [vcpu_quota(name, purchase).code for purchase in ("on demand", "spot")] for name in INSTANCE_TYPES}  # pyright: ignore[reportOptionalMemberAccess]
    assert codes["g7e.24xlarge"] == ["L-DB2E81BA", "L-3819A6DF"]
    assert codes["p4d.24xlarge"] == ["L-417A185B", "L-7212CCBC"]
    assert codes["p5.48xlarge"] == ["L-417A185B", "L-C4BD4855"]
    assert vcpu_quota("m5.large", "spot") is None


@pytest.mark.parametrize(
    ("certified", "domain", "expected"),
    [
        ("llm.example.com", "llm.example.com", True),
        ("*.example.com", "llm.example.com", True),
        ("*.example.com", "a.llm.example.com", False),
        ("*.example.com", "example.com", False),
        ("example.com", "llm.example.com", False),
    ],
)
def test_a_wildcard_stands_for_one_label(certified: str, domain: str, expected: bool) -> None:
    assert covers(certified, domain) is expected


@pytest.mark.parametrize("platform", ["ec2", "eks"])
def test_no_action_is_asked_for_twice(platform: str) -> None:
    assert len(actions(platform)) == len(set(actions(platform)))


@pytest.mark.parametrize(
    ("severities", "status"),
    [([], 0), (["ok"], 0), (["ok", "unknown"], 1), (["warning", "ok"], 1), (["warning", "error"], 2)],
)
def test_the_exit_status_is_that_of_the_worst(severities: list[Any], status: int) -> None:
    assert exit_status(Finding(severity=severity, what="") for severity in severities) == status


def test_the_command_prints_json(account: Account) -> None:
    no_quota_on_demand(account)
    account.gaps.quotas["L-3819A6DF"] = 0
    result = CliRunner().invoke(app, ["doctor", "dev", "--json"])
    assert result.exit_code == 2
    report = json.loads(result.stdout)
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    assert [(error["check"], error["value"], error["needed"]) for error in errors] == [
        ("GPU quota", "0 vCPUs, 0 in use by others", "48 vCPUs")
    ]


def test_a_program_knows_a_broken_rule_by_its_name_and_finds_the_command(account: Account) -> None:
    said = json.loads(CliRunner().invoke(app, ["doctor", "dev", "--json"]).stdout)["findings"]
    assert ("versions_are_pinned", "tandem pin --image") in [(one["code"], one["command"]) for one in said]
    driver_too_old(account)
    found = run_check("settings", account.examination())
    assert [finding.code for finding in found if finding.severity == "error"] == ["driver_runs_the_image"]


def test_what_may_surprise_of_further_models_is_said(account: Account) -> None:
    account.sections |= {
        "platform": "eks",
        "fleet": {"maxHosts": 4},
        "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
        "models": {"small": {"hostName": "small.example.com", "inference": {"model": "acme/small"}}},
    }
    said = [finding.what for finding in run_check("settings", account.examination())]
    assert [what.partition(" ")[0] for what in said if "was not sized" in what] == ["models.small:"]


def test_the_command_names_an_unknown_stack(account: Account) -> None:
    result = CliRunner().invoke(app, ["doctor", "nosuch"])
    assert result.exit_code == 2
    assert "there is no such stack file" in result.stdout
    assert "Pulumi.dev.yaml" in result.stdout


@pytest.mark.parametrize(
    ("action", "pattern"),
    [
        ("iam:CreateRole", "arn:aws:iam::123456789012:role/tandem-*"),
        ("s3:CreateBucket", "arn:aws:s3:::dev-access-logs-*"),
        ("ec2:DeleteVpc", "arn:aws:ec2:us-east-1:123456789012:vpc/*"),
        ("logs:CreateLogGroup", "arn:aws:logs:us-east-1:123456789012:log-group:/tandem/*"),
        ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/*"),
    ],
)
def test_a_policy_for_tandems_resources_alone_is_enough(account: Account, action: str, pattern: str) -> None:
    account.gaps.denied[action] = "implicitDeny"
    (refused_everywhere,) = run_check("permissions", account.examination())
    assert (refused_everywhere.severity, refused_everywhere.value) == ("error", action)
    assert "those of tandem-dev (both were simulated)" in refused_everywhere.needed
    account.gaps.allowed_on[action] = pattern
    (allowed,) = run_check("permissions", account.examination())
    assert allowed.severity == "ok"


def test_every_service_has_resources_to_simulate_on() -> None:
    for service in {action.partition(":")[0] for action in (*actions("ec2"), *actions("eks"))}:
        found = resources(service, "123456789012", "eu-west-1", "dev", None)
        assert found
        services = {service, "elasticloadbalancing"} if service == "wafv2" else {service}
        assert {arn.split(":")[2] for arn in found} == services
        assert not [arn for arn in found if "{" in arn or "*" in arn]


def test_an_explicit_denial_is_not_asked_about_again(account: Account) -> None:
    account.gaps.denied["iam:PassRole"] = "explicitDeny"
    run_check("permissions", account.examination())
    assert not [call for call in account.gaps.asked if call.params.get("ResourceArns")]


def test_a_check_that_never_ends_is_given_up(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    never = Event()

    def hangs(_examination: Examination) -> Iterator[Finding]:
        never.wait(30)
        yield Finding(severity="ok", what="late")

    monkeypatch.setattr(run, "CHECKS", {**CHECKS, "price": hangs})
    started = time.monotonic()
    found = [one for one in examine(account.examination(), deadline_seconds=5) if one.check == "price"]
    never.set()
    assert [(one.severity, one.what) for one in found] == [("unknown", "no answer within 5 s")]
    assert time.monotonic() - started < 25
