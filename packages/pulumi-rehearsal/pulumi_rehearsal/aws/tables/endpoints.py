"""VPC endpoints and flow logs."""

from __future__ import annotations

from pulumi_rehearsal.aws.phrases import ec2_tags, recorded
from pulumi_rehearsal.aws.row import Call, Change, ResourceType, Text, change


def _set_change(name: str, member: str) -> Change:
    """Members of a set are added and removed."""
    return change(
        name,
        by=Call(
            "modify_vpc_endpoint",
            f"{{VpcEndpointId: id, Add{member}: minus(inputs.{name}, old.{name}), "
            f"Remove{member}: minus(old.{name}, inputs.{name})}}",
        ),
        on_create=False,
    )


VPC_ENDPOINT = ResourceType(
    type="aws:ec2/vpcEndpoint:VpcEndpoint",
    service="ec2",
    create=Call("create_vpc_endpoint", fill=True),
    id="result.VpcEndpoint.VpcEndpointId",
    read=Call("describe_vpc_endpoints", "{VpcEndpointIds: [id]}", at="VpcEndpoints[?State != 'deleted'] | [0]"),
    changes=(
        _set_change("subnetIds", "SubnetIds"),
        _set_change("routeTableIds", "RouteTableIds"),
        _set_change("securityGroupIds", "SecurityGroupIds"),
        change(
            "policy",
            by=Call("modify_vpc_endpoint", "{VpcEndpointId: id, PolicyDocument: inputs.policy}"),
            on_create=False,
        ),
        change(
            "dnsOptions", "ipAddressType", "privateDnsEnabled", by=recorded("ec2:ModifyVpcEndpoint"), on_create=False
        ),
    ),
    delete=Call("delete_vpc_endpoints", "{VpcEndpointIds: [id]}"),
    tags=ec2_tags("vpc-endpoint"),
    outputs={
        "arn": Text("arn:{partition}:ec2:{region}:{account}:vpc-endpoint/{id}"),
        "ownerId": "account",
        "securityGroupIds": "found.Groups[*].GroupId",
        "state": "'available'",
    },
    names={"policy": "PolicyDocument"},
    # moto's ModifyVpcEndpoint leaves these as they are
    unread=("dnsOptions", "ipAddressType", "privateDnsEnabled"),
    provider_only=("autoAccept",),
)

FLOW_LOG = ResourceType(
    type="aws:ec2/flowLog:FlowLog",
    service="ec2",
    create=Call(
        "create_flow_logs",
        "{ResourceIds: [inputs.vpcId || inputs.subnetId || inputs.eniId], "
        "ResourceType: inputs.vpcId && 'VPC' || inputs.subnetId && 'Subnet' || 'NetworkInterface', "
        "DeliverLogsPermissionArn: inputs.iamRoleArn}",
        fill=True,
    ),
    id="result.FlowLogIds[0]",
    read=Call("describe_flow_logs", "{FlowLogIds: [id]}", at="FlowLogs[0]"),
    delete=Call("delete_flow_logs", "{FlowLogIds: [id]}"),
    tags=ec2_tags("vpc-flow-log"),
    outputs={
        "arn": Text("arn:{partition}:ec2:{region}:{account}:vpc-flow-log/{id}"),
        "iamRoleArn": "found.DeliverLogsPermissionArn",
        "vpcId": "starts_with(found.ResourceId, 'vpc-') && found.ResourceId || `null`",
        "subnetId": "starts_with(found.ResourceId, 'subnet-') && found.ResourceId || `null`",
        "eniId": "starts_with(found.ResourceId, 'eni-') && found.ResourceId || `null`",
    },
)

ROWS = (VPC_ENDPOINT, FLOW_LOG)
