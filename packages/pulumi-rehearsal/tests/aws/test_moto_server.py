"""Faults of moto that are mended for controllers, seen by boto3."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from pulumi_rehearsal.moto import SimulatedAccount

pytestmark = pytest.mark.account

REGION = "us-east-1"
LONG = 10
"""Seconds of a poll; Karpenter takes 20."""


def test_a_long_poll_keeps_nobody_else_waiting(account: SimulatedAccount) -> None:
    sqs, ec2 = account.client("sqs", REGION), account.client("ec2", REGION)
    queue = sqs.create_queue(QueueName="interruptions")["QueueUrl"]
    answers: list[object] = []
    poll = threading.Thread(
        target=lambda: answers.append(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=LONG).get("Messages"))
    )
    started = time.monotonic()
    poll.start()
    ec2.describe_vpcs()
    assert time.monotonic() - started < LONG / 2
    poll.join()
    assert answers == [None]
    sqs.send_message(QueueUrl=queue, MessageBody="spot")
    assert sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=LONG)["Messages"][0]["Body"] == "spot"


def test_an_alarm_tells_since_when_it_calls(account: SimulatedAccount) -> None:
    watch = account.client("cloudwatch", REGION)

    def called(state: str) -> dict[str, Any]:
        watch.set_alarm_state(AlarmName="both", StateValue=state, StateReason="played")
        return watch.describe_alarms(AlarmNames=["both"], AlarmTypes=["CompositeAlarm"])["CompositeAlarms"][0]

    watch.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(one)")
    first, again = called("ALARM"), called("ALARM")
    assert again["StateUpdatedTimestamp"] > first["StateUpdatedTimestamp"]
    assert again["StateTransitionedTimestamp"] == first["StateTransitionedTimestamp"]
    assert called("OK")["StateTransitionedTimestamp"] > first["StateTransitionedTimestamp"]


def launched(account: SimulatedAccount, cidr: str, purchase: str) -> tuple[Any, str]:
    """An instance of a fleet, as Karpenter starts it, and the group of its template's network interface."""
    ec2 = account.client("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr)["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="nodes", Description="nodes", VpcId=vpc)["GroupId"]
    interface = {"DeviceIndex": 0, "Groups": [group]}
    data = {"ImageId": "ami-00000000000000000", "InstanceType": "g6.12xlarge", "NetworkInterfaces": [interface]}
    ec2.create_launch_template(LaunchTemplateName=vpc, LaunchTemplateData=data)
    specification = {"LaunchTemplateName": vpc, "Version": "$Latest"}
    override = {"SubnetId": subnet, "InstanceType": "g6.12xlarge"}
    made = ec2.create_fleet(
        Type="instant",
        LaunchTemplateConfigs=[{"LaunchTemplateSpecification": specification, "Overrides": [override]}],
        TargetCapacitySpecification={"TotalTargetCapacity": 1, "DefaultTargetCapacityType": purchase},
        TagSpecifications=[{"ResourceType": "spot-instances-request", "Tags": [{"Key": "vpc", "Value": vpc}]}],
    )
    [id] = made["Instances"][0]["InstanceIds"]
    [instance] = ec2.describe_instances(InstanceIds=[id])["Reservations"][0]["Instances"]
    return instance, group


def test_instances_have_the_groups_of_their_templates_network_interface(account: SimulatedAccount) -> None:
    instance, group = launched(account, "10.9.0.0/24", "on-demand")
    assert [one["GroupId"] for one in instance["SecurityGroups"]] == [group]


def test_a_spot_request_goes_with_its_instance(account: SimulatedAccount) -> None:
    ec2 = account.client("ec2", REGION)
    instance, _ = launched(account, "10.9.1.0/24", "spot")
    requests = ec2.describe_spot_instance_requests()["SpotInstanceRequests"]
    assert [one["InstanceId"] for one in requests] == [instance["InstanceId"]]
    ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    assert ec2.describe_spot_instance_requests()["SpotInstanceRequests"] == []


def test_all_instance_types_are_those_of_the_account(account: SimulatedAccount) -> None:
    ec2 = account.client("ec2", REGION)
    pages = ec2.get_paginator("describe_instance_types").paginate()
    assert {one["InstanceType"] for page in pages for one in page["InstanceTypes"]} == {"g6.12xlarge", "m7i.large"}
    [named] = ec2.describe_instance_types(InstanceTypes=["m7i.xlarge"])["InstanceTypes"]
    assert named["VCpuInfo"]["DefaultVCpus"] == 4


