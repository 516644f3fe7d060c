"""What stands before the load balancer: certificates, DNS, the web application firewall."""

from __future__ import annotations

from typing import Any

from pulumi_rehearsal.aws.account import AwsError
from pulumi_rehearsal.aws.lifecycle import Resource, without_nulls
from pulumi_rehearsal.aws.phrases import BORN_WITH, tagged_by_arn
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Step, Tags, Text, change

CERTIFICATE = ResourceType(
    type="aws:acm/certificate:Certificate",
    service="acm",
    create=(
        Call("request_certificate", fill=True, when="!(inputs.privateKey)"),
        Call(
            "import_certificate",
            "{Certificate: inputs.certificateBody, PrivateKey: inputs.privateKey, "
            "CertificateChain: inputs.certificateChain}",
            when="inputs.privateKey",
        ),
    ),
    id="result.CertificateArn",
    read=Call("describe_certificate", "{CertificateArn: id}", at="Certificate"),
    changes=(
        change(
            "certificateBody",
            "certificateChain",
            "privateKey",
            by=Call(
                "import_certificate",
                "{CertificateArn: id, Certificate: inputs.certificateBody, PrivateKey: inputs.privateKey, "
                "CertificateChain: inputs.certificateChain}",
            ),
            on_create=False,
        ),
        change(
            "options",
            by=Call(
                "update_certificate_options",
                "{CertificateArn: id, Options: {CertificateTransparencyLoggingPreference: "
                "inputs.options.certificateTransparencyLoggingPreference}}",
            ),
            on_create=False,
        ),
    ),
    delete=Call("delete_certificate", "{CertificateArn: id}"),
    tags=Tags(
        add=Call("add_tags_to_certificate", "{CertificateArn: id, Tags: pairs(tags)}"),
        remove=Call("remove_tags_from_certificate", "{CertificateArn: id, Tags: removed[*].{Key: @}}"),
        read=Call("list_tags_for_certificate", "{CertificateArn: id}", at="Tags"),
        born=BORN_WITH,
    ),
    outputs={
        "arn": "id",
        "domainValidationOptions": "found.DomainValidationOptions[*].{domainName: DomainName, "
        "resourceRecordName: ResourceRecord.Name, resourceRecordType: ResourceRecord.Type, "
        "resourceRecordValue: ResourceRecord.Value}",
        "validationMethod": "found.DomainValidationOptions[0].ValidationMethod || 'NONE'",
    },
    secrets=("privateKey",),
    # AWS lists the domain itself among the alternative names, and writes the algorithm in another way
    unread=("keyAlgorithm", "options", "certificateBody", "certificateChain", "privateKey"),
)

CERTIFICATE_VALIDATION = ResourceType(
    type="aws:acm/certificateValidation:CertificateValidation",
    service="acm",
    # AWS has no such thing: the provider waits here until the certificate is issued
    create=Call("describe_certificate", "{CertificateArn: inputs.certificateArn}", at="Certificate"),
    id="inputs.certificateArn",
    recorded=("validationRecordFqdns",),
    in_moto=False,
)


def _delete_records(zone: Resource) -> None:
    """`forceDestroy` deletes all records but the two that every zone has."""
    if not zone.inputs.get("forceDestroy"):
        return
    records = zone.region.call("route53", "list_resource_record_sets", HostedZoneId=zone.id)["ResourceRecordSets"]
    for record in records:
        if record["Type"] not in ("NS", "SOA"):
            batch = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]}
            zone.region.call("route53", "change_resource_record_sets", HostedZoneId=zone.id, ChangeBatch=batch)


ZONE = ResourceType(
    type="aws:route53/zone:Zone",
    service="route53",
    create=Call(
        "create_hosted_zone",
        "{Name: inputs.name, CallerReference: join('-', [inputs.name, to_string(now())]), "
        "HostedZoneConfig: {Comment: inputs.comment, PrivateZone: inputs.vpcs && `true`}, "
        "VPC: inputs.vpcs[0] && {VPCId: inputs.vpcs[0].vpcId, VPCRegion: inputs.vpcs[0].vpcRegion || region}}",
    ),
    id="part(result.HostedZone.Id, '/', `-1`)",
    read=Call(
        "get_hosted_zone",
        "{Id: id}",
        at="{Name: HostedZone.Name, Comment: HostedZone.Config.Comment, NameServers: DelegationSet.NameServers}",
    ),
    changes=(
        change(
            "comment",
            by=Call("update_hosted_zone_comment", "{Id: id, Comment: inputs.comment}"),
            on_create=False,
        ),
    ),
    delete=(_delete_records, Call("delete_hosted_zone", "{Id: id}")),
    tags=Tags(
        add=Call("change_tags_for_resource", "{ResourceType: 'hostedzone', ResourceId: id, AddTags: pairs(tags)}"),
        remove=Call("change_tags_for_resource", "{ResourceType: 'hostedzone', ResourceId: id, RemoveTagKeys: removed}"),
        read=Call("list_tags_for_resource", "{ResourceType: 'hostedzone', ResourceId: id}", at="ResourceTagSet.Tags"),
    ),
    outputs={
        "arn": Text("arn:{partition}:route53:::hostedzone/{id}"),
        "name": "without_dot(found.Name)",
        "primaryNameServer": "found.NameServers[0]",
        "zoneId": "id",
    },
    autoname=AutoName(),
    defaults={"comment": "Managed by Pulumi", "forceDestroy": False},
    provider_only=("forceDestroy",),
)


