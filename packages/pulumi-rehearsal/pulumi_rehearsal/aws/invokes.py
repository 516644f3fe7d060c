"""Data sources of the aws provider: one row a function.

Stands for: data sources of pulumi-resource-aws.
Held by: nothing, their answers were written after the provider's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi_rehearsal.aws.account import AwsError, Region
from pulumi_rehearsal.aws.expressions import evaluate
from pulumi_rehearsal.aws.lifecycle import without_nulls
from pulumi_rehearsal.aws.row import Text
from pulumi_rehearsal.plugin import ProviderError
from pulumi_rehearsal.wire import Properties, Secret


@dataclass(frozen=True)
class Function:
    """How a data source is answered. Expressions can name `args`, `region`, `account`, `partition` and `response`.

    Attributes:
        service, operation: the boto3 call; none when the answer needs none.
        params: expression for its parameters.
        at: expression for what was found, which the outputs call `found`; empty is an error.
        outputs: expressions, or `Text`, by output.
        secrets: outputs that are secret.
    """

    outputs: Mapping[str, str]
    service: str = ""
    operation: str = ""
    params: str = "`{}`"
    at: str = "response"
    secrets: tuple[str, ...] = field(default=())


_FILTERS = "args.filters[*].{Name: name, Values: values}"
_WITH_TAGS = "{Filters: pairs(args.tags)[*].{Name: join('', ['tag:', Key]), Values: [Value]}}"

INVOKES: Mapping[str, Function] = {
    "aws:index/getCallerIdentity:getCallerIdentity": Function(
        service="sts",
        operation="get_caller_identity",
        outputs={"id": "account", "accountId": "account", "arn": "found.Arn", "userId": "found.UserId"},
    ),
    "aws:index/getRegion:getRegion": Function(
        service="ec2",
        operation="describe_regions",
        params="{RegionNames: [args.region || region]}",
        at="Regions[0]",
        outputs={
            "id": "found.RegionName",
            "name": "found.RegionName",
            "region": "found.RegionName",
            "endpoint": "found.Endpoint",
            "description": "found.RegionName",
        },
    ),
    "aws:index/getPartition:getPartition": Function(
        outputs={
            "id": "partition",
            "partition": "partition",
            "dnsSuffix": "'amazonaws.com'",
            "reverseDnsPrefix": "'com.amazonaws'",
        },
    ),
    "aws:index/getAvailabilityZones:getAvailabilityZones": Function(
        service="ec2",
        operation="describe_availability_zones",
        params=f"{{AllAvailabilityZones: args.allAvailabilityZones, Filters: {_FILTERS}}}",
        at="sort_by(AvailabilityZones, &ZoneName)",
        outputs={
            "id": "region",
            "region": "region",
            "names": "minus(found[*].ZoneName, args.excludeNames)",
            "zoneIds": "found[*].ZoneId",
            "groupNames": "found[*].GroupName",
            "state": "args.state",
        },
    ),
    "aws:ssm/getParameter:getParameter": Function(
        service="ssm",
        operation="get_parameter",
        params="{Name: args.name, WithDecryption: `true`}",
        at="Parameter",
        outputs={
            "id": "found.Name",
            "name": "found.Name",
            "arn": "found.ARN",
            "type": "found.Type",
            "value": "found.Value",
            "insecureValue": "found.Type != 'SecureString' && found.Value || `null`",
            "version": "found.Version",
            "withDecryption": "`true`",
            "region": "region",
        },
        secrets=("value",),
    ),
    "aws:ssm/getParametersByPath:getParametersByPath": Function(
        service="ssm",
        operation="get_parameters_by_path",
        params="{Path: args.path, WithDecryption: `true`, Recursive: args.recursive}",
        outputs={
            "id": "args.path",
            "arns": "found.Parameters[*].ARN",
            "names": "found.Parameters[*].Name",
            "types": "found.Parameters[*].Type",
            "values": "found.Parameters[*].Value",
            "region": "region",
        },
        secrets=("values",),
    ),
    # Auto Scaling groups, under the name that the first version of the data source had in Pulumi's table
    "aws:autoscaling/getAmiIds:getAmiIds": Function(
        service="autoscaling",
        operation="describe_auto_scaling_groups",
        params=f"{{AutoScalingGroupNames: args.names, Filters: {_FILTERS}}}",
        outputs={
            "id": "region",
            "arns": "found.AutoScalingGroups[*].AutoScalingGroupARN",
            "names": "found.AutoScalingGroups[*].AutoScalingGroupName",
            "region": "region",
        },
    ),
    "aws:eks/getClusters:getClusters": Function(
        service="eks",
        operation="list_clusters",
        outputs={"id": "region", "names": "found.clusters", "region": "region"},
    ),
    "aws:eks/getCluster:getCluster": Function(
        service="eks",
        operation="describe_cluster",
        params="{name: args.name}",
        at="cluster",
        outputs={
            "id": "found.name",
            "name": "found.name",
            "arn": "found.arn",
            "endpoint": "found.endpoint",
            "roleArn": "found.roleArn",
            "status": "found.status",
            "tags": "found.tags",
            "version": "found.version",
            "certificateAuthorities": "[found.certificateAuthority.{data: data}]",
            "kubernetesNetworkConfigs": "[{ipFamily: found.kubernetesNetworkConfig.ipFamily || 'ipv4'}]",
            "vpcConfig": "found.resourcesVpcConfig.{subnetIds: subnetIds, endpointPublicAccess: endpointPublicAccess, "
            "endpointPrivateAccess: endpointPrivateAccess, publicAccessCidrs: publicAccessCidrs, vpcId: vpcId, "
            "clusterSecurityGroupId: clusterSecurityGroupId}",
            "region": "region",
        },
    ),
    "aws:eks/getNodeGroups:getNodeGroups": Function(
        service="eks",
        operation="list_nodegroups",
        params="{clusterName: args.clusterName}",
        outputs={"id": "args.clusterName", "names": "found.nodegroups", "region": "region"},
    ),
    "aws:eks/getNodeGroup:getNodeGroup": Function(
        service="eks",
        operation="describe_nodegroup",
        params="{clusterName: args.clusterName, nodegroupName: args.nodeGroupName}",
        at="nodegroup",
        outputs={
            "id": "join(':', [args.clusterName, args.nodeGroupName])",
            "arn": "found.nodegroupArn",
            "status": "found.status",
            "amiType": "found.amiType",
            "capacityType": "found.capacityType",
            "instanceTypes": "found.instanceTypes",
            "subnetIds": "found.subnets",
            "region": "region",
        },
    ),
    "aws:ec2/getSubnet:getSubnet": Function(
        service="ec2",
        operation="describe_subnets",
        params="{SubnetIds: [args.id]}",
        at="Subnets[0]",
        outputs={
            "id": "found.SubnetId",
            "arn": "found.SubnetArn",
            "availabilityZone": "found.AvailabilityZone",
            "availabilityZoneId": "found.AvailabilityZoneId",
            "cidrBlock": "found.CidrBlock",
            "vpcId": "found.VpcId",
            "region": "region",
        },
    ),
    "aws:ec2/getSecurityGroups:getSecurityGroups": Function(
        service="ec2",
        operation="describe_security_groups",
        params=_WITH_TAGS,
        outputs={
            "id": "region",
            "arns": "found.SecurityGroups[*].SecurityGroupArn",
            "ids": "found.SecurityGroups[*].GroupId",
            "vpcIds": "found.SecurityGroups[*].VpcId",
            "region": "region",
        },
    ),
    "aws:ec2/getVpcs:getVpcs": Function(
        service="ec2",
        operation="describe_vpcs",
        params=_WITH_TAGS,
        outputs={"id": "region", "ids": "found.Vpcs[*].VpcId", "region": "region"},
    ),
    "aws:ec2/getVpc:getVpc": Function(
        service="ec2",
        operation="describe_vpcs",
        params="{VpcIds: [args.id]}",
        at="Vpcs[0]",
        outputs={
            "id": "found.VpcId",
            "cidrBlock": "found.CidrBlock",
            "dhcpOptionsId": "found.DhcpOptionsId",
            "region": "region",
        },
    ),
    "aws:ec2/getVpcDhcpOptions:getVpcDhcpOptions": Function(
        service="ec2",
        operation="describe_dhcp_options",
        params="{DhcpOptionsIds: [args.dhcpOptionsId]}",
        at="DhcpOptions[0]",
        outputs={
            "id": "found.DhcpOptionsId",
            "domainNameServers": "found.DhcpConfigurations[?Key == 'domain-name-servers'].Values[].Value",
            "region": "region",
        },
    ),
    "aws:route53/getZone:getZone": Function(
        service="route53",
        operation="list_hosted_zones",
        # Route 53 ends names with a dot
        at="find(HostedZones[*].{Id: part(Id, '/', `-1`), Name: without_dot(Name), Comment: Config.Comment, "
        "Private: Config.PrivateZone, Count: ResourceRecordSetCount, Reference: CallerReference}, "
        "{Id: args.zoneId, Name: without_dot(args.name), Private: args.privateZone})",
        outputs={
            "id": "found.Id",
            "zoneId": "found.Id",
            "name": "found.Name",
            "arn": Text("arn:{partition}:route53:::hostedzone/{found[Id]}"),
            "callerReference": "found.Reference",
            "comment": "found.Comment",
            "privateZone": "found.Private",
            "resourceRecordSetCount": "found.Count",
        },
    ),
    "aws:ec2/getAmi:getAmi": Function(
        service="ec2",
        operation="describe_images",
        params=f"{{Owners: args.owners, Filters: {_FILTERS}, ExecutableUsers: args.executableUsers}}",
        at="sort_by(Images, &CreationDate)[-1]",
        outputs={
            "id": "found.ImageId",
            "imageId": "found.ImageId",
            "name": "found.Name",
            "arn": Text("arn:{partition}:ec2:{region}::image/{found[ImageId]}"),
            "architecture": "found.Architecture",
            "creationDate": "found.CreationDate",
            "description": "found.Description",
            "ownerId": "found.OwnerId",
            "rootDeviceName": "found.RootDeviceName",
            "state": "found.State",
            "virtualizationType": "found.VirtualizationType",
            "region": "region",
        },
    ),
}


def invoke(token: str, region: Region, args: Properties) -> Properties:
    """Answers a data source.

    Raises:
        ProviderError: it is not in the table, or AWS refused.
    """
    function = INVOKES.get(token)
    if function is None:
        raise ProviderError(f"{token} is not simulated by the rehearsal: add a row to pulumi_rehearsal/aws/invokes.py")
    scope: dict[str, Any] = {
        "args": args,
        "region": region.name,
        "account": region.account_id,
        "partition": region.partition,
    }
    response: dict[str, Any] = {}
    if function.operation:
        params = without_nulls(evaluate(function.params, scope))
        response = region.call(function.service, function.operation, **params)
    found = evaluate(function.at, {**scope, **response, "response": response})
    if function.operation and not found:
        wanted = re.sub(r"(?<!^)(?=[A-Z])", " ", token.rpartition(":get")[2])
        raise AwsError(region.label(function.service, function.operation), "NotFound", f"no matching {wanted} found")
    answer = {name: evaluate(expression, {**scope, "found": found}) for name, expression in function.outputs.items()}
    return args | {name: Secret(value) if name in function.secrets else value for name, value in answer.items()}
