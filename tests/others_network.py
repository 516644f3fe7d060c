"""A network of somebody's, made before any stack, and all that EC2 says of networks."""

from __future__ import annotations

from typing import Any

ZONES = ("us-east-1a", "us-east-1b")
LISTED = {
    "describe_addresses": "Addresses",
    "describe_flow_logs": "FlowLogs",
    "describe_internet_gateways": "InternetGateways",
    "describe_nat_gateways": "NatGateways",
    "describe_network_acls": "NetworkAcls",
    "describe_network_interfaces": "NetworkInterfaces",
    "describe_route_tables": "RouteTables",
    "describe_security_group_rules": "SecurityGroupRules",
    "describe_security_groups": "SecurityGroups",
    "describe_subnets": "Subnets",
    "describe_vpc_endpoints": "VpcEndpoints",
    "describe_vpcs": "Vpcs",
}


class OthersNetwork:
    """A VPC with a public and a private subnet in two zones, one NAT and a group of its owner's.

    Attributes:
        settings: of `network.existing`.
        main_table: of the private subnets, which name none.
    """

    def __init__(self, ec2: Any, cidr: str = "10.77.0.0/16") -> None:
        self.ec2 = ec2
        self.vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
            ec2.modify_vpc_attribute(VpcId=self.vpc, **{attribute: {"Value": True}})
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        prefix = cidr.rpartition(".0.")[0]
        self.public, self.private = (
            {zone: self.subnet(f"{prefix}.{kind + number}.0/24", zone) for number, zone in enumerate(ZONES)}
            for kind in (0, 8)
        )
        self.public_table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.route(self.public_table, GatewayId=gateway)
        for subnet in self.public.values():
            ec2.associate_route_table(RouteTableId=self.public_table, SubnetId=subnet)
        address = ec2.allocate_address(Domain="vpc")["AllocationId"]
        nat = ec2.create_nat_gateway(SubnetId=self.public[ZONES[0]], AllocationId=address)["NatGateway"]
        [main] = ec2.describe_route_tables(
            Filters=[{"Name": "vpc-id", "Values": [self.vpc]}, {"Name": "association.main", "Values": ["true"]}]
        )["RouteTables"]
        self.main_table = main["RouteTableId"]
        self.route(self.main_table, NatGatewayId=nat["NatGatewayId"])
        ec2.create_security_group(GroupName="theirs", Description="theirs", VpcId=self.vpc)
        ec2.create_tags(Resources=[self.vpc, *self.private.values()], Tags=[{"Key": "owner", "Value": "platform"}])

    @property
    def settings(self) -> dict[str, Any]:
        return {"vpcId": self.vpc, "privateSubnetIds": self.private, "publicSubnetIds": self.public}

    def subnet(self, cidr: str, zone: str) -> str:
        return self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr, AvailabilityZone=zone)["Subnet"]["SubnetId"]

    def route(self, table: str, **target: str) -> None:
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)


def networks(ec2: Any) -> dict[str, list[dict[str, Any]]]:
    """Everything of networks in the region, with tags and the attributes of each VPC."""
    found = {items: getattr(ec2, operation)()[items] for operation, items in LISTED.items()}
    for vpc in found["Vpcs"]:
        for attribute in ("enableDnsSupport", "enableDnsHostnames"):
            answer = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=attribute)
            vpc[attribute] = answer[f"{attribute[0].upper()}{attribute[1:]}"]
    return {items: sorted(ones, key=repr) for items, ones in found.items()}
