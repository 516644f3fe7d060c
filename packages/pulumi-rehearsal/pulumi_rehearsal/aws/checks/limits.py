"""Sizes, ranges and words that are allowed. They look at the inputs only."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator

from pulumi_rehearsal.aws.checks.base import Check, Refusal, Stage, api, at_path, snake
from pulumi_rehearsal.aws.lifecycle import Resource

USER_DATA_BYTES = 16384
"""Raw, before it is base64-encoded."""

CONDITION_VALUES = 5

ROLE_POLICY_BYTES = 10240
MANAGED_POLICY_BYTES = 6144
IAM_QUOTAS = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"
"""White space does not count."""

LOG_RETENTION_DAYS = (
    *(0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
MOST_RECEIVED = 1000
LAST_PORT = 65_535
RATE_WINDOWS_SECONDS = (60, 120, 300, 600)

Find = Callable[[Resource], Iterator[Refusal]]

_LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
_GROUP = "aws:autoscaling/group:Group"
_HOOK = "aws:autoscaling/lifecycleHook:LifecycleHook"
_LOAD_BALANCER = "aws:lb/loadBalancer:LoadBalancer"
_TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"
_RULE = "aws:lb/listenerRule:ListenerRule"
_SECURITY_GROUP = "aws:ec2/securityGroup:SecurityGroup"
_WEB_ACL = "aws:wafv2/webAcl:WebAcl"
_INVALID = "InvalidParameterException"


def _user_data(template: Resource) -> Iterator[Refusal]:
    for _, text in at_path(template.inputs, "userData"):
        try:
            raw = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            yield Refusal("Invalid BASE64 encoding of user data.", "InvalidUserData.Malformed")
            return
        if len(raw) > USER_DATA_BYTES:
            yield Refusal(
                f"User data is limited to {USER_DATA_BYTES} bytes (it has {len(raw)})", "InvalidUserData.Malformed"
            )


def _balancer_name(balancer: Resource) -> Iterator[Refusal]:
    for _, name in at_path(balancer.inputs, "name"):
        wrong = _balancer_name_problem(name)
        if wrong:
            yield Refusal(wrong, property="name")


def _balancer_name_problem(name: str) -> str | None:
    if len(name) > 32:
        return f'"name" cannot be longer than 32 characters: "{name}" has {len(name)}'
    if not re.fullmatch(r"[0-9A-Za-z-]+", name):
        return f'only alphanumeric characters and hyphens allowed in "name": "{name}"'
    if name.startswith("-") or name.endswith("-"):
        return f'"name" cannot begin or end with a hyphen: "{name}"'
    if name.startswith("internal-"):
        return f'"name" cannot begin with "internal-": "{name}"'
    return None


def _in_range(path: str, low: int, high: int, also: tuple[int, ...] = (), code: str = "", operation: str = "") -> Find:
    def find(resource: Resource) -> Iterator[Refusal]:
        for where, value in at_path(resource.inputs, path):
            if int(value) not in also and not low <= int(value) <= high:
                name = snake(path.rpartition(".")[2])
                message = f"expected {name} to be in the range ({low} - {high}), got {value}"
                yield Refusal(message, code=code, property=where, operation=operation)

    return find


_QUEUE_RANGES = {
    "delaySeconds": (0, 900),
    "kmsDataKeyReusePeriodSeconds": (60, 86_400),
    "maxMessageSize": (1024, 1_048_576),
    "messageRetentionSeconds": (60, 1_209_600),
    "receiveWaitTimeSeconds": (0, 20),
    "visibilityTimeoutSeconds": (0, 43_200),
}


def _queue(queue: Resource) -> Iterator[Refusal]:
    for path, (low, high) in _QUEUE_RANGES.items():
        yield from _in_range(path, low, high)(queue)


def _received(queue: Resource) -> Iterator[Refusal]:
    for _, text in at_path(queue.inputs, "redrivePolicy"):
        count = json.loads(text).get("maxReceiveCount")
        if count is not None and not 1 <= int(count) <= MOST_RECEIVED:
            yield Refusal(
                f"Value {text} for parameter RedrivePolicy is invalid. Reason: Invalid value for maxReceiveCount: "
                f"{count}, valid values are from 1 to {MOST_RECEIVED} both inclusive.",
                "InvalidParameterValue",
            )


def _group_name(group: Resource) -> Iterator[Refusal]:
    for _, name in at_path(group.inputs, "name"):
        if name.startswith("sg-"):
            yield Refusal(f'invalid value for name (cannot begin with sg-): "{name}"', property="name")


def _group_description(group: Resource) -> Iterator[Refusal]:
    for _, text in at_path(group.inputs, "description"):
        if not text.isascii():
            yield Refusal(
                f"Value ({text}) for parameter GroupDescription is invalid. Character sets beyond ASCII are not "
                "supported.",
                "InvalidParameterValue",
            )


def _ports(group: Resource) -> Iterator[Refusal]:
    for rules in ("ingress[]", "egress[]"):
        for path in (f"{rules}.fromPort", f"{rules}.toPort"):
            for _, port in at_path(group.inputs, path):
                if int(port) > LAST_PORT:
                    way = "Ingress" if rules == "ingress[]" else "Egress"
                    yield Refusal(
                        f"TCP/UDP port ({int(port)}) out of range",
                        "InvalidParameterValue",
                        operation=f"EC2: AuthorizeSecurityGroup{way}",
                    )


def _one_of(path: str, allowed: tuple[int, ...]) -> Find:
    def find(resource: Resource) -> Iterator[Refusal]:
        for where, value in at_path(resource.inputs, path):
            if int(value) not in allowed:
                listed = " ".join(str(item) for item in allowed)
                name = snake(path.rpartition(".")[2])
                yield Refusal(f"expected {name} to be one of [{listed}], got {value}", property=where)

    return find


def _condition_values(rule: Resource) -> Iterator[Refusal]:
    kinds = ("hostHeader", "httpHeader", "httpRequestMethod", "pathPattern", "sourceIp")
    count = sum(len(values) for kind in kinds for _, values in at_path(rule.inputs, f"conditions[].{kind}.values"))
    count += sum(len(pairs) for _, pairs in at_path(rule.inputs, "conditions[].queryStrings"))
    if count > CONDITION_VALUES:
        yield Refusal(f"A rule can only have '{CONDITION_VALUES}' condition values", "ValidationError")


def _group_size(group: Resource) -> Iterator[Refusal]:
    """Of a group that exists, the sizes that an update leaves out are those that it has: a schedule may have set it to
    0 meanwhile (https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_UpdateAutoScalingGroup.html)."""
    sizes = {name: group.inputs.get(name) for name in ("minSize", "maxSize", "desiredCapacity")}
    if not group.is_new:
        kept = {name for name, value in sizes.items() if value == group.old.get(name)}
        sizes |= {name: value for name, value in _sizes_now(group).items() if name in kept}
        if "desiredCapacity" in kept:  # AWS moves it into the new bounds
            sizes["desiredCapacity"] = None
    low, high, wanted = sizes.values()
    if low is not None and high is not None and low > high:
        yield Refusal(f"Max bound, {high}, must be greater than or equal to min bound, {low}", "ValidationError")
    elif wanted is not None and not (low or 0) <= wanted <= (high if high is not None else wanted):
        yield Refusal(
            f"Desired capacity:{wanted} must be between the specified min size:{low} and max size:{high}",
            "ValidationError",
        )


def _sizes_now(group: Resource) -> dict[str, int]:
    found = group.region.call("autoscaling", "describe_auto_scaling_groups", AutoScalingGroupNames=[group.id])
    return {
        "minSize": found["AutoScalingGroups"][0]["MinSize"],
        "maxSize": found["AutoScalingGroups"][0]["MaxSize"],
    }


def _node_group_size(group: Resource) -> Iterator[Refusal]:
    sizes = group.inputs["scalingConfig"]
    low, wanted, high = sizes["minSize"], sizes["desiredSize"], sizes["maxSize"]
    if low > wanted:
        yield Refusal(f"Minimum capacity {low} can't be greater than desired size {wanted}", _INVALID)
    if wanted > high or high < 1:
        yield Refusal(f"Maximum capacity {high} can't be less than {max(wanted, 1)}", _INVALID)


def _role_policy_size(policy: Resource) -> Iterator[Refusal]:
    size = len(re.sub(r"\s", "", policy.inputs["policy"]))
    if size > ROLE_POLICY_BYTES:
        yield Refusal(
            f"Maximum policy size of {ROLE_POLICY_BYTES} bytes exceeded for role {policy.inputs['role']}",
            "LimitExceeded",
        )


def _managed_policy_size(policy: Resource) -> Iterator[Refusal]:
    if len(re.sub(r"\s", "", policy.inputs["policy"])) > MANAGED_POLICY_BYTES:
        yield Refusal(f"Cannot exceed quota for PolicySize: {MANAGED_POLICY_BYTES}", "LimitExceeded")


def _check(name: str, types: str | tuple[str, ...], says: str, source: str, find: Find, at: Stage = "plan") -> Check:
    return Check(name, (types,) if isinstance(types, str) else types, says, source, at, find)


CHECKS = (
    _check(
        "user data size",
        _LAUNCH_TEMPLATE,
        "User data is limited to 16 KB, in raw form, before it is base64-encoded.",
        "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html",
        _user_data,
        at="apply",
    ),
    _check(
        "load balancer name",
        (_LOAD_BALANCER, _TARGET_GROUP),
        "A name has at most 32 letters, digits and hyphens, and no hyphen at either end.",
        api("elb", "CreateLoadBalancer"),
        _balancer_name,
    ),
    _check(
        "deregistration delay",
        _TARGET_GROUP,
        "The deregistration delay is 0 to 3600 seconds.",
        api("elb", "TargetGroupAttribute"),
        _in_range("deregistrationDelay", 0, 3600),
    ),
    _check(
        "idle timeout",
        _LOAD_BALANCER,
        "The idle timeout is 1 to 4000 seconds.",
        api("elb", "LoadBalancerAttribute"),
        _in_range(
            "idleTimeout",
            1,
            4000,
            code="InvalidConfigurationRequest",
            operation="Elastic Load Balancing v2: ModifyLoadBalancerAttributes",
        ),
        at="apply",
    ),
    _check(
        "heartbeat timeout",
        _HOOK,
        "The heartbeat timeout of a lifecycle hook is 30 to 7200 seconds.",
        api("autoscaling", "PutLifecycleHook"),
        _in_range("heartbeatTimeout", 30, 7200),
    ),
    _check(
        "heartbeat timeout of initial hooks",
        _GROUP,
        "The heartbeat timeout of a lifecycle hook is 30 to 7200 seconds.",
        api("autoscaling", "LifecycleHookSpecification"),
        _in_range("initialLifecycleHooks[].heartbeatTimeout", 30, 7200, code="ValidationError"),
        at="apply",
    ),
    _check(
        "group size",
        _GROUP,
        "Minimum, desired and maximum size are in that order.",
        api("autoscaling", "UpdateAutoScalingGroup"),
        _group_size,
        at="apply",
    ),
    _check(
        "node group size",
        "aws:eks/nodeGroup:NodeGroup",
        "Minimum, desired and maximum size of a node group are in that order, and the maximum is 1 at least.",
        api("eks", "NodegroupScalingConfig"),
        _node_group_size,
        at="apply",
    ),
    _check(
        "condition values",
        _RULE,
        "A listener rule has at most five condition values.",
        "https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html",
        _condition_values,
        at="apply",
    ),
    _check(
        "rate limit",
        _WEB_ACL,
        "A rate-based rule's limit is 10 to 2,000,000,000 requests.",
        api("waf", "RateBasedStatement"),
        _in_range("rules[].statement.rateBasedStatement.limit", 10, 2_000_000_000),
    ),
    _check(
        "rate window",
        _WEB_ACL,
        "A rate-based rule looks back 60, 120, 300 or 600 seconds.",
        api("waf", "RateBasedStatement"),
        _one_of("rules[].statement.rateBasedStatement.evaluationWindowSec", RATE_WINDOWS_SECONDS),
    ),
    _check(
        "recovery window",
        "aws:secretsmanager/secret:Secret",
        "A deleted secret can be restored for 7 to 30 days, or not at all.",
        api("secrets", "DeleteSecret"),
        _in_range("recoveryWindowInDays", 7, 30, also=(0,)),
    ),
    _check(
        "queue",
        "aws:sqs/queue:Queue",
        "Each time and size of a queue has its range.",
        api("sqs", "SetQueueAttributes"),
        _queue,
    ),
    _check(
        "receives before the dead-letter queue",
        "aws:sqs/queue:Queue",
        "A message is received 1 to 1,000 times before it goes to the dead-letter queue.",
        "https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html",
        _received,
        at="apply",
    ),
    _check(
        "security group name",
        _SECURITY_GROUP,
        "The name of a security group does not begin with sg-.",
        api("ec2", "CreateSecurityGroup"),
        _group_name,
    ),
    _check(
        "security group description",
        _SECURITY_GROUP,
        "A security group is described in ASCII.",
        api("ec2", "CreateSecurityGroup"),
        _group_description,
        at="apply",
    ),
    _check(
        "ports",
        _SECURITY_GROUP,
        "The last port is 65535.",
        "https://github.com/boto/boto3/issues/336",
        _ports,
        at="apply",
    ),
    _check(
        "log retention",
        "aws:cloudwatch/logGroup:LogGroup",
        "Logs are kept for one of the listed numbers of days.",
        api("logs", "PutRetentionPolicy"),
        _one_of("retentionInDays", LOG_RETENTION_DAYS),
    ),
    _check(
        "role policy size",
        "aws:iam/rolePolicy:RolePolicy",
        "An inline policy of a role has at most 10,240 characters, white space not counted.",
        IAM_QUOTAS,
        _role_policy_size,
        at="apply",
    ),
    _check(
        "managed policy size",
        "aws:iam/policy:Policy",
        "A managed policy has at most 6,144 characters, white space not counted.",
        IAM_QUOTAS,
        _managed_policy_size,
        at="apply",
    ),
)
