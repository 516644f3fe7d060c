"""Application load balancers: balancer, target group, listener, rule."""

from __future__ import annotations

from collections.abc import Mapping

from pulumi_rehearsal.aws.phrases import ELB_TAGS, attributes
from pulumi_rehearsal.aws.row import AutoName, Call, Change, ResourceType, change

_BALANCER_ATTRIBUTES = {
    "clientKeepAlive": "client_keep_alive.seconds",
    "desyncMitigationMode": "routing.http.desync_mitigation_mode",
    "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
    "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
    "enableDeletionProtection": "deletion_protection.enabled",
    "enableHttp2": "routing.http2.enabled",
    "enableTlsVersionAndCipherSuiteHeaders": "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
    "enableWafFailOpen": "waf.fail_open.enabled",
    "enableXffClientPort": "routing.http.xff_client_port.enabled",
    "enableZonalShift": "zonal_shift.config.enabled",
    "idleTimeout": "idle_timeout.timeout_seconds",
    "preserveHostHeader": "routing.http.preserve_host_header.enabled",
    "xffHeaderProcessingMode": "routing.http.xff_header_processing.mode",
    "accessLogs.bucket": "access_logs.s3.bucket",
    "accessLogs.enabled": "access_logs.s3.enabled",
    "accessLogs.prefix": "access_logs.s3.prefix",
    "connectionLogs.bucket": "connection_logs.s3.bucket",
    "connectionLogs.enabled": "connection_logs.s3.enabled",
    "connectionLogs.prefix": "connection_logs.s3.prefix",
}

_TARGET_ATTRIBUTES = {
    "deregistrationDelay": "deregistration_delay.timeout_seconds",
    "loadBalancingAlgorithmType": "load_balancing.algorithm.type",
    "loadBalancingAnomalyMitigation": "load_balancing.algorithm.anomaly_mitigation",
    "loadBalancingCrossZoneEnabled": "load_balancing.cross_zone.enabled",
    "slowStart": "slow_start.duration_seconds",
    "stickiness.cookieDuration": "stickiness.lb_cookie.duration_seconds",
    "stickiness.enabled": "stickiness.enabled",
    "stickiness.type": "stickiness.type",
}


def _attributes_change(operation: str, arn: str, keys: Mapping[str, str]) -> Change:
    by_key = {key: f"inputs.{name}" for name, key in keys.items()}
    return change(
        *dict.fromkeys(name.partition(".")[0] for name in keys),
        by=Call(operation, f"{{{arn}: id, Attributes: {attributes(by_key)}}}"),
    )


def _attribute_outputs(keys: Mapping[str, str]) -> dict[str, str]:
    return {name: f'found.attributes."{key}"' for name, key in keys.items() if "." not in name}


def _logs(kind: str) -> str:
    values = ", ".join(f'{name}: found.attributes."{kind}.s3.{name}"' for name in ("bucket", "enabled", "prefix"))
    return f'found.attributes."{kind}.s3.bucket" && {{{values}}}'