def _record_set(record: Resource, inputs: dict[str, Any]) -> dict[str, Any]:
    """The record, with its name made whole: `www` in the zone example.com is www.example.com."""
    zone = record.region.call("route53", "get_hosted_zone", Id=inputs["zoneId"])["HostedZone"]["Name"].rstrip(".")
    name = inputs["name"].rstrip(".").lower()
    if name != zone and not name.endswith(f".{zone}"):
        name = f"{name}.{zone}" if name else zone
    alias = (inputs.get("aliases") or [None])[0]
    return without_nulls(
        {
            "Name": name,
            "Type": inputs["type"],
            "TTL": inputs.get("ttl"),
            "SetIdentifier": inputs.get("setIdentifier"),
            "Region": _policy(inputs, "latencyRoutingPolicies").get("region"),
            "Weight": _policy(inputs, "weightedRoutingPolicies").get("weight"),
            "HealthCheckId": inputs.get("healthCheckId"),
            "ResourceRecords": [{"Value": value} for value in inputs["records"]] if inputs.get("records") else None,
            "AliasTarget": alias
            and {
                "DNSName": alias["name"],
                "HostedZoneId": alias["zoneId"],
                "EvaluateTargetHealth": alias["evaluateTargetHealth"],
            },
        }
    )


def _policy(inputs: dict[str, Any], name: str) -> dict[str, Any]:
    """A routing policy; the provider takes a list of at most one."""
    return (inputs.get(name) or [{}])[0]


def _change_record(action: str) -> Step:
    def step(record: Resource) -> dict[str, Any]:
        how = "UPSERT" if action == "CREATE" and record.inputs.get("allowOverwrite") else action
        batch = {"Changes": [{"Action": how, "ResourceRecordSet": _record_set(record, record.inputs)}]}
        record.region.call(
            "route53", "change_resource_record_sets", HostedZoneId=record.inputs["zoneId"], ChangeBatch=batch
        )
        return {}

    return step


def _find_record(record: Resource) -> dict[str, Any] | None:
    try:
        wanted = _record_set(record, record.inputs)
    except AwsError as error:
        if error.not_found:
            return None
        raise
    found = record.region.call(
        "route53",
        "list_resource_record_sets",
        HostedZoneId=record.inputs["zoneId"],
        StartRecordName=wanted["Name"],
        StartRecordType=wanted["Type"],
    )["ResourceRecordSets"]
    for candidate in found:
        if (candidate["Name"].rstrip("."), candidate["Type"], candidate.get("SetIdentifier")) == (
            wanted["Name"],
            wanted["Type"],
            wanted.get("SetIdentifier"),
        ):
            record.found = {"fqdn": wanted["Name"], **candidate}
            return record.found
    return None


RECORD = ResourceType(
    type="aws:route53/record:Record",
    service="route53",
    create=_change_record("CREATE"),
    id="join('_', [inputs.zoneId, inputs.name, inputs.type, inputs.setIdentifier][?@])",
    read=_find_record,
    changes=(
        change(
            "records",
            "ttl",
            "aliases",
            "healthCheckId",
            "latencyRoutingPolicies",
            "weightedRoutingPolicies",
            by=_change_record("UPSERT"),
            on_create=False,
        ),
    ),
    delete=_change_record("DELETE"),
    outputs={
        "fqdn": "found.fqdn",
        "records": "found.ResourceRecords[*].Value",
        "aliases": "found.AliasTarget && [{name: found.AliasTarget.DNSName, "
        "zoneId: found.AliasTarget.HostedZoneId, evaluateTargetHealth: found.AliasTarget.EvaluateTargetHealth}]",
    },
    unread=("name",),
    takes=("zoneId", "name", "type", "setIdentifier"),
    provider_only=("allowOverwrite",),
    import_id="{zoneId: part(id, '_', `0`), name: part(id, '_', `1`), type: part(id, '_', `2`)}",
)