def test_managed_prometheus_and_grafana_answer_as_the_sdks_models_say(account: SimulatedAccount) -> None:
    amp, grafana = account.client("amp", REGION), account.client("grafana", REGION)
    names = {"CreateAlertManagerDefinition", "PutAlertManagerDefinition", "DescribeAlertManagerDefinition"}
    names |= {f"{verb}Workspace" for verb in ("Create", "Update", "Describe", "Delete")} | {"ListWorkspaces"}
    answered = set()

    def fits(parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name in names and model.output_shape is not None and "Error" not in parsed:
            told = {key: value for key, value in parsed.items() if key != "ResponseMetadata"}
            validate_parameters(told, model.output_shape)
            answered.add(model.name)

    for client in (amp, grafana):
        client.meta.events.register("after-call", fits)
    made = amp.create_workspace()["workspaceId"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        amp.describe_alert_manager_definition(workspaceId=made)
    amp.create_alert_manager_definition(workspaceId=made, data=b"a: 1")
    amp.put_alert_manager_definition(workspaceId=made, data=b"a: 2")
    assert amp.describe_alert_manager_definition(workspaceId=made)["alertManagerDefinition"]["data"] == b"a: 2"
    access = {"accountAccessType": "CURRENT_ACCOUNT", "permissionType": "CUSTOMER_MANAGED"}
    board = grafana.create_workspace(**access, authenticationProviders=["AWS_SSO"])["workspace"]["id"]
    grafana.update_workspace(workspaceId=board, workspaceDataSources=["PROMETHEUS"])
    assert grafana.describe_workspace(workspaceId=board)["workspace"]["dataSources"] == ["PROMETHEUS"]
    assert board in [one["id"] for one in grafana.list_workspaces()["workspaces"]]
    grafana.delete_workspace(workspaceId=board)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        grafana.describe_workspace(workspaceId=board)
    assert answered == names


def test_a_group_of_cache_subnets_goes_once_no_cache_is_in_it(account: SimulatedAccount) -> None:
    ec2, cache = account.client("ec2", REGION), account.client("elasticache", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    cache.create_cache_subnet_group(
        CacheSubnetGroupName="counters", CacheSubnetGroupDescription="-", SubnetIds=[subnet]
    )
    cache.create_replication_group(
        ReplicationGroupId="counters", ReplicationGroupDescription="-", CacheSubnetGroupName="counters"
    )
    with pytest.raises(ClientError, match="CacheSubnetGroupInUse"):
        cache.delete_cache_subnet_group(CacheSubnetGroupName="counters")
    cache.delete_replication_group(ReplicationGroupId="counters")
    cache.delete_cache_subnet_group(CacheSubnetGroupName="counters")
    with pytest.raises(ClientError, match="CacheSubnetGroupNotFound"):
        cache.describe_cache_subnet_groups(CacheSubnetGroupName="counters")


def test_a_record_is_made_once_and_again_once_it_is_gone(account: SimulatedAccount) -> None:
    route53 = account.client("route53", REGION)
    zone = route53.create_hosted_zone(Name="records.example.com", CallerReference="records")["HostedZone"]["Id"]

    def change(action: str, name: str, value: str = "192.0.2.1") -> None:
        record = {"Name": f"{name}.records.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": value}]}
        changes: Any = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)

    change("CREATE", "api")
    change("CREATE", "later")
    for value in ("192.0.2.1", "192.0.2.2"):
        with pytest.raises(ClientError, match="already exists"):
            change("CREATE", "api", value)
    change("DELETE", "api")
    change("CREATE", "api")
    found = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    assert [one["Name"] for one in found if one["Type"] == "A"] == [
        "api.records.example.com.",
        "later.records.example.com.",
    ]


def test_a_nat_gateway_that_goes_leaves_its_address_to_another(account: SimulatedAccount) -> None:
    ec2 = account.client("ec2", REGION)
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.0.0/24")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]

    def made() -> str:
        return ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]

    first = made()
    with pytest.raises(ClientError, match="already associated"):
        made()
    ec2.delete_nat_gateway(NatGatewayId=first)
    made()
