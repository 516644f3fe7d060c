"""Names, tags and values that a service does not take."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pulumi_rehearsal.aws.checks.base import Check, Refusal, api
from pulumi_rehearsal.aws.lifecycle import Resource

_RECORD = "aws:route53/record:Record"
_LIMITS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
_PARAMETER_CHARACTERS = 4096
_ROLE_POLICIES = 10
_CERTIFICATE_CHARACTERS = 64


def _reserved_tags(resource: Resource) -> Iterator[Refusal]:
    """In EC2's words, whose are the most common."""
    if resource.row.tags and any(key.lower().startswith("aws:") for key in resource.wanted_tags):
        yield Refusal(
            "Tag keys starting with 'aws:' are reserved for internal use",
            "InvalidParameterValue",
            operation=resource.operation("apply"),
        )


def _secret_name(secret: Resource) -> Iterator[Refusal]:
    if not re.fullmatch(r"[\w/+=.@!-]{1,512}", secret.inputs["name"], re.ASCII):
        words = (
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!"
        )
        yield Refusal(words, "ValidationException")


def _parameter_size(parameter: Resource) -> Iterator[Refusal]:
    value = parameter.inputs.get("value") or ""
    if parameter.inputs.get("tier", "Standard") == "Standard" and len(value) > _PARAMETER_CHARACTERS:
        yield Refusal(
            f"Standard tier parameters support a maximum parameter value of {_PARAMETER_CHARACTERS} characters. To "
            "create a larger parameter value, upgrade the parameter to use the advanced-parameter tier.",
            "ValidationException",
        )


def _bucket_name(bucket: Resource) -> Iterator[Refusal]:
    if not re.fullmatch(r"(?!xn--|.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", bucket.inputs["bucket"]):
        yield Refusal("The specified bucket is not valid.", "InvalidBucketName")


def _log_destination(logging: Resource) -> Iterator[Refusal]:
    for arn in logging.inputs["logDestinationConfigs"]:
        if not re.search(r":(log-group:|s3:::|deliverystream/)?aws-waf-logs-", arn):
            yield Refusal(
                "Error reason: The ARN isn't valid. A valid ARN begins with arn: and includes other information "
                f"separated by colons or slashes., field: LOG_DESTINATION, parameter: {arn}",
                "WAFInvalidParameterException",
            )


def _role_policies(attachment: Resource) -> Iterator[Refusal]:
    attached = attachment.region.call("iam", "list_attached_role_policies", RoleName=attachment.inputs["role"])
    if attachment.is_new and len(attached["AttachedPolicies"]) >= _ROLE_POLICIES:
        yield Refusal(f"Cannot exceed quota for PoliciesPerRole: {_ROLE_POLICIES}", "LimitExceeded")


def _pending_key(resource: Resource) -> Iterator[Refusal]:
    encryption = (resource.inputs.get("encryptionConfig") or {}).get("provider") or {}
    for key in filter(None, [resource.inputs.get("targetKeyId"), encryption.get("keyArn")]):
        found = resource.region.call("kms", "describe_key", KeyId=key)["KeyMetadata"]
        if found["KeyState"] == "PendingDeletion":
            yield Refusal(f"{found['Arn']} is pending deletion.", "KMSInvalidStateException")


def _certificate_name(certificate: Resource) -> Iterator[Refusal]:
    """The source has no words of the refusal; these are its own."""
    name = certificate.inputs.get("domainName") or ""
    if len(name) > _CERTIFICATE_CHARACTERS:
        yield Refusal(
            f"The length of the domain name that you provide cannot exceed {_CERTIFICATE_CHARACTERS} octets: {name}",
            "InvalidParameterException",
        )


def _record_beside_others(record: Resource) -> Iterator[Refusal]:
    """A name has one CNAME or other records, and one way of routing for each type."""
    zone_id, type = record.inputs["zoneId"], record.inputs["type"]
    zone = record.region.call("route53", "get_hosted_zone", Id=zone_id)["HostedZone"]["Name"]
    name = record.inputs["name"].rstrip(".") + "."
    name = name if name.endswith(zone) else f"{name}{zone}".lstrip(".")
    sets = record.region.call("route53", "list_resource_record_sets", HostedZoneId=zone_id)["ResourceRecordSets"]
    here = [one for one in sets if one["Name"] == name] if record.is_new else []
    if any((one["Type"] == "CNAME") != (type == "CNAME") for one in here):
        yield Refusal(
            f"[RRSet of type {type} with DNS name {name} is not permitted as it conflicts with other records with the "
            f"same DNS name in zone {zone}]",
            "InvalidChangeBatch",
        )
    policy = {"latencyRoutingPolicies": "Region", "weightedRoutingPolicies": "Weight"}
    mine = next((key for input, key in policy.items() if record.inputs.get(input)), None)
    for one in here:
        if one["Type"] == type and mine and mine not in one:
            yield Refusal(
                f"[RRSet with DNS name {name}, type {type}, SetIdentifier {record.inputs.get('setIdentifier')} cannot "
                f"be created as a non-{'weighted' if mine == 'Weight' else 'latency'} set exists with the same name "
                "and type.]",
                "InvalidChangeBatch",
            )


CHECKS = (
    Check(
        "reserved tags",
        (),
        "Keys that begin with aws: are AWS's own.",
        "https://docs.aws.amazon.com/tag-editor/latest/userguide/best-practices-and-strats.html",
        "apply",
        _reserved_tags,
    ),
    Check(
        "secret name",
        ("aws:secretsmanager/secret:Secret",),
        "A secret's name has ASCII letters, digits and /_+=.@!- only.",
        api("secrets", "CreateSecret"),
        "apply",
        _secret_name,
    ),
    Check(
        "parameter size",
        ("aws:ssm/parameter:Parameter",),
        "A parameter of the standard tier has 4096 characters at most.",
        api("ssm", "PutParameter"),
        "apply",
        _parameter_size,
    ),
    Check(
        "bucket name",
        ("aws:s3/bucket:Bucket",),
        "A bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens.",
        "https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html",
        "apply",
        _bucket_name,
    ),
    Check(
        "firewall's log",
        ("aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",),
        "The name of what a firewall logs to begins with aws-waf-logs-.",
        api("waf", "PutLoggingConfiguration"),
        "apply",
        _log_destination,
    ),
    Check(
        "policies of a role",
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment",),
        "A role has ten managed policies at most.",
        _LIMITS,
        "apply",
        _role_policies,
    ),
    Check(
        "key being deleted",
        ("aws:kms/alias:Alias", "aws:eks/cluster:Cluster"),
        "A key that is being deleted is of no use.",
        "https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html",
        "apply",
        _pending_key,
    ),
    Check(
        "name of a certificate",
        ("aws:acm/certificate:Certificate",),
        "The first name of a certificate has 64 characters at most, its further names have 253.",
        api("acm", "RequestCertificate"),
        "apply",
        _certificate_name,
    ),
    Check(
        "record beside others",
        (_RECORD,),
        "A CNAME stands alone under its name, and records of one name and type are routed in one way.",
        "https://github.com/kubernetes-sigs/external-dns/issues/4345",
        "apply",
        _record_beside_others,
    ),
)
