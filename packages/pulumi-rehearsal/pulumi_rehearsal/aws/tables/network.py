"""VPC, subnets, routes and gateways."""

from __future__ import annotations

from pulumi_rehearsal.aws.phrases import ec2_tags, filters
from pulumi_rehearsal.aws.row import Call, ResourceType, Text, change

_VPC_ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")
_SUBNET_ATTRIBUTES = ("mapPublicIpOnLaunch", "assignIpv6AddressOnCreation")

_ROUTE_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "transitGatewayId": "TransitGatewayId",
    "vpcEndpointId": "VpcEndpointId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
}


def _members(names: dict[str, str], source: str) -> str:
    return ", ".join(f"{aws}: {source}.{name}" for name, aws in names.items())


VPC = ResourceType(
    type="aws:ec2/vpc:Vpc",
    service="ec2",
    create=Call("create_vpc", fill=True),
    id="result.Vpc.VpcId",
    read=(
        Call("describe_vpcs", "{VpcIds: [id]}", at="Vpcs[0]"),
        Call(
            "describe_security_groups",
            filters({"vpc-id": "id", "group-name": "'default'"}),
            at="SecurityGroups[0]",
            into="group",
        ),
        Call(
            "describe_route_tables",
            filters({"vpc-id": "id", "association.main": "'true'"}),
            at="RouteTables[0]",
            into="routes",
        ),
        Call("describe_network_acls", filters({"vpc-id": "id", "default": "'true'"}), at="NetworkAcls[0]", into="acl"),
        *(
            Call(
                "describe_vpc_attribute",
                f"{{VpcId: id, Attribute: '{name}'}}",
                at=f"{name[0].upper()}{name[1:]}.Value",
                into=name,
            )
            for name in _VPC_ATTRIBUTES
        ),
    ),
    changes=tuple(
        change(
            name,
            by=Call("modify_vpc_attribute", f"{{VpcId: id, {name[0].upper()}{name[1:]}: {{Value: inputs.{name}}}}}"),
        )
        for name in _VPC_ATTRIBUTES
    ),
    delete=(Call("delete_vpc", "{VpcId: id}"),),
    tags=ec2_tags("vpc"),
    outputs={
        "arn": Text("arn:{partition}:ec2:{region}:{account}:vpc/{id}"),
        "defaultSecurityGroupId": "found.group.GroupId",
        "defaultRouteTableId": "found.routes.RouteTableId",
        "mainRouteTableId": "found.routes.RouteTableId",
        "defaultNetworkAclId": "found.acl.NetworkAclId",
    },
)

SUBNET = ResourceType(
    type="aws:ec2/subnet:Subnet",
    service="ec2",
    create=Call("create_subnet", fill=True),
    id="result.Subnet.SubnetId",
    read=(Call("describe_subnets", "{SubnetIds: [id]}", at="Subnets[0]"),),
    changes=tuple(
        change(
            name,
            by=Call(
                "modify_subnet_attribute", f"{{SubnetId: id, {name[0].upper()}{name[1:]}: {{Value: inputs.{name}}}}}"
            ),
        )
        for name in _SUBNET_ATTRIBUTES
    ),
    delete=(Call("delete_subnet", "{SubnetId: id}"),),
    # for 20 minutes: https://github.com/hashicorp/terraform-provider-aws/blob/main/internal/service/ec2/vpc_subnet.go
    patient=True,
    tags=ec2_tags("subnet"),
    outputs={"arn": Text("arn:{partition}:ec2:{region}:{account}:subnet/{id}")},
)

INTERNET_GATEWAY = ResourceType(
    type="aws:ec2/internetGateway:InternetGateway",
    service="ec2",
    create=Call("create_internet_gateway"),
    id="result.InternetGateway.InternetGatewayId",
    read=(Call("describe_internet_gateways", "{InternetGatewayIds: [id]}", at="InternetGateways[0]"),),
    changes=(
        change(
            "vpcId",
            by=(
                Call("detach_internet_gateway", "{InternetGatewayId: id, VpcId: old.vpcId}", when="old.vpcId"),
                Call("attach_internet_gateway", "{InternetGatewayId: id, VpcId: inputs.vpcId}", when="inputs.vpcId"),
            ),
        ),
    ),
    delete=(
        Call("detach_internet_gateway", "{InternetGatewayId: id, VpcId: inputs.vpcId}", when="inputs.vpcId"),
        Call("delete_internet_gateway", "{InternetGatewayId: id}"),
    ),
    tags=ec2_tags("internet-gateway"),
    outputs={
        "arn": Text("arn:{partition}:ec2:{region}:{account}:internet-gateway/{id}"),
        "ownerId": "account",
        "vpcId": "found.Attachments[0].VpcId",
    },
)

