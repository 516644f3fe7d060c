"""Rows: the load balancer with its certificate, firewall and name, and the fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ops.kinds import types
from ops.kinds.kind import Found, Item, Kind, Scope, listed, tag_map
from ops.kinds.network import ours


def _elb_tags(arn: str) -> Callable[[Any, Item], dict[str, str]]:
    return lambda elb, item: tag_map(elb.describe_tags(ResourceArns=[item[arn]])["TagDescriptions"][0]["Tags"])


def _unprotect_load_balancer(elb: Any, balancer: Found) -> None:
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer.arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}]
    )


def _delete_web_acl(waf: Any, acl: Found) -> None:
    which = {"Name": acl.name, "Scope": "REGIONAL", "Id": acl.id}
    token = waf.get_web_acl(**which)["LockToken"]
    waf.delete_web_acl(**which, LockToken=token)


def _records(route53: Any, scope: Scope) -> Iterator[Item]:
    """Names that lead to one of our load balancers, in any zone of the account: the zones themselves are not ours."""
    assert scope.parent is not None
    address = scope.parent.facts["DNSName"].lower()
    zones = route53.get_paginator("list_hosted_zones").paginate()
    for zone in zones.search("HostedZones[].Id"):
        sets = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone)
        for record in sets.search("ResourceRecordSets[?AliasTarget]"):
            if record["AliasTarget"]["DNSName"].lower().removeprefix("dualstack.").rstrip(".") == address:
                zone_id = zone.removeprefix("/hostedzone/")
                yield {"ZoneId": zone_id, "Name": record["Name"].rstrip("."), "Type": record["Type"], "Set": record}


def _delete_record(route53: Any, record: Found) -> None:
    changes = [{"Action": "DELETE", "ResourceRecordSet": record.facts["Set"]}]
    route53.change_resource_record_sets(HostedZoneId=record.facts["ZoneId"], ChangeBatch={"Changes": changes})


ROWS = (
    Kind(
        type=types.RECORD,
        service="route53",
        listing=_records,
        id="join('_', [ZoneId, Name, Type, Set.SetIdentifier][?@])",
        name="Name",
        tags=None,
        parent=types.LOAD_BALANCER,
        delete=_delete_record,
    ),
    Kind(
        type=types.HEALTH_CHECK,
        service="route53",
        tagging_type="route53:healthcheck",
        listing=listed("list_health_checks", "HealthChecks"),
        id="Id",
        name="HealthCheckConfig.FullyQualifiedDomainName",
        tags=lambda route53, item: tag_map(
            route53.list_tags_for_resource(ResourceType="healthcheck", ResourceId=item["Id"])["ResourceTagSet"]["Tags"]
        ),
        after=(types.RECORD,),
        delete=lambda route53, check: route53.delete_health_check(HealthCheckId=check.id),
    ),
    Kind(
        type=types.LOAD_BALANCER,
        service="elbv2",
        tagging_type="elasticloadbalancing:loadbalancer",
        listing=listed("describe_load_balancers", "LoadBalancers"),
        id="LoadBalancerArn",
        arn="LoadBalancerArn",
        name="LoadBalancerName",
        tags=_elb_tags("LoadBalancerArn"),
        # A record that leads nowhere could no longer be told from others.
        after=(types.RECORD,),
        delete=lambda elb, balancer: elb.delete_load_balancer(LoadBalancerArn=balancer.arn),
        unprotect=_unprotect_load_balancer,
    ),
    Kind(
        type=types.LISTENER,
        service="elbv2",
        tagging_type="elasticloadbalancing:listener",
        listing=listed("describe_listeners", "Listeners", lambda scope: {"LoadBalancerArn": scope.parent_id}),
        id="ListenerArn",
        arn="ListenerArn",
        name="join(' ', [Protocol, to_string(Port)])",
        tags=None,
        parent=types.LOAD_BALANCER,
        delete=lambda elb, listener: elb.delete_listener(ListenerArn=listener.id),
    ),
    Kind(
        type=types.LISTENER_RULE,
        service="elbv2",
        tagging_type="elasticloadbalancing:listener-rule",
        listing=listed("describe_rules", "Rules[?!IsDefault]", lambda scope: {"ListenerArn": scope.parent_id}),
        id="RuleArn",
        arn="RuleArn",
        name="Priority",
        tags=None,
        parent=types.LISTENER,
        delete=lambda elb, rule: elb.delete_rule(RuleArn=rule.id),
    ),
    Kind(
        type=types.TARGET_GROUP,
        service="elbv2",
        tagging_type="elasticloadbalancing:targetgroup",
        listing=listed("describe_target_groups", "TargetGroups"),
        id="TargetGroupArn",
        arn="TargetGroupArn",
        name="TargetGroupName",
        tags=_elb_tags("TargetGroupArn"),
        after=(types.LISTENER_RULE, types.LISTENER, types.LOAD_BALANCER, types.GROUP),
        delete=lambda elb, group: elb.delete_target_group(TargetGroupArn=group.id),
    ),
    Kind(
        type=types.CERTIFICATE,
        service="acm",
        tagging_type="acm:certificate",
        # Without `keyTypes` ACM lists RSA certificates only, and the self-signed one is not.
        listing=listed(
            "list_certificates",
            "CertificateSummaryList",
            lambda _scope: {"Includes": {"keyTypes": ["RSA_2048", "RSA_4096", "EC_prime256v1", "EC_secp384r1"]}},
        ),
        id="CertificateArn",
        arn="CertificateArn",
        name="DomainName",
        created="CreatedAt",
        tags=lambda acm, item: tag_map(acm.list_tags_for_certificate(CertificateArn=item["CertificateArn"])["Tags"]),
        after=(types.LISTENER, types.LOAD_BALANCER),
        delete=lambda acm, certificate: acm.delete_certificate(CertificateArn=certificate.id),
    ),
    Kind(
        type=types.WEB_ACL,
        service="wafv2",
        tagging_type="wafv2:regional",
        listing=listed("list_web_acls", "WebACLs", lambda _scope: {"Scope": "REGIONAL"}),
        id="Id",
        arn="ARN",
        name="Name",
        tags=lambda waf, item: tag_map(
            waf.list_tags_for_resource(ResourceARN=item["ARN"])["TagInfoForResource"]["TagList"]
        ),
        after=(types.LOAD_BALANCER,),
        delete=_delete_web_acl,
    ),
    Kind(
        type=types.GROUP,
        service="autoscaling",
        tagging_type="autoscaling:autoScalingGroup",
        listing=listed("describe_auto_scaling_groups", "AutoScalingGroups"),
        id="AutoScalingGroupName",
        arn="AutoScalingGroupARN",
        name="AutoScalingGroupName",
        # With its instances, which would otherwise hold their drain hook for hours.
        delete=lambda scaling, group: scaling.delete_auto_scaling_group(
            AutoScalingGroupName=group.id, ForceDelete=True
        ),
    ),
    Kind(
        type=types.LAUNCH_TEMPLATE,
        service="ec2",
        tagging_type="ec2:launch-template",
        listing=listed("describe_launch_templates", "LaunchTemplates", ours),
        id="LaunchTemplateId",
        name="LaunchTemplateName",
        created="CreateTime",
        after=(types.GROUP, types.NODE_GROUP),
        delete=lambda ec2, template: ec2.delete_launch_template(LaunchTemplateId=template.id),
    ),
    Kind(
        type=types.INSTANCE,
        service="ec2",
        tagging_type="ec2:instance",
        listing=listed("describe_instances", "Reservations[].Instances[?State.Name!='terminated'][]", ours),
        id="InstanceId",
        created="LaunchTime",
        # Or what starts them would start others.
        after=(types.GROUP, types.NODE_GROUP),
        delete=lambda ec2, instance: ec2.terminate_instances(InstanceIds=[instance.id]),
        program=False,
    ),
    Kind(
        type=types.VOLUME,
        service="ec2",
        tagging_type="ec2:volume",
        listing=listed("describe_volumes", "Volumes", ours),
        id="VolumeId",
        created="CreateTime",
        after=(types.INSTANCE,),
        delete=lambda ec2, volume: ec2.delete_volume(VolumeId=volume.id),
        program=False,
        holds_data=True,
    ),
    Kind(
        type=types.IMAGE,
        service="ec2",
        tagging_type="ec2:image",
        listing=listed("describe_images", "Images", lambda scope: {"Owners": ["self"], **ours(scope)}),
        id="ImageId",
        name="Name",
        created="CreationDate",
        delete=lambda ec2, image: ec2.deregister_image(ImageId=image.id),
        program=False,
        holds_data=True,
    ),
    Kind(
        type=types.SNAPSHOT,
        service="ec2",
        tagging_type="ec2:snapshot",
        listing=listed("describe_snapshots", "Snapshots", lambda scope: {"OwnerIds": ["self"], **ours(scope)}),
        id="SnapshotId",
        created="StartTime",
        after=(types.IMAGE,),
        delete=lambda ec2, snapshot: ec2.delete_snapshot(SnapshotId=snapshot.id),
        program=False,
        holds_data=True,
    ),
)