HEALTH_CHECK = ResourceType(
    type="aws:route53/healthCheck:HealthCheck",
    service="route53",
    create=Call(
        "create_health_check",
        "{CallerReference: join('-', ['check', to_string(now())])}",
        fill=True,
        within="HealthCheckConfig",
    ),
    id="result.HealthCheck.Id",
    read=Call("get_health_check", "{HealthCheckId: id}", at="HealthCheck.HealthCheckConfig"),
    update=Call("update_health_check", "{HealthCheckId: id}", fill=True),
    delete=Call("delete_health_check", "{HealthCheckId: id}"),
    tags=Tags(
        add=Call("change_tags_for_resource", "{ResourceType: 'healthcheck', ResourceId: id, AddTags: pairs(tags)}"),
        remove=Call(
            "change_tags_for_resource", "{ResourceType: 'healthcheck', ResourceId: id, RemoveTagKeys: removed}"
        ),
        read=Call("list_tags_for_resource", "{ResourceType: 'healthcheck', ResourceId: id}", at="ResourceTagSet.Tags"),
    ),
    outputs={"arn": Text("arn:{partition}:route53:::healthcheck/{id}")},
    names={
        "fqdn": "FullyQualifiedDomainName",
        "ipAddress": "IPAddress",
        "invertHealthcheck": "Inverted",
        "enableSni": "EnableSNI",
    },
    replaces=("type", "requestInterval", "measureLatency"),
)

_ACL_BODIES = (
    "CustomResponseBodies: inputs.customResponseBodies && "
    "mapping(inputs.customResponseBodies[*].{Key: key, Value: {Content: content, ContentType: contentType}})"
)

WEB_ACL = ResourceType(
    type="aws:wafv2/webAcl:WebAcl",
    service="wafv2",
    create=Call("create_web_acl", f"{{{_ACL_BODIES}}}", fill=True),
    id="result.Summary.Id",
    read=(
        Call("get_web_acl", "{Name: inputs.name, Scope: inputs.scope, Id: id}", at="WebACL"),
        Call("get_web_acl", "{Name: inputs.name, Scope: inputs.scope, Id: id}", at="LockToken", into="lockToken"),
    ),
    update=(
        Call("get_web_acl", "{Name: inputs.name, Scope: inputs.scope, Id: id}", at="LockToken", into="lockToken"),
        Call("update_web_acl", f"{{Id: id, LockToken: found.lockToken, {_ACL_BODIES}}}", fill=True),
    ),
    delete=(
        Call("get_web_acl", "{Name: inputs.name, Scope: inputs.scope, Id: id}", at="LockToken", into="lockToken"),
        Call("delete_web_acl", "{Name: inputs.name, Scope: inputs.scope, Id: id, LockToken: found.lockToken}"),
    ),
    tags=tagged_by_arn("ResourceARN", "result.Summary.ARN || found.ARN || state.arn", at="TagInfoForResource.TagList"),
    autoname=AutoName(),
    outputs={"arn": "found.ARN"},
    unread=("customResponseBodies",),
    provider_only=("namePrefix",),
    replaces=("name", "scope"),
    computed_on_update=("lockToken",),
    import_id="{name: part(id, '/', `1`), scope: part(id, '/', `2`)}",
)

WEB_ACL_ASSOCIATION = ResourceType(
    type="aws:wafv2/webAclAssociation:WebAclAssociation",
    service="wafv2",
    create=Call("associate_web_acl", fill=True),
    id="join(',', [inputs.webAclArn, inputs.resourceArn])",
    read=Call("get_web_acl_for_resource", "{ResourceArn: inputs.resourceArn}", at="WebACL"),
    delete=Call("disassociate_web_acl", "{ResourceArn: inputs.resourceArn}"),
    outputs={"webAclArn": "found.ARN"},
    import_id="{webAclArn: part(id, ',', `0`), resourceArn: part(id, ',', `1`)}",
)

WEB_ACL_LOGGING = ResourceType(
    type="aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",
    service="wafv2",
    create=Call("put_logging_configuration", fill=True, within="LoggingConfiguration"),
    update=Call("put_logging_configuration", fill=True, within="LoggingConfiguration"),
    id="inputs.resourceArn",
    read=Call("get_logging_configuration", "{ResourceArn: id}", at="LoggingConfiguration"),
    delete=Call("delete_logging_configuration", "{ResourceArn: id}"),
    replaces=("resourceArn",),
    import_id="{resourceArn: id}",
)

ROWS = (
    CERTIFICATE,
    CERTIFICATE_VALIDATION,
    ZONE,
    RECORD,
    HEALTH_CHECK,
    WEB_ACL,
    WEB_ACL_ASSOCIATION,
    WEB_ACL_LOGGING,
)
