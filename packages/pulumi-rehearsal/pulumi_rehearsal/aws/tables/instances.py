"""Single instances. Fleets and their templates are in compute.py."""

from __future__ import annotations

from pulumi_rehearsal.aws.phrases import ec2_tags
from pulumi_rehearsal.aws.row import Call, ResourceType, Text

_THERE = "[{Name: 'instance-state-name', Values: ['pending', 'running', 'stopping', 'stopped']}]"
"""An ended instance is shown for an hour, and is gone for the provider."""

INSTANCE = ResourceType(
    type="aws:ec2/instance:Instance",
    service="ec2",
    create=Call("run_instances", "{MinCount: `1`, MaxCount: `1`}", fill=True),
    id="result.Instances[0].InstanceId",
    read=Call("describe_instances", f"{{InstanceIds: [id], Filters: {_THERE}}}", at="Reservations[0].Instances[0]"),
    delete=Call("terminate_instances", "{InstanceIds: [id]}"),
    tags=ec2_tags("instance"),
    names={"ami": "ImageId", "vpcSecurityGroupIds": "SecurityGroupIds"},
    outputs={
        "arn": Text("arn:{partition}:ec2:{region}:{account}:instance/{id}"),
        "vpcSecurityGroupIds": "found.SecurityGroups[].GroupId",
        "privateIp": "found.PrivateIpAddress",
        "privateDns": "found.PrivateDnsName",
        "instanceState": "found.State.Name",
    },
)

ROWS = (INSTANCE,)
