"""`tandem doctor` reads a network that is there: what of it would keep a stack from coming up, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.ops.aws import aws_clients
from tandem.ops.doctor.run import run_check
from tests.ops.broken_account import Account, Case, World, assert_found
from tests.others_network import OthersNetwork, networks

NOWHERE = "subnet-0123456789abcdef0"
CHECK = "existing network"
TAGS = [{"Key": "tandem:project", "Value": "tandem"}, {"Key": "tandem:stack", "Value": "dev"}]


@pytest.fixture
def account(aws_account: AccountGaps, world: World, monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(aws_account, world, aws_clients("us-east-1", ask=False), monkeypatch)


def there(account: Account, cidr: str = "10.77.0.0/16") -> OthersNetwork:
    others = OthersNetwork(account.clients("ec2"), cidr)
    account.sections["network"] = {"existing": others.settings}
    return others


def without_dns(attribute: str) -> Callable[[Account], None]:
    def turn_off(account: Account) -> None:
        others = there(account)
        others.ec2.modify_vpc_attribute(VpcId=others.vpc, **{attribute: {"Value": False}})

    return turn_off


def no_vpc(account: Account) -> None:
    there(account)
    account.sections["network"]["existing"]["vpcId"] = "vpc-0123456789abcdef0"


def dockers(account: Account) -> None:
    there(account, "172.17.0.0/16")


def no_subnet(account: Account) -> None:
    others = there(account)
    others.private["us-east-1a"] = NOWHERE


def another_vpcs_subnet(account: Account) -> None:
    second, others = OthersNetwork(account.clients("ec2"), "10.78.0.0/16"), there(account)
    others.public["us-east-1b"] = second.public["us-east-1b"]


def another_zones_subnet(account: Account) -> None:
    others = there(account)
    others.private["us-east-1b"] = others.subnet("10.77.20.0/24", "us-east-1c")


def no_way_out(account: Account) -> None:
    others = there(account)
    others.ec2.delete_route(RouteTableId=others.main_table, DestinationCidrBlock="0.0.0.0/0")


def public_for_private(account: Account) -> None:
    others = there(account)
    others.private["us-east-1a"] = others.subnet("10.77.20.0/24", "us-east-1a")
    others.ec2.associate_route_table(RouteTableId=others.public_table, SubnetId=others.private["us-east-1a"])


def private_for_public(account: Account) -> None:
    others = there(account)
    others.public["us-east-1a"] = others.subnet("10.77.20.0/24", "us-east-1a")


def no_rule(account: Account) -> None:
    others = there(account)
    acl = others.ec2.create_network_acl(VpcId=others.vpc)["NetworkAcl"]["NetworkAclId"]
    associate(others, acl, others.private["us-east-1a"])


def no_replies(account: Account) -> None:
    """As in a VPC whose rules were written for servers: out anywhere, in on HTTPS alone."""
    others = there(account)
    acl = others.ec2.create_network_acl(VpcId=others.vpc)["NetworkAcl"]["NetworkAclId"]
    rule = {"NetworkAclId": acl, "RuleAction": "allow", "CidrBlock": "0.0.0.0/0", "RuleNumber": 100}
    others.ec2.create_network_acl_entry(**rule, Egress=True, Protocol="-1")
    others.ec2.create_network_acl_entry(**rule, Egress=False, Protocol="6", PortRange={"From": 443, "To": 443})
    associate(others, acl, others.private["us-east-1b"])


def shut_to_clients(account: Account) -> None:
    """A rule before the one that lets all in."""
    others = there(account)
    [default] = others.ec2.describe_network_acls(Filters=[{"Name": "vpc-id", "Values": [others.vpc]}])["NetworkAcls"]
    acl = others.ec2.create_network_acl(VpcId=others.vpc)["NetworkAcl"]["NetworkAclId"]
    for entry in default["Entries"]:
        if entry["RuleNumber"] == 100:
            everything = {key: entry[key] for key in ("Egress", "Protocol", "RuleAction", "CidrBlock")}
            others.ec2.create_network_acl_entry(NetworkAclId=acl, RuleNumber=100, **everything)
    others.ec2.create_network_acl_entry(
        NetworkAclId=acl, RuleNumber=50, RuleAction="deny", CidrBlock="0.0.0.0/0", Egress=False, Protocol="-1"
    )
    associate(others, acl, others.public["us-east-1a"])


def associate(others: OthersNetwork, acl: str, subnet: str) -> None:
    for one in others.ec2.describe_network_acls()["NetworkAcls"]:
        for association in one["Associations"]:
            if association["SubnetId"] == subnet:
                others.ec2.replace_network_acl_association(
                    AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
                )


def small(account: Account) -> None:
    others = there(account)
    account.fleet(hosts=30)
    others.private["us-east-1a"] = others.subnet("10.77.20.0/28", "us-east-1a")


BROKEN: dict[str, Case] = {
    "no VPC": (no_vpc, CHECK, "error", "sees no VPC vpc-0123456789abcdef0", "network.existing.vpcId"),
    "no DNS": (without_dns("EnableDnsSupport"), CHECK, "error", "enableDnsSupport is off", "--enable-dns-support"),
    "no host names": (
        without_dns("EnableDnsHostnames"),
        CHECK,
        "error",
        "enableDnsHostnames is off",
        "--enable-dns-hostnames",
    ),
    "Docker's range": (dockers, CHECK, "error", "Docker's bridge", "platform eks"),
    "no subnet": (no_subnet, CHECK, "error", f"{NOWHERE} is not a subnet of", "privateSubnetIds.us-east-1a' SUBNET"),
    "another VPC's": (another_vpcs_subnet, CHECK, "error", "is not a subnet of", "publicSubnetIds.us-east-1b' SUBNET"),
    "another zone's": (
        another_zones_subnet,
        CHECK,
        "error",
        "in us-east-1b",
        "privateSubnetIds.us-east-1b' SUBNET",
    ),
    "a public one for hosts": (public_for_private, CHECK, "error", "no public address", "have who owns the network"),
    "a private one for clients": (
        private_for_public,
        CHECK,
        "error",
        "has no route to an internet gateway",
        "publicSubnetIds.us-east-1a",
    ),
    "an ACL without rules": (no_rule, CHECK, "error", "stops TCP to 0.0.0.0/0 on port 443", "describe-network-acls"),
    "an ACL without replies": (no_replies, CHECK, "error", "stops TCP from 0.0.0.0/0 on port 32768", "have who owns"),
    "an ACL before clients": (shut_to_clients, CHECK, "error", "stops TCP from 0.0.0.0/0 on port 443", "have who owns"),
    "too few addresses": (small, CHECK, "warning", "too few free addresses", "a larger subnet"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_network_that_does_not_fit_is_named(name: str, account: Account) -> None:
    assert_found(account, BROKEN[name])


def test_each_subnet_without_a_way_out_is_named(account: Account) -> None:
    no_way_out(account)
    found = run_check(CHECK, account.examination())
    assert [one.value for one in found] == ["none", "none"]


def test_what_may_not_be_read_hides_nothing_else(account: Account) -> None:
    no_way_out(account)
    account.gaps.refused["ec2:DescribeVpcAttribute"] = ("UnauthorizedOperation", "no")
    assert [one.severity for one in run_check(CHECK, account.examination())] == ["error", "error", "unknown"]


def test_one_that_fits_is_fine_and_is_only_looked_at(account: Account) -> None:
    others = there(account)
    before = networks(others.ec2)
    [found] = run_check(CHECK, account.examination())
    assert (found.severity, found.value) == ("ok", others.vpc)
    assert networks(others.ec2) == before


def test_what_the_stack_has_already_is_not_missing(account: Account) -> None:
    small(account)
    [few] = run_check(CHECK, account.examination())
    ec2, subnet = account.clients("ec2"), account.sections["network"]["existing"]["privateSubnetIds"]["us-east-1a"]
    vpc = account.sections["network"]["existing"]["vpcId"]
    own = [{"ResourceType": "security-group", "Tags": TAGS}]
    group = ec2.create_security_group(GroupName="own", Description="own", VpcId=vpc, TagSpecifications=own)["GroupId"]
    ec2.create_network_interface(SubnetId=subnet, Groups=[group])
    [same] = run_check(CHECK, account.examination())
    assert few.value == same.value


def test_no_quota_is_asked_for_what_is_not_made(account: Account) -> None:
    there(account)
    assert run_check("network quota", account.examination()) == []


def test_a_zone_without_the_type_is_told_with_a_remedy_that_fits(account: Account) -> None:
    there(account)
    account.gaps.not_offered.add(("g6.12xlarge", "us-east-1b"))
    found = [one for one in run_check("instance types", account.examination()) if one.severity == "warning"]
    assert ["network.existing" in one.fix for one in found] == [True]
