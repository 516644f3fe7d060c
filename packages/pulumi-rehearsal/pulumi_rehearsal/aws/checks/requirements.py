"""What has to be there beside the things that a resource names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pulumi_rehearsal.aws.account import AwsError, Region
from pulumi_rehearsal.aws.checks.base import Check, Refusal, api
from pulumi_rehearsal.aws.lifecycle import Resource

_LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"
_LOG_DELIVERY = "logdelivery.elasticloadbalancing.amazonaws.com"


def _schedule_group(schedule: Resource) -> Iterator[Refusal]:
    name = schedule.inputs["groupName"]
    groups = schedule.region.call("scheduler", "list_schedule_groups", NamePrefix=name)["ScheduleGroups"]
    if name not in ("default", *(group["Name"] for group in groups)):
        yield Refusal(f"Schedule group {name} does not exist.", "ResourceNotFoundException")


def _endpoint_service(endpoint: Resource) -> Iterator[Refusal]:
    name = endpoint.inputs.get("serviceName")
    if not name:
        return
    try:
        endpoint.region.call("ec2", "describe_vpc_endpoint_services", ServiceNames=[name])
    except AwsError as error:
        yield Refusal(error.message, error.code)


def _ssl_policy(listener: Resource) -> Iterator[Refusal]:
    name = listener.inputs.get("sslPolicy")
    if name:
        policies = listener.region.call("elbv2", "describe_ssl_policies")["SslPolicies"]
        if name not in {policy["Name"] for policy in policies}:
            yield Refusal(f"SSL policy '{name}' not found", "SSLPolicyNotFound")


def _listener_certificate(listener: Resource) -> Iterator[Refusal]:
    if listener.inputs.get("protocol") in ("HTTPS", "TLS") and not listener.inputs.get("certificateArn"):
        yield Refusal("A certificate must be specified for HTTPS listeners", "ValidationError")


def _access_log_bucket(balancer: Resource) -> Iterator[Refusal]:
    """A load balancer writes a test object when it is given a bucket."""
    logs = balancer.inputs.get("accessLogs") or {}
    if not logs.get("enabled"):
        return
    bucket = logs["bucket"]
    try:
        policy = json.loads(balancer.region.call("s3", "get_bucket_policy", Bucket=bucket)["Policy"])
    except AwsError as error:
        if not error.not_found:
            raise
        policy = {"Statement": []}
    if not any(_lets_logs_in(statement, bucket) for statement in policy["Statement"]):
        yield Refusal(
            f"Access Denied for bucket: {bucket}. Please check S3bucket permission",
            "InvalidConfigurationRequest",
            operation="Elastic Load Balancing v2: ModifyLoadBalancerAttributes",
        )


def _lets_logs_in(statement: dict[str, Any], bucket: str) -> bool:
    def listed(value: Any) -> list[str]:
        return value if isinstance(value, list) else [value]

    principal = statement.get("Principal", {})
    services = ["*"] if principal == "*" else listed(principal.get("Service", []))
    return (
        statement["Effect"] == "Allow"
        and any(name in ("*", _LOG_DELIVERY, "delivery.logs.amazonaws.com") for name in services)
        and any(action in ("*", "s3:*", "s3:PutObject") for action in listed(statement["Action"]))
        and any(resource.startswith(f"arn:aws:s3:::{bucket}/") for resource in listed(statement["Resource"]))
    )


def _validation_records(validation: Resource) -> Iterator[Refusal]:
    """The certificate is only ever issued when DNS answers with what ACM asked for."""
    arn = validation.inputs["certificateArn"]
    missing = _missing_proofs(validation.region, arn)
    if missing:
        yield Refusal(
            f"waiting for ACM Certificate ({arn}) to be issued: timeout while waiting for state to become 'ISSUED'; "
            f"no record {', '.join(missing)}",
            "PENDING_VALIDATION",
        )


def _missing_proofs(region: Region, arn: str) -> list[str]:
    certificate = region.call("acm", "describe_certificate", CertificateArn=arn)["Certificate"]
    wanted = {
        option["ResourceRecord"]["Name"].rstrip("."): option["ResourceRecord"]["Value"].rstrip(".")
        for option in certificate.get("DomainValidationOptions", [])
        if "ResourceRecord" in option
    }
    found = dict(_cname_records(region)) if wanted else {}
    return sorted(name for name, value in wanted.items() if found.get(name) != value)


def _issued(listener: Resource) -> Iterator[Refusal]:
    """moto issues by the clock, ACM when the proofs are there."""
    arn = listener.inputs.get("certificateArn")
    if arn and _missing_proofs(listener.region, arn):
        yield Refusal(
            f"The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and a supported "
            "key size.",
            "UnsupportedCertificate",
        )


def _cname_records(region: Region) -> Iterator[tuple[str, str]]:
    for zone in region.call("route53", "list_hosted_zones")["HostedZones"]:
        records = region.call("route53", "list_resource_record_sets", HostedZoneId=zone["Id"])["ResourceRecordSets"]
        for record in records:
            if record["Type"] == "CNAME":
                yield record["Name"].rstrip("."), record["ResourceRecords"][0]["Value"].rstrip(".")


CHECKS = (
    Check(
        "schedule group",
        ("aws:scheduler/schedule:Schedule",),
        "A schedule's group has to exist.",
        api("scheduler", "CreateSchedule"),
        "apply",
        _schedule_group,
    ),
    Check(
        "endpoint service",
        ("aws:ec2/vpcEndpoint:VpcEndpoint",),
        "The service of a VPC endpoint has to exist in the region.",
        api("ec2", "CreateVpcEndpoint"),
        "apply",
        _endpoint_service,
    ),
    Check(
        "TLS policy",
        ("aws:lb/listener:Listener",),
        "A listener's security policy is one of ELB's.",
        api("elb", "CreateListener"),
        "apply",
        _ssl_policy,
    ),
    Check(
        "listener certificate",
        ("aws:lb/listener:Listener",),
        "An HTTPS listener has a certificate.",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/https-listener-certificates.html",
        "apply",
        _listener_certificate,
    ),
    Check(
        "issued certificate",
        ("aws:lb/listener:Listener",),
        "A listener takes a certificate that has been issued.",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/https-listener-certificates.html",
        "apply",
        _issued,
    ),
    Check(
        "access log bucket",
        (_LOAD_BALANCER,),
        "The bucket for access logs exists and lets the log delivery service write.",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/enable-access-logging.html",
        "apply",
        _access_log_bucket,
    ),
    Check(
        "certificate validation",
        ("aws:acm/certificateValidation:CertificateValidation",),
        "A certificate validated by DNS is issued once its records are in the zone.",
        "https://docs.aws.amazon.com/acm/latest/userguide/dns-validation.html",
        "apply",
        _validation_records,
    ),
)