EIP = ResourceType(
    type="aws:ec2/eip:Eip",
    service="ec2",
    create=Call("allocate_address", fill=True),
    id="result.AllocationId",
    read=(Call("describe_addresses", "{AllocationIds: [id]}", at="Addresses[0]"),),
    delete=(Call("release_address", "{AllocationId: id}"),),
    tags=ec2_tags("elastic-ip"),
    outputs={
        "arn": Text("arn:{partition}:ec2:{region}:{account}:elastic-ip/{id}"),
        "publicDns": Text("ec2-{found[PublicIp]}.{region}.compute.amazonaws.com"),
    },
)

NAT_GATEWAY = ResourceType(
    type="aws:ec2/natGateway:NatGateway",
    service="ec2",
    create=Call("create_nat_gateway", fill=True),
    id="result.NatGateway.NatGatewayId",
    read=(Call("describe_nat_gateways", "{NatGatewayIds: [id]}", at="NatGateways[?State != 'deleted'] | [0]"),),
    delete=(Call("delete_nat_gateway", "{NatGatewayId: id}"),),
    tags=ec2_tags("natgateway"),
    outputs={
        "associationId": "found.NatGatewayAddresses[0].AssociationId",
        "networkInterfaceId": "found.NatGatewayAddresses[0].NetworkInterfaceId",
        "privateIp": "found.NatGatewayAddresses[0].PrivateIp",
        "publicIp": "found.NatGatewayAddresses[0].PublicIp",
        "allocationId": "found.NatGatewayAddresses[0].AllocationId",
    },
    names={"privateIp": "PrivateIpAddress"},
)

ROUTE_TABLE = ResourceType(
    type="aws:ec2/routeTable:RouteTable",
    service="ec2",
    create=Call("create_route_table", fill=True),
    id="result.RouteTable.RouteTableId",
    read=(Call("describe_route_tables", "{RouteTableIds: [id]}", at="RouteTables[0]"),),
    changes=(
        change(
            "routes",
            by=(
                Call(
                    "delete_route",
                    "{RouteTableId: id, DestinationCidrBlock: item.cidrBlock}",
                    each="minus(old.routes, inputs.routes)",
                ),
                Call(
                    "create_route",
                    f"{{RouteTableId: id, DestinationCidrBlock: item.cidrBlock, {_members(_ROUTE_TARGETS, 'item')}}}",
                    each="minus(inputs.routes, old.routes)",
                ),
            ),
        ),
    ),
    delete=(Call("delete_route_table", "{RouteTableId: id}"),),
    tags=ec2_tags("route-table"),
    outputs={"arn": Text("arn:{partition}:ec2:{region}:{account}:route-table/{id}")},
    # what is described holds the routes of `Route` resources too
    unread=("routes",),
)

_DESTINATION = (
    "DestinationCidrBlock: inputs.destinationCidrBlock, DestinationIpv6CidrBlock: inputs.destinationIpv6CidrBlock, "
    "DestinationPrefixListId: inputs.destinationPrefixListId"
)

ROUTE = ResourceType(
    type="aws:ec2/route:Route",
    service="ec2",
    create=Call(
        "create_route", f"{{RouteTableId: inputs.routeTableId, {_DESTINATION}, {_members(_ROUTE_TARGETS, 'inputs')}}}"
    ),
    id="join('_', [inputs.routeTableId, "
    "inputs.destinationCidrBlock || inputs.destinationIpv6CidrBlock || inputs.destinationPrefixListId])",
    read=(
        Call(
            "describe_route_tables",
            "{RouteTableIds: [inputs.routeTableId]}",
            at=f"find(RouteTables[0].Routes, {{{_DESTINATION}}})",
        ),
    ),
    changes=(
        change(
            *_ROUTE_TARGETS,
            by=Call(
                "replace_route",
                f"{{RouteTableId: inputs.routeTableId, {_DESTINATION}, {_members(_ROUTE_TARGETS, 'inputs')}}}",
            ),
            on_create=False,
        ),
    ),
    delete=(Call("delete_route", f"{{RouteTableId: inputs.routeTableId, {_DESTINATION}}}"),),
    import_id="{routeTableId: part(id, '_', `0`), destinationCidrBlock: part(id, '_', `1`)}",
)

ROUTE_TABLE_ASSOCIATION = ResourceType(
    type="aws:ec2/routeTableAssociation:RouteTableAssociation",
    service="ec2",
    create=Call("associate_route_table", fill=True),
    id="result.AssociationId",
    read=(
        Call(
            "describe_route_tables",
            filters({"association.route-table-association-id": "id"}),
            at="find(RouteTables[0].Associations, {RouteTableAssociationId: id})",
        ),
    ),
    delete=(Call("disassociate_route_table", "{AssociationId: id}"),),
    delete_before_replace=True,  # a subnet has one route table at a time
)

ROWS = (VPC, SUBNET, INTERNET_GATEWAY, EIP, NAT_GATEWAY, ROUTE_TABLE, ROUTE, ROUTE_TABLE_ASSOCIATION)
