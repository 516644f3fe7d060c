"""Rows: the load balancer with its certificate, firewall and name, and the fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tandem import type_tokens as types
from tandem.ops.aws import unless_gone
from tandem.ops.kinds.kind import Found, Item, Listing, ResourceType, Scope, listed, named, tag_map
from tandem.ops.kinds.left_behind import networks
from tandem.ops.kinds.network import ours
from tandem.ports import HEALTH_PATH
from tandem.tags import WEB_ACL_DESCRIPTION


def _elb_tags(arn: str) -> Callable[[Any, Item], dict[str, str]]:
    return lambda elb, item: tag_map(elb.describe_tags(ResourceArns=[item[arn]])["TagDescriptions"][0]["Tags"])


def _in_our_networks(operation: str, items: str) -> Listing:
    """Tags are told apart from the listing; the network, in the listing, leaves few to ask for."""

    def listing(elb: Any, scope: Scope) -> Iterator[Item]:
        vpcs = networks(scope.clients("ec2"), scope)
        found = listed(operation, items, page_size=400)(elb, scope) if vpcs else ()
        return (item for item in found if item.get("VpcId") in vpcs)

    return listing


def _unprotect_load_balancer(elb: Any, balancer: Found) -> None:
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer.arn, Attributes=[{"Key": "deletion_protection.enabled", "Value": "false"}]
    )


def _delete_web_acl(waf: Any, acl: Found) -> None:
    which = {"Name": acl.name, "Scope": "REGIONAL", "Id": acl.id}
    token = waf.get_web_acl(**which)["LockToken"]
    waf.delete_web_acl(**which, LockToken=token)


def _host_names(scope: Scope) -> set[str]:
    """For which the parent, a load balancer, has certificates: clients reach it by no other."""
    acm, names = scope.clients("acm"), set()
    listeners = listed("describe_listeners", "Listeners[].Certificates[]", _of_balancer)(scope.clients("elbv2"), scope)
    for arn in {certificate["CertificateArn"] for certificate in listeners}:
        with unless_gone():
            found = acm.describe_certificate(CertificateArn=arn)["Certificate"]
            names |= {found["DomainName"], *found.get("SubjectAlternativeNames", ())}
    return names


def _zones(route53: Any, host_name: str) -> Iterator[str]:
    """Ids of the zones that may have a record of the name; of a wildcard, of any name that it covers.

    Route 53 lists zones from a name on, each followed by those below it, so that others are not asked for.
    """
    name = host_name.removeprefix("*.")
    labels = name.split(".")
    for zone in (".".join(labels[start:]) for start in range(len(labels))):
        below = zone == name != host_name
        for found in _zones_from(route53, zone):
            own = found["Name"].rstrip(".")
            if own == zone or (below and own.partition(".")[2] == zone):
                yield found["Id"].removeprefix("/hostedzone/")
            elif not (below and own.endswith(f".{zone}")):
                break


def _zones_from(route53: Any, name: str) -> Iterator[Item]:
    """boto3 does not paginate here."""
    more: dict[str, str] | None = {"DNSName": name}
    while more is not None:
        page = route53.list_hosted_zones_by_name(**more)
        yield from page["HostedZones"]
        truncated = page.get("IsTruncated")
        more = {"DNSName": page["NextDNSName"], "HostedZoneId": page["NextHostedZoneId"]} if truncated else None


def _records(route53: Any, scope: Scope) -> Iterator[Item]:
    """Names that lead to one of our load balancers, in the zones that may hold them: these themselves are not ours."""
    assert scope.parent is not None
    address = scope.parent.facts["DNSName"].lower()
    zones = {record.facts["ZoneId"] for record in scope.known}
    zones |= {zone for name in _host_names(scope) for zone in _zones(route53, name)}
    for zone_id in sorted(zones):
        sets = route53.get_paginator("list_resource_record_sets").paginate(HostedZoneId=zone_id)
        for record in sets.search("ResourceRecordSets[?AliasTarget]"):
            if record["AliasTarget"]["DNSName"].lower().removeprefix("dualstack.").rstrip(".") == address:
                yield {"ZoneId": zone_id, "Name": record["Name"].rstrip("."), "Type": record["Type"], "Set": record}


def _of_balancer(scope: Scope) -> dict[str, str]:
    return {"LoadBalancerArn": scope.parent_id}


def _health_checks(route53: Any, scope: Scope) -> Iterator[Item]:
    """With their tags, which Route 53 tells of ten at once."""
    found = listed("list_health_checks", "HealthChecks[?HealthCheckConfig.Type=='HTTPS']", page_size=1000)(
        route53, scope
    )
    checks = [one for one in found if one["HealthCheckConfig"].get("ResourcePath") == HEALTH_PATH]
    for start in range(0, len(checks), 10):
        some = checks[start : start + 10]
        tags = route53.list_tags_for_resources(ResourceType="healthcheck", ResourceIds=[one["Id"] for one in some])
        by_id = {answer["ResourceId"]: answer["Tags"] for answer in tags["ResourceTagSets"]}
        yield from ({**one, "Tags": by_id.get(one["Id"], [])} for one in some)


def _web_acl(waf: Any, arn: str) -> Item | None:
    """The tagging API knows WAF as a whole, and not its types."""
    kind, name, acl_id = arn.split("/")[-3:]
    return waf.get_web_acl(Name=name, Scope="REGIONAL", Id=acl_id)["WebACL"] if kind == "webacl" else None


def _every_web_acl(waf: Any, _scope: Scope) -> Iterator[Item]:
    """By what they say of themselves first: each tells its tags to a call of its own. boto3 does not paginate here."""
    more = {}
    while more is not None:
        page = waf.list_web_acls(Scope="REGIONAL", Limit=100, **more)
        yield from (acl for acl in page["WebACLs"] if acl.get("Description") == WEB_ACL_DESCRIPTION)
        more = {"NextMarker": page["NextMarker"]} if page.get("NextMarker") and page["WebACLs"] else None


def _alarms(kind: str) -> Listing:
    """With their tags, which CloudWatch tells of one alarm a call, and the tagging API of all.

    Args:
        kind: CloudWatch's name of it, MetricAlarm or CompositeAlarm.
    """

    def listing(watch: Any, scope: Scope) -> Iterator[Item]:
        def described(**which: Any) -> Iterator[Item]:
            yield from (
                watch.get_paginator("describe_alarms").paginate(AlarmTypes=[kind], **which).search(f"{kind}s[]")
            )

        if scope.exact:
            for alarm in described(AlarmNamePrefix="tandem-"):
                yield {**alarm, "Tags": _tags_of(watch, alarm["AlarmArn"])}
            return
        tags = {one["ResourceARN"].rpartition(":")[2]: one["Tags"] for one in scope.tagged("cloudwatch:alarm")}
        names = sorted({*tags, *(found.id for found in scope.known)})
        for start in range(0, len(names), 100):
            for alarm in described(AlarmNames=names[start : start + 100]):
                name = alarm["AlarmName"]
                yield {**alarm, "Tags": tags[name] if name in tags else _tags_of(watch, alarm["AlarmArn"])}

    return listing


def _tags_of(watch: Any, arn: str) -> list[Item]:
    return watch.list_tags_for_resource(ResourceARN=arn)["Tags"]


def _delete_record(route53: Any, record: Found) -> None:
    changes = [{"Action": "DELETE", "ResourceRecordSet": record.facts["Set"]}]
    route53.change_resource_record_sets(HostedZoneId=record.facts["ZoneId"], ChangeBatch={"Changes": changes})


ROWS = (
    ResourceType(
        type=types.RECORD,
        service="route53",
        listing=_records,
        id="join('_', [ZoneId, Name, Type, Set.SetIdentifier][?@])",
        name="Name",
        tags=None,
        parent=types.LOAD_BALANCER,
        delete=_delete_record,
    ),
    ResourceType(
        type=types.HEALTH_CHECK,
        service="route53",
        tagging_type="route53:healthcheck",
        listing=_health_checks,
        id="Id",
        name="HealthCheckConfig.FullyQualifiedDomainName",
        after=(types.RECORD,),
        delete=lambda route53, check: route53.delete_health_check(HealthCheckId=check.id),
    ),
    ResourceType(
        type=types.LOAD_BALANCER,
        service="elbv2",
        tagging_type="elasticloadbalancing:loadbalancer",
        listing=_in_our_networks("describe_load_balancers", "LoadBalancers"),
        id="LoadBalancerArn",
        arn="LoadBalancerArn",
        name="LoadBalancerName",
        tags=_elb_tags("LoadBalancerArn"),
        # A record that leads nowhere could no longer be told from others.
        after=(types.RECORD,),
        delete=lambda elb, balancer: elb.delete_load_balancer(LoadBalancerArn=balancer.arn),
        unprotect=_unprotect_load_balancer,
    ),
    ResourceType(
        type=types.LISTENER,
        service="elbv2",
        tagging_type="elasticloadbalancing:listener",
        listing=listed("describe_listeners", "Listeners", _of_balancer),
        id="ListenerArn",
        arn="ListenerArn",
        name="join(' ', [Protocol, to_string(Port)])",
        tags=None,
        parent=types.LOAD_BALANCER,
        delete=lambda elb, listener: elb.delete_listener(ListenerArn=listener.id),
    ),
    ResourceType(
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
    ResourceType(
        type=types.TARGET_GROUP,
        service="elbv2",
        tagging_type="elasticloadbalancing:targetgroup",
        listing=_in_our_networks("describe_target_groups", "TargetGroups"),
        id="TargetGroupArn",
        arn="TargetGroupArn",
        name="TargetGroupName",
        tags=_elb_tags("TargetGroupArn"),
        after=(
            types.LISTENER_RULE,
            types.LISTENER,
            types.LOAD_BALANCER,
            types.GROUP,
            types.SERVICE,
        ),
        delete=lambda elb, group: elb.delete_target_group(TargetGroupArn=group.id),
    ),
    ResourceType(
        type=types.CERTIFICATE,
        service="acm",
        tagging_type="acm:certificate",
        listing=named(
            "acm:certificate",
            lambda acm, arn: acm.describe_certificate(CertificateArn=arn)["Certificate"],
            # Without `keyTypes` ACM lists RSA certificates only, and the self-signed one is not.
            listed(
                "list_certificates",
                "CertificateSummaryList",
                lambda _scope: {"Includes": {"keyTypes": ["RSA_2048", "RSA_4096", "EC_prime256v1", "EC_secp384r1"]}},
                page_size=1000,
            ),
        ),
        id="CertificateArn",
        arn="CertificateArn",
        name="DomainName",
        created="CreatedAt",
        tags=lambda acm, item: tag_map(acm.list_tags_for_certificate(CertificateArn=item["CertificateArn"])["Tags"]),
        after=(types.LISTENER, types.LOAD_BALANCER),
        delete=lambda acm, certificate: acm.delete_certificate(CertificateArn=certificate.id),
    ),
    ResourceType(
        type=types.WEB_ACL,
        service="wafv2",
        tagging_type="wafv2:regional",
        listing=named("wafv2", _web_acl, _every_web_acl),
        id="Id",
        arn="ARN",
        name="Name",
        tags=lambda waf, item: tag_map(
            waf.list_tags_for_resource(ResourceARN=item["ARN"])["TagInfoForResource"]["TagList"]
        ),
        after=(types.LOAD_BALANCER,),
        delete=_delete_web_acl,
    ),
    ResourceType(
        type=types.GROUP,
        service="autoscaling",
        tagging_type="autoscaling:autoScalingGroup",
        listing=listed("describe_auto_scaling_groups", "AutoScalingGroups", ours),
        id="AutoScalingGroupName",
        arn="AutoScalingGroupARN",
        name="AutoScalingGroupName",
        # With its instances, which would otherwise hold their drain hook for hours.
        delete=lambda scaling, group: scaling.delete_auto_scaling_group(
            AutoScalingGroupName=group.id, ForceDelete=True
        ),
    ),
    ResourceType(
        type=types.POLICY,
        service="autoscaling",
        listing=listed("describe_policies", "ScalingPolicies", lambda scope: {"AutoScalingGroupName": scope.parent_id}),
        id="PolicyName",
        arn="PolicyARN",
        name="PolicyName",
        tags=None,
        parent=types.GROUP,
        delete=lambda scaling, policy: scaling.delete_policy(
            AutoScalingGroupName=policy.parent_id, PolicyName=policy.id
        ),
    ),
    ResourceType(
        type=types.ALARM,
        service="cloudwatch",
        tagging_type="cloudwatch:alarm",
        listing=_alarms("MetricAlarm"),
        id="AlarmName",
        arn="AlarmArn",
        name="AlarmName",
        created="AlarmConfigurationUpdatedTimestamp",
        after=(types.COMPOSITE_ALARM,),
        delete=lambda watch, alarm: watch.delete_alarms(AlarmNames=[alarm.id]),
    ),
    ResourceType(
        type=types.COMPOSITE_ALARM,
        service="cloudwatch",
        tagging_type="cloudwatch:alarm",
        listing=_alarms("CompositeAlarm"),
        id="AlarmName",
        arn="AlarmArn",
        name="AlarmName",
        created="AlarmConfigurationUpdatedTimestamp",
        delete=lambda watch, alarm: watch.delete_alarms(AlarmNames=[alarm.id]),
    ),
    ResourceType(
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
    ResourceType(
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
    ResourceType(
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
    ResourceType(
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
    ResourceType(
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