LOAD_BALANCER = ResourceType(
    type="aws:lb/loadBalancer:LoadBalancer",
    service="elbv2",
    create=Call("create_load_balancer", "{Scheme: inputs.internal && 'internal' || 'internet-facing'}", fill=True),
    id="result.LoadBalancers[0].LoadBalancerArn",
    read=(
        Call("describe_load_balancers", "{LoadBalancerArns: [id]}", at="LoadBalancers[0]"),
        Call(
            "describe_load_balancer_attributes",
            "{LoadBalancerArn: id}",
            at="mapping(Attributes)",
            into="attributes",
        ),
    ),
    changes=(
        _attributes_change("modify_load_balancer_attributes", "LoadBalancerArn", _BALANCER_ATTRIBUTES),
        change(
            "securityGroups",
            by=Call("set_security_groups", "{LoadBalancerArn: id, SecurityGroups: inputs.securityGroups}"),
            on_create=False,
        ),
        change("subnets", by=Call("set_subnets", "{LoadBalancerArn: id, Subnets: inputs.subnets}"), on_create=False),
        change(
            "ipAddressType",
            by=Call("set_ip_address_type", "{LoadBalancerArn: id, IpAddressType: inputs.ipAddressType}"),
            on_create=False,
        ),
    ),
    delete=Call("delete_load_balancer", "{LoadBalancerArn: id}"),
    tags=ELB_TAGS,
    autoname=AutoName(),
    outputs={
        **_attribute_outputs(_BALANCER_ATTRIBUTES),
        "arn": "id",
        "arnSuffix": "part(id, ':loadbalancer/', `1`)",
        "accessLogs": _logs("access_logs"),
        "connectionLogs": _logs("connection_logs"),
        "internal": "found.Scheme == 'internal'",
        "subnets": "found.AvailabilityZones[*].SubnetId",
        "zoneId": "found.CanonicalHostedZoneId",
    },
    names={"name": "LoadBalancerName", "loadBalancerType": "Type"},
    provider_only=("namePrefix",),
)

TARGET_GROUP = ResourceType(
    type="aws:lb/targetGroup:TargetGroup",
    service="elbv2",
    create=Call(
        "create_target_group",
        "{HealthCheckEnabled: inputs.healthCheck.enabled, HealthCheckIntervalSeconds: inputs.healthCheck.interval, "
        "HealthCheckPath: inputs.healthCheck.path, HealthCheckPort: inputs.healthCheck.port, "
        "HealthCheckProtocol: inputs.healthCheck.protocol, "
        "HealthCheckTimeoutSeconds: inputs.healthCheck.timeout, "
        "HealthyThresholdCount: inputs.healthCheck.healthyThreshold, "
        "UnhealthyThresholdCount: inputs.healthCheck.unhealthyThreshold, "
        "Matcher: inputs.healthCheck.matcher && {HttpCode: inputs.healthCheck.matcher}}",
        fill=True,
    ),
    id="result.TargetGroups[0].TargetGroupArn",
    read=(
        Call("describe_target_groups", "{TargetGroupArns: [id]}", at="TargetGroups[0]"),
        Call("describe_target_group_attributes", "{TargetGroupArn: id}", at="mapping(Attributes)", into="attributes"),
    ),
    changes=(
        _attributes_change("modify_target_group_attributes", "TargetGroupArn", _TARGET_ATTRIBUTES),
        change(
            "healthCheck",
            by=Call(
                "modify_target_group",
                "{TargetGroupArn: id, HealthCheckIntervalSeconds: inputs.healthCheck.interval, "
                "HealthCheckPath: inputs.healthCheck.path, HealthCheckPort: inputs.healthCheck.port, "
                "HealthCheckProtocol: inputs.healthCheck.protocol, "
                "HealthCheckTimeoutSeconds: inputs.healthCheck.timeout, "
                "HealthyThresholdCount: inputs.healthCheck.healthyThreshold, "
                "UnhealthyThresholdCount: inputs.healthCheck.unhealthyThreshold, "
                "Matcher: inputs.healthCheck.matcher && {HttpCode: inputs.healthCheck.matcher}}",
            ),
            on_create=False,
        ),
    ),
    delete=Call("delete_target_group", "{TargetGroupArn: id}"),
    tags=ELB_TAGS,
    autoname=AutoName(),
    outputs={
        **_attribute_outputs(_TARGET_ATTRIBUTES),
        "arn": "id",
        "arnSuffix": "join('', ['targetgroup/', part(id, ':targetgroup/', `1`)])",
        "healthCheck": "found.{enabled: HealthCheckEnabled, interval: HealthCheckIntervalSeconds, "
        "path: HealthCheckPath, port: HealthCheckPort, protocol: HealthCheckProtocol, "
        "timeout: HealthCheckTimeoutSeconds, healthyThreshold: HealthyThresholdCount, "
        "unhealthyThreshold: UnhealthyThresholdCount, matcher: Matcher.HttpCode}",
    },
    names={"name": "TargetGroupName"},
    provider_only=("namePrefix",),
)


