"""The moto server (`python -m pulumi_rehearsal.moto_server`): one request at a time, and faults of moto 5.2.5 mended.

moto changes shared dictionaries from many threads and answers 500 when two meet, or when one meets a service that is
half loaded. Python runs one thread at a time anyhow, so nothing is lost.

Stands for: AWS, where moto 5.2.5 answers otherwise: template versions, hosted zones, node groups, mixed instances.
Held by: nothing, each fault is mended after AWS's documentation, which the functions name.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.server import main

from pulumi_rehearsal.cache_subnets import with_deletion_of_cache_subnets
from pulumi_rehearsal.eks import with_eks_parts
from pulumi_rehearsal.instance_refresh import with_instance_refreshes
from pulumi_rehearsal.instance_types import OF_THE_ACCOUNT
from pulumi_rehearsal.managed import with_managed_prometheus_and_grafana
from pulumi_rehearsal.moto_speed import quicker
from pulumi_rehearsal.rebalancing import with_rebalancing

POLL_SECONDS = 1.0

ONE_AT_A_TIME = threading.Lock()


def one_request_at_a_time() -> None:
    """Puts a lock around the application."""
    answer = DomainDispatcherApplication.__call__

    def locked(self: DomainDispatcherApplication, environ: Any, start_response: Any) -> Any:
        with ONE_AT_A_TIME:
            return answer(self, environ, start_response)

    DomainDispatcherApplication.__call__ = locked


def launchable_versions() -> None:
    """moto keeps the user data of every launch template version but the first as the text that was sent, from which no
    instance can be launched; and it launches without the groups that a version gives to a network interface:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceSpecification.html."""
    from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
    from moto.ec2.utils import parse_user_data

    create_version = LaunchTemplate.create_version

    def with_user_data(self: LaunchTemplate, data: dict[str, Any], description: str) -> LaunchTemplateVersion:
        groups = [group for interface in data.get("NetworkInterfaces") or [] for group in interface.get("Groups") or []]
        data = {"GroupSet": groups} | data if groups else data
        if self.versions and data.get("UserData"):
            data = data | {"UserData": parse_user_data(data["UserData"])}
        return create_version(self, data, description)

    LaunchTemplate.create_version = with_user_data


def templates_with_todays_tags() -> None:
    """moto shows the tags that a launch template was born with, whatever was done to them since."""
    from moto.ec2.models.launch_templates import LaunchTemplate

    born = property(lambda self: self.get_tags(), lambda _self, _tags: None)
    setattr(LaunchTemplate, "tags", born)  # noqa: B010  (a plain attribute there)


def images_with_tagged_snapshots() -> None:
    """EC2 tags the snapshots of an image in the call that makes both, which moto refuses:
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateImage.html."""
    from moto.ec2.models.amis import AmiBackend

    create_image = AmiBackend.create_image

    def tagged(self: AmiBackend, instance_id: str, name: str, description: str, tag_specifications: list[Any]) -> Any:
        own = [one for one in tag_specifications if one["ResourceType"] != "snapshot"]
        image: Any = create_image(self, instance_id, name, description, own)
        for one in tag_specifications:
            if one["ResourceType"] == "snapshot":
                image.ebs_snapshot.add_tags({tag["Key"]: tag["Value"] for tag in one["Tags"]})
        return image

    AmiBackend.create_image = tagged


def schedule_groups_that_are_gone() -> None:
    """EventBridge Scheduler answers ResourceNotFoundException; moto fails
    (https://docs.aws.amazon.com/scheduler/latest/APIReference/API_DeleteScheduleGroup.html)."""
    from moto.scheduler.models import EventBridgeSchedulerBackend

    delete = EventBridgeSchedulerBackend.delete_schedule_group

    def found_first(self: EventBridgeSchedulerBackend, name: str | None) -> None:
        self.get_schedule_group(name)
        delete(self, name)

    EventBridgeSchedulerBackend.delete_schedule_group = found_first


def secrets_by_their_current_version() -> None:
    """Who names no version gets the one that is AWSCURRENT; moto gives the one that was so before its label was moved:
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html.

    Stands for: GetSecretValue without a version, once UpdateSecretVersionStage has moved the label.
    Held by: tests/ops/test_keys.py::test_servers_read_what_was_written_last
    """
    from moto.secretsmanager.models import SecretsManagerBackend

    update = SecretsManagerBackend.update_secret_version_stage

    def moved(
        self: SecretsManagerBackend,
        secret_id: str,
        version_stage: str,
        remove_from_version_id: str,
        move_to_version_id: str,
    ) -> tuple[str, str]:
        names = update(self, secret_id, version_stage, remove_from_version_id, move_to_version_id)
        if version_stage == "AWSCURRENT" and move_to_version_id:
            secret: Any = self.secrets[secret_id]
            secret.set_default_version_id(move_to_version_id)
        return names

    SecretsManagerBackend.update_secret_version_stage = moved


def alarms_of_alarms() -> None:
    """CloudWatch keeps composite alarms; moto has what they are, and no call that makes one:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html.
    Nor does it tell when an alarm's state last became another."""
    from moto.cloudwatch.models import Alarm
    from moto.cloudwatch.responses import CloudWatchResponse

    setattr(CloudWatchResponse, "put_composite_alarm", CloudWatchResponse.put_metric_alarm)  # noqa: B010  not there
    update = Alarm.update_state

    def timed(self: Any, reason: str, reason_data: str, state_value: str) -> None:
        other = state_value != self.state_value
        update(self, reason, reason_data, state_value)
        if other:
            self.state_transitioned_timestamp = self.state_updated_timestamp

    Alarm.update_state = timed


def groups_with_their_warm_up() -> None:
    """moto's groups forget DefaultInstanceWarmup, by which scaling policies count; -1 takes it away:
    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html."""
    from moto.autoscaling.responses import AutoScalingResponse

    for name in ("create_auto_scaling_group", "update_auto_scaling_group"):
        done = getattr(AutoScalingResponse, name)

        def keeping(self: AutoScalingResponse, done: Callable[..., Any] = done) -> Any:
            answer, seconds = done(self), self._get_int_param("DefaultInstanceWarmup")
            if seconds is not None:
                group: Any = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
                group.default_instance_warmup = None if seconds < 0 else seconds
            return answer

        setattr(AutoScalingResponse, name, keeping)


def zone_ids_that_begin_with_z() -> None:
    """AWS's do (https://docs.aws.amazon.com/Route53/latest/APIReference/API_HostedZone.html), and settings insist."""
    from moto.route53 import models

    made = models.create_route53_zone_id
    models.create_route53_zone_id = lambda **named: f"Z{made(**named)[1:]}"


def records_that_are_there() -> None:
    """Route 53 makes no second record of a name and type. moto makes one where its target differs, and refuses one that
    was there before and is gone, where the zone has a later name.

    Stands for: Route 53's ChangeResourceRecordSets
    (https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html).
    Held by: tests/aws/test_moto_server.py::test_a_record_is_made_once_and_again_once_it_is_gone
    """
    from moto.route53.exceptions import ResourceRecordAlreadyExists
    from moto.route53.models import Route53Backend

    change = Route53Backend.change_resource_record_sets

    def checked(self: Route53Backend, zoneid: str, change_list: list[dict[str, Any]]) -> None:
        there = {(one.name.rstrip("."), one.type, one.set_identifier) for one in self.get_hosted_zone(zoneid).rrsets}
        for one in change_list:
            record = one["ResourceRecordSet"]
            name = record["Name"].rstrip(".")
            if one["Action"] == "CREATE":
                if (name, record["Type"], record.get("SetIdentifier")) in there:
                    raise ResourceRecordAlreadyExists(name=f"{name}.", _type=record["Type"])
                one["Action"] = "UPSERT"
        change(self, zoneid, change_list)

    Route53Backend.change_resource_record_sets = checked


def zones_in_order() -> None:
    """moto lists the zones of a name, and not those that follow it in Route 53's order, by labels from the last on.

    Stands for: Route 53's ListHostedZonesByName.
    Held by: tests/ops/test_kind.py::test_zones_are_listed_from_a_name_on
    """
    from moto.route53.models import FakeZone, Route53Backend

    def order(name: str) -> list[str]:
        return name.rstrip(".").split(".")[::-1]

    def listed(self: Route53Backend, dnsname: str | None) -> tuple[str | None, list[FakeZone]]:
        zones = sorted(self.zones.values(), key=lambda zone: order(zone.name))
        return dnsname, [zone for zone in zones if not dnsname or order(zone.name) >= order(dnsname)]

    Route53Backend.list_hosted_zones_by_name = listed


def firewalls_and_clusters_by_tags() -> None:
    """moto's tagging API knows neither.

    Stands for: GetResources of the Resource Groups Tagging API, on web ACLs, clusters and node groups.
    Held by: tests/ops/test_kind.py::test_the_tagging_api_names_what_it_names_on_aws
    """
    from moto.core.resource_tagging import TaggableResourcesMixin, TaggedResource
    from moto.eks.models import EKSBackend
    from moto.wafv2.models import WAFV2Backend

    class Firewalls(TaggableResourcesMixin):
        SERVICE_NAMESPACE = "wafv2"

        def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
            for arn in self.wacls:
                tags = self.tagging_service.get_tag_dict_for_resource(arn)
                yield TaggedResource(arn=arn, tags=tags, resource_type="wafv2")  # known as a whole only

    class Clusters(TaggableResourcesMixin):
        SERVICE_NAMESPACE = "eks"

        def iter_tagged_resources(self: Any) -> Iterator[TaggedResource]:
            for cluster in self.clusters.values():
                yield TaggedResource(arn=cluster.arn, tags=cluster.tags or {}, resource_type="eks:cluster")
                for group in cluster.nodegroups.values():
                    yield TaggedResource(arn=group.arn, tags=group.tags or {}, resource_type="eks:nodegroup")

    WAFV2Backend.__bases__ += (Firewalls,)
    EKSBackend.__bases__ += (Clusters,)


def networks_of_clusters() -> None:
    """moto tells of a cluster's network only what it was given: neither its VPC, nor the group that EKS makes there."""
    from moto.ec2.models import ec2_backends
    from moto.eks.models import Cluster, EKSBackend

    described = EKSBackend.describe_cluster

    def with_network(self: EKSBackend, name: str) -> Cluster:
        cluster = described(self, name)
        named = {"group-name": [f"eks-cluster-sg-{name}"]}
        for group in ec2_backends[self.account_id][self.region_name].describe_security_groups(filters=named):
            own = {"vpcId": group.vpc_id, "clusterSecurityGroupId": group.id}
            cluster.resources_vpc_config = {**cluster.resources_vpc_config, **own}
        return cluster

    EKSBackend.describe_cluster = with_network


def clusters_that_are_gone() -> None:
    """moto answers 500, not ResourceNotFoundException, when asked for the node groups of a cluster that is gone."""
    from moto.eks.exceptions import ResourceNotFoundException
    from moto.eks.models import EKSBackend

    listed = EKSBackend.list_nodegroups

    def or_refused(self: EKSBackend, cluster_name: str, *args: Any, **kwargs: Any) -> Any:
        if cluster_name not in self.clusters:
            raise ResourceNotFoundException(clusterName=cluster_name, message="No cluster found for this name.")
        return listed(self, cluster_name, *args, **kwargs)

    EKSBackend.list_nodegroups = or_refused


def policies_that_stay() -> None:
    """moto takes a group's mixed instances policy away with each update that does not mention it."""
    from moto.autoscaling.models import FakeAutoScalingGroup

    update = FakeAutoScalingGroup.update

    def keeping(self: FakeAutoScalingGroup, *args: Any, **changes: Any) -> None:
        mentioned = any(changes[name] for name in ("launch_config_name", "launch_template", "mixed_instances_policy"))
        if self.mixed_instances_policy and not mentioned:
            changes["mixed_instances_policy"] = kept = deepcopy(self.mixed_instances_policy)
            kept["LaunchTemplate"]["LaunchTemplateSpecification"].pop("LaunchTemplateName", None)
        update(self, *args, **changes)

    FakeAutoScalingGroup.update = keeping


def budgets_with_tags() -> None:
    """moto's budgets have no tags.

    Stands for: TagResource, UntagResource and ListTagsForResource of AWS Budgets, and tags in CreateBudget.
    Held by: tests/ops/test_kind.py::test_a_budget_is_ours_by_its_own_tags
    """
    from moto.budgets.responses import BudgetsResponse

    create_budget = BudgetsResponse.create_budget

    def tags(self: BudgetsResponse) -> dict[str, str]:
        named = (self._get_param("Budget") or {}).get("BudgetName")
        own = self._get_param("ResourceARN") or f"arn:aws:budgets::{self._get_param('AccountId')}:budget/{named}"
        return vars(self.backend).setdefault("tags", {}).setdefault(own, {})

    def tag(self: BudgetsResponse) -> str:
        tags(self).update({tag["Key"]: tag["Value"] for tag in self._get_param("ResourceTags") or []})
        return "{}"

    def create(self: BudgetsResponse) -> str:
        create_budget(self)
        return tag(self)

    def untag(self: BudgetsResponse) -> str:
        for key in self._get_param("ResourceTagKeys"):
            tags(self).pop(key, None)
        return "{}"

    def list_tags(self: BudgetsResponse) -> str:
        return json.dumps({"ResourceTags": [{"Key": key, "Value": value} for key, value in tags(self).items()]})

    BudgetsResponse.create_budget = create
    for name, operation in (("tag_resource", tag), ("untag_resource", untag), ("list_tags_for_resource", list_tags)):
        setattr(BudgetsResponse, name, operation)


def requests_over_tls() -> None:
    """moto holds what a bucket's policy denies against every request, whatever the condition.

    Stands for: S3, whose clients come with TLS, before a policy that denies what comes without.
    Held by: tests/ops/test_bucket_policy.py::test_a_denial_without_tls_is_none_with_it
    """
    from moto.iam.access_control import IAMPolicyStatement, PermissionResult

    decide = IAMPolicyStatement.is_action_permitted

    def decided(self: IAMPolicyStatement, *args: Any, **named: Any) -> PermissionResult:
        without_tls = self._statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        return PermissionResult.NEUTRAL if without_tls else decide(self, *args, **named)

    IAMPolicyStatement.is_action_permitted = decided


def buckets_born_with_tags() -> None:
    """moto drops the tags of CreateBucket (https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html)."""
    import xmltodict
    from moto.s3.responses import S3Response

    put = S3Response._bucket_response_put

    def tagged(self: S3Response, request: Any, bucket_name: str, querystring: dict[str, Any]) -> Any:
        answer = put(self, request, bucket_name, querystring)
        if not querystring and self.body:
            said = xmltodict.parse(self.body, force_list=("Tag",))["CreateBucketConfiguration"]
            if tags := (said.get("Tags") or {}).get("Tag"):
                self.backend.put_bucket_tagging(bucket_name, {tag["Key"]: tag["Value"] for tag in tags})
        return answer

    S3Response._bucket_response_put = tagged


def buckets_born_closed() -> None:
    """A bucket is born with all public access blocked; moto's is open
    (https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html)."""
    from moto.s3.models import FakeBucket, PublicAccessBlock

    born = FakeBucket.__init__

    def closed(self: FakeBucket, *args: Any, **named: Any) -> None:
        born(self, *args, **named)
        block = PublicAccessBlock("true", "true", "true", "true")
        self.public_access_block = block  # pyright: ignore[reportAttributeAccessIssue] (it is a plain model to moto)

    FakeBucket.__init__ = closed


def queues_that_keep_nobody_waiting() -> None:
    """A long poll waits within moto, and here everybody else would wait with it, for the requests of all follow one
    another: it is answered at once, a second later where there is nothing
    (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html).

    Stands for: SQS's long polls.
    Held by: tests/aws/test_moto_server.py::test_a_long_poll_keeps_nobody_else_waiting
    """
    from moto.sqs.models import SQSBackend

    answer, receive = DomainDispatcherApplication.__call__, SQSBackend.receive_message

    def polled(self: DomainDispatcherApplication, environ: Any, start_response: Any) -> Any:
        found = answer(self, environ, start_response)
        if environ.get("HTTP_X_AMZ_TARGET") == "AmazonSQS.ReceiveMessage":
            found = [b"".join(found)]
            if b'"Messages"' not in found[0]:
                time.sleep(POLL_SECONDS)
        return found

    def at_once(
        self: SQSBackend, queue_name: str, count: int, wait_seconds_timeout: int, *args: Any, **named: Any
    ) -> Any:
        del wait_seconds_timeout
        return receive(self, queue_name, count, 0, *args, **named)

    DomainDispatcherApplication.__call__ = polled
    SQSBackend.receive_message = at_once


def nat_gateways_that_let_go() -> None:
    """A NAT gateway that is deleted frees its address for another one; moto keeps them together
    (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNatGateway.html).

    Stands for: EC2's DeleteNatGateway.
    Held by: tests/aws/test_moto_server.py::test_a_nat_gateway_that_goes_leaves_its_address_to_another
    """
    from moto.ec2.models import EC2Backend

    delete = EC2Backend.delete_nat_gateway

    def freed(self: EC2Backend, nat_gateway_id: str) -> Any:
        gateway = delete(self, nat_gateway_id)
        for address in gateway.address_set:
            if address.get("associationId"):
                self.disassociate_address(association_id=address.pop("associationId"))
        return gateway

    EC2Backend.delete_nat_gateway = freed


def spot_requests_that_end_with_their_instance() -> None:
    """A one-time request is closed when its instance is ended, and forgotten soon after; moto keeps it for ever, tags
    and all: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-request-status.html.

    Stands for: EC2's spot requests.
    Held by: tests/aws/test_moto_server.py::test_a_spot_request_goes_with_its_instance
    """
    from moto.ec2.models import EC2Backend

    terminate = EC2Backend.terminate_instances

    def terminated(self: EC2Backend, instance_ids: list[str]) -> Any:
        found = terminate(self, instance_ids)
        for id, request in [*self.spot_instance_requests.items()]:
            if getattr(request.instance, "id", None) in instance_ids:
                del self.spot_instance_requests[id]
        return found

    EC2Backend.terminate_instances = terminated


def instance_types_of_the_account(names: Sequence[str]) -> None:
    """Who asks for all 1,377 types, which takes moto up to 13 s, gets those of the account, and those alone.

    Stands for: DescribeInstanceTypes without a type.
    Held by: tests/aws/test_moto_server.py::test_all_instance_types_are_those_of_the_account
    """
    from moto.ec2.models.instance_types import InstanceType, InstanceTypeBackend

    describe = InstanceTypeBackend.describe_instance_types

    def few(
        self: InstanceTypeBackend, instance_types: list[str] | None = None, filters: Any = None
    ) -> list[InstanceType]:
        return describe(self, instance_types or [*names], filters)

    InstanceTypeBackend.describe_instance_types = few


def mend() -> None:
    """All of the above, in this process."""
    quicker()
    one_request_at_a_time()
    launchable_versions()
    queues_that_keep_nobody_waiting()
    if names := os.environ.get(OF_THE_ACCOUNT):
        instance_types_of_the_account(names.split(","))
    spot_requests_that_end_with_their_instance()
    templates_with_todays_tags()
    images_with_tagged_snapshots()
    schedule_groups_that_are_gone()
    secrets_by_their_current_version()
    alarms_of_alarms()
    groups_with_their_warm_up()
    zone_ids_that_begin_with_z()
    zones_in_order()
    nat_gateways_that_let_go()
    records_that_are_there()
    firewalls_and_clusters_by_tags()
    networks_of_clusters()
    clusters_that_are_gone()
    policies_that_stay()
    with_instance_refreshes()
    with_rebalancing()
    with_eks_parts()
    with_managed_prometheus_and_grafana()
    with_deletion_of_cache_subnets()
    budgets_with_tags()
    requests_over_tls()
    buckets_born_with_tags()
    buckets_born_closed()


if __name__ == "__main__":
    mend()
    main()
