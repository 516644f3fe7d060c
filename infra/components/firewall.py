"""The firewall in front of the load balancer: a limit on the requests of each client address."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pulumi

from tandem.tags import WEB_ACL_DESCRIPTION
from tandem.type_tokens import WEB_ACL

WINDOW_SECONDS = 60
RATE_LIMITED = json.dumps(
    {"error": {"message": "Too many requests", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
)


@dataclass(frozen=True, kw_only=True)
class FirewallArgs:
    """What a firewall needs.

    Attributes:
        load_balancer_arn: what it guards.
        requests_per_minute_per_ip: above this a client address gets 429, 10 at least.
        uncounted: header and value of requests that no limit counts: many clients' through one address.
    """

    load_balancer_arn: pulumi.Input[str]
    requests_per_minute_per_ip: int
    uncounted: tuple[str, pulumi.Input[str]] | None = None


class Firewall(pulumi.ComponentResource):
    """WAFv2 web ACL with one rule.

    Its two resources are declared by their type tokens: pulumi_aws.wafv2 holds thousands of classes for rules that
    nest, and importing it takes a third of the time of a whole preview.
    """

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Firewall", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        web_acl = _WebAcl(name, args, child)
        pulumi.CustomResource(
            "aws:wafv2/webAclAssociation:WebAclAssociation",
            name,
            {"resourceArn": args.load_balancer_arn, "webAclArn": web_acl.arn},
            child,
        )
        self.register_outputs({})


class _WebAcl(pulumi.CustomResource):
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions) -> None:
        rule = {
            "name": "requests-per-address",
            "priority": 1,
            "action": {"block": {"customResponse": _TOO_MANY}},
            "statement": {
                "rateBasedStatement": {
                    "limit": args.requests_per_minute_per_ip,
                    "evaluationWindowSec": WINDOW_SECONDS,
                    "aggregateKeyType": "IP",
                    **({"scopeDownStatement": _all_but(*args.uncounted)} if args.uncounted else {}),
                }
            },
            "visibilityConfig": _metric(f"{name}-requests-per-address"),
        }
        properties = {
            "scope": "REGIONAL",
            "description": WEB_ACL_DESCRIPTION,
            "defaultAction": {"allow": {}},
            "customResponseBodies": [
                {"key": "rate-limited", "contentType": "APPLICATION_JSON", "content": RATE_LIMITED}
            ],
            "rules": [rule],
            "visibilityConfig": _metric(name),
            "arn": None,
            "tags": None,
        }
        super().__init__(WEB_ACL, name, properties, opts)


_TOO_MANY = {
    "responseCode": 429,
    "customResponseBodyKey": "rate-limited",
    "responseHeaders": [{"name": "Retry-After", "value": str(WINDOW_SECONDS)}],
}


def _all_but(header: str, value: pulumi.Input[str]) -> dict[str, Any]:
    is_there = {
        "fieldToMatch": {"singleHeader": {"name": header.lower()}},
        "positionalConstraint": "EXACTLY",
        "searchString": value,
        "textTransformations": [{"priority": 0, "type": "NONE"}],
    }
    return {"notStatement": {"statement": {"byteMatchStatement": is_there}}}


def _metric(name: str) -> dict[str, str | bool]:
    return {"metricName": name, "cloudwatchMetricsEnabled": True, "sampledRequestsEnabled": False}