def _action_names(actions: str) -> dict[str, str]:
    return {
        f"{actions}.redirect": "RedirectConfig",
        f"{actions}.fixedResponse": "FixedResponseConfig",
        f"{actions}.forward": "ForwardConfig",
        f"{actions}.forward.targetGroups.arn": "TargetGroupArn",
        f"{actions}.forward.stickiness": "TargetGroupStickinessConfig",
        f"{actions}.forward.stickiness.duration": "DurationSeconds",
    }


LISTENER = ResourceType(
    type="aws:lb/listener:Listener",
    service="elbv2",
    create=Call(
        "create_listener",
        "{Certificates: inputs.certificateArn && [{CertificateArn: inputs.certificateArn}]}",
        fill=True,
    ),
    id="result.Listeners[0].ListenerArn",
    read=Call("describe_listeners", "{ListenerArns: [id]}", at="Listeners[0]"),
    update=Call(
        "modify_listener",
        "{ListenerArn: id, Certificates: inputs.certificateArn && [{CertificateArn: inputs.certificateArn}]}",
        fill=True,
    ),
    delete=Call("delete_listener", "{ListenerArn: id}"),
    tags=ELB_TAGS,
    outputs={"arn": "id", "certificateArn": "found.Certificates[0].CertificateArn"},
    names=_action_names("defaultActions"),
)

_CONDITIONS = (
    "inputs.conditions[*].{Field: pathPattern && 'path-pattern' || hostHeader && 'host-header' || "
    "httpHeader && 'http-header' || httpRequestMethod && 'http-request-method' || "
    "sourceIp && 'source-ip' || queryStrings && 'query-string', "
    "PathPatternConfig: pathPattern.{Values: values}, HostHeaderConfig: hostHeader.{Values: values}, "
    "HttpHeaderConfig: httpHeader.{HttpHeaderName: httpHeaderName, Values: values}, "
    "HttpRequestMethodConfig: httpRequestMethod.{Values: values}, SourceIpConfig: sourceIp.{Values: values}, "
    "QueryStringConfig: queryStrings && {Values: queryStrings[*].{Key: key, Value: value}}}"
)

LISTENER_RULE = ResourceType(
    type="aws:lb/listenerRule:ListenerRule",
    service="elbv2",
    create=Call("create_rule", f"{{Conditions: {_CONDITIONS}}}", fill=True),
    id="result.Rules[0].RuleArn",
    read=Call("describe_rules", "{RuleArns: [id]}", at="Rules[0]"),
    update=Call("modify_rule", f"{{RuleArn: id, Conditions: {_CONDITIONS}}}", fill=True),
    changes=(
        change(
            "priority",
            by=Call("set_rule_priorities", "{RulePriorities: [{RuleArn: id, Priority: inputs.priority}]}"),
            on_create=False,
        ),
    ),
    delete=Call("delete_rule", "{RuleArn: id}"),
    tags=ELB_TAGS,
    outputs={
        "arn": "id",
        "conditions": "found.Conditions[*].{pathPattern: PathPatternConfig.{values: Values}, "
        "hostHeader: HostHeaderConfig.{values: Values}, "
        "httpHeader: HttpHeaderConfig.{httpHeaderName: HttpHeaderName, values: Values}, "
        "httpRequestMethod: HttpRequestMethodConfig.{values: Values}, sourceIp: SourceIpConfig.{values: Values}, "
        "queryStrings: QueryStringConfig.Values[*].{key: Key, value: Value}}",
    },
    names=_action_names("actions"),
    unread=("listenerArn",),
)

ROWS = (LOAD_BALANCER, TARGET_GROUP, LISTENER, LISTENER_RULE)
