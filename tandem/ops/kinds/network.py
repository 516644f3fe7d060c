"""Rows: the types.VPC and what is in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tandem import type_tokens as types
from tandem.ops.kinds import left_behind
from tandem.ops.kinds.kind import Found, Item, Listing, ResourceType, Scope, listed


def ours(scope: Scope) -> dict[str, Any]:
    """EC2 filters by our tags."""
    return {"Filters": scope.tag_filters}


def _ours(scope: Scope) -> dict[str, Any]:
    """For the operations that call it `Filter`."""
    return {"Filter": scope.tag_filters}


def _of_parent(name: str) -> Callable[[Scope], dict[str, Any]]:
    return lambda scope: {"Filters": [{"Name": name, "Values": [scope.parent_id]}]}


def _and(carrying_our_tags: Listing, left: Listing, id: str) -> Listing:
    """What carries our tags, then what was left for us without them."""

    def listing(ec2: Any, scope: Scope) -> Iterator[Item]:
        known = set()
        for item in carrying_our_tags(ec2, scope):
            known.add(item[id])
            yield item
        yield from (item for item in left(ec2, scope) if item[id] not in known)

    return listing


def _delete_gateway(ec2: Any, gateway: Found) -> None:
    for attachment in gateway.facts.get("Attachments", ()):
        ec2.detach_internet_gateway(InternetGatewayId=gateway.id, VpcId=attachment["VpcId"])
    ec2.delete_internet_gateway(InternetGatewayId=gateway.id)


def _rule(type_: str, egress: bool, delete: str) -> ResourceType:
    return ResourceType(
        type=type_,
        service="ec2",
        tagging_type="ec2:security-group-rule",
        listing=listed(
            "describe_security_group_rules",
            f"SecurityGroupRules[?IsEgress==`{str(egress).lower()}`]",
            _of_parent("group-id"),
        ),
        id="SecurityGroupRuleId",
        arn="SecurityGroupRuleArn",
        name="SecurityGroupRuleId",
        tags=None,
        parent=types.SECURITY_GROUP,
        delete=lambda ec2, rule: getattr(ec2, delete)(GroupId=rule.parent_id, SecurityGroupRuleIds=[rule.id]),
    )


ROWS = (
    ResourceType(
        type=types.VPC,
        service="ec2",
        tagging_type="ec2:vpc",
        listing=listed("describe_vpcs", "Vpcs", ours),
        id="VpcId",
        after=(
            types.SUBNET,
            types.INTERNET_GATEWAY,
            types.ROUTE_TABLE,
            types.SECURITY_GROUP,
            types.ENDPOINT,
            types.FLOW_LOG,
            types.NAT_GATEWAY,
        ),
        delete=lambda ec2, vpc: ec2.delete_vpc(VpcId=vpc.id),
    ),
    ResourceType(
        type=types.SUBNET,
        service="ec2",
        tagging_type="ec2:subnet",
        listing=listed("describe_subnets", "Subnets", ours),
        id="SubnetId",
        arn="SubnetArn",
        # The interfaces that AWS keeps for these leave the subnet only with them.
        after=(
            types.DATABASE_SUBNETS,
            types.CACHE_SUBNETS,
            types.SERVICE,
            types.NETWORK_INTERFACE,
            types.NAT_GATEWAY,
            types.ENDPOINT,
            types.ROUTE_TABLE_ASSOCIATION,
            types.LOAD_BALANCER,
            types.MOUNT_TARGET,
            types.INSTANCE,
        ),
        delete=lambda ec2, subnet: ec2.delete_subnet(SubnetId=subnet.id),
    ),
    ResourceType(
        type=types.INTERNET_GATEWAY,
        service="ec2",
        tagging_type="ec2:internet-gateway",
        listing=listed("describe_internet_gateways", "InternetGateways", ours),
        id="InternetGatewayId",
        # A gateway cannot leave while a public address of the types.VPC is in use.
        after=(
            types.NAT_GATEWAY,
            types.ADDRESS,
            types.NETWORK_INTERFACE,
            types.LOAD_BALANCER,
            types.INSTANCE,
        ),
        delete=_delete_gateway,
    ),
    ResourceType(
        type=types.ROUTE_TABLE,
        service="ec2",
        tagging_type="ec2:route-table",
        listing=listed("describe_route_tables", "RouteTables[?!not_null(Associations[?Main] | [0])]", ours),
        id="RouteTableId",
        after=(types.ROUTE_TABLE_ASSOCIATION, types.ROUTE, types.ENDPOINT),
        delete=lambda ec2, table: ec2.delete_route_table(RouteTableId=table.id),
    ),
    ResourceType(
        type=types.ROUTE,
        service="ec2",
        # Not the types.VPC's own route, and not those that a gateway endpoint keeps.
        listing=listed(
            "describe_route_tables",
            "RouteTables[0].Routes[?Origin=='CreateRoute' && GatewayId!='local' && DestinationCidrBlock]",
            _of_parent("route-table-id"),
        ),
        id="join('_', [parent, DestinationCidrBlock])",
        name="DestinationCidrBlock",
        tags=None,
        parent=types.ROUTE_TABLE,
        delete=lambda ec2, route: ec2.delete_route(RouteTableId=route.parent_id, DestinationCidrBlock=route.name),
        state_id="join('_', [outputs.routeTableId, outputs.destinationCidrBlock])",
    ),
    ResourceType(
        type=types.ROUTE_TABLE_ASSOCIATION,
        service="ec2",
        listing=listed(
            "describe_route_tables", "RouteTables[0].Associations[?!Main && SubnetId]", _of_parent("route-table-id")
        ),
        id="RouteTableAssociationId",
        name="SubnetId",
        tags=None,
        parent=types.ROUTE_TABLE,
        delete=lambda ec2, association: ec2.disassociate_route_table(AssociationId=association.id),
    ),
    ResourceType(
        type=types.NAT_GATEWAY,
        service="ec2",
        tagging_type="ec2:natgateway",
        listing=listed("describe_nat_gateways", "NatGateways[?State!='deleted' && State!='failed']", _ours),
        id="NatGatewayId",
        created="CreateTime",
        delete=lambda ec2, nat: ec2.delete_nat_gateway(NatGatewayId=nat.id),
    ),
    ResourceType(
        type=types.ADDRESS,
        service="ec2",
        tagging_type="ec2:elastic-ip",
        listing=listed("describe_addresses", "Addresses", ours),
        id="AllocationId",
        after=(types.NAT_GATEWAY, types.NETWORK_INTERFACE),
        delete=lambda ec2, address: ec2.release_address(AllocationId=address.id),
    ),
    ResourceType(
        type=types.ENDPOINT,
        service="ec2",
        tagging_type="ec2:vpc-endpoint",
        listing=listed("describe_vpc_endpoints", "VpcEndpoints[?State!='deleted']", ours),
        id="VpcEndpointId",
        created="CreationTimestamp",
        delete=lambda ec2, endpoint: ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint.id]),
    ),
    ResourceType(
        type=types.SECURITY_GROUP,
        service="ec2",
        tagging_type="ec2:security-group",
        listing=_and(
            listed("describe_security_groups", "SecurityGroups[?GroupName!='default']", ours),
            left_behind.security_groups,
            "GroupId",
        ),
        id="GroupId",
        arn="SecurityGroupArn",
        # Groups that name each other cannot go before their rules; by them target groups are found in others' networks.
        after=(
            types.TARGET_GROUP,
            types.INGRESS_RULE,
            types.EGRESS_RULE,
            types.NETWORK_INTERFACE,
            types.DATABASE,
            types.CACHE,
            types.SERVICE,
            types.ENDPOINT,
            types.LOAD_BALANCER,
            types.MOUNT_TARGET,
            types.INSTANCE,
            types.LAUNCH_TEMPLATE,
        ),
        delete=lambda ec2, group: ec2.delete_security_group(GroupId=group.id),
    ),
    _rule(types.INGRESS_RULE, False, "revoke_security_group_ingress"),
    _rule(types.EGRESS_RULE, True, "revoke_security_group_egress"),
    ResourceType(
        type=types.FLOW_LOG,
        service="ec2",
        tagging_type="ec2:vpc-flow-log",
        listing=listed("describe_flow_logs", "FlowLogs", _ours),
        id="FlowLogId",
        created="CreationTime",
        delete=lambda ec2, log: ec2.delete_flow_logs(FlowLogIds=[log.id]),
    ),
    ResourceType(
        type=types.NETWORK_INTERFACE,
        service="ec2",
        tagging_type="ec2:network-interface",
        listing=_and(
            listed("describe_network_interfaces", "NetworkInterfaces", ours),
            left_behind.interfaces,
            "NetworkInterfaceId",
        ),
        id="NetworkInterfaceId",
        name="TagSet[?Key=='Name'].Value | [0]",
        tags=lambda _ec2, item: {tag["Key"]: tag["Value"] for tag in item.get("TagSet", ())},
        after=(types.NAT_GATEWAY, types.ENDPOINT, types.INSTANCE),
        delete=lambda ec2, interface: ec2.delete_network_interface(NetworkInterfaceId=interface.id),
        program=False,
    ),
)
