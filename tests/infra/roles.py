"""The roles and policies that stacks declare, ready to be evaluated."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import stack
from tandem import pins
from tandem.loading import load_stack_file
from tests.infra.declared import ACCOUNT, Declared, declared, declared_by

ROOT = Path(__file__).parents[2]
FILES = ("dev", "prod-ec2", "prod")
WORKSPACE = "ws-01234567-89ab-cdef-0123-456789abcdef"
HOSTS: dict[str, Any] = {
    "region": "us-east-1",
    "network": {"interfaceEndpoints": ["ssm"], "flowLogRetentionDays": 7},
    "inference": {"weightsS3Uri": "s3://weights/qwen"},
    "logs": {"sendTo": f"arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/lines"},
    "metrics": {
        "remoteWrite": f"https://aps-workspaces.us-east-1.amazonaws.com/workspaces/{WORKSPACE}/api/v1/remote_write"
    },
    "costGuard": {"expiresAfter": "4h", "monthlyBudgetUsd": 100, "alertEmails": ["a@example.com"]},
    "batch": {"maxUsd": 20},
}
PODS: dict[str, Any] = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2, "maxHosts": 4},
    "scaling": {"minReplicas": 0},
    "cluster": {"admins": ["arn:aws:iam::123456789012:role/platform"]},
    "logs": {"sendTo": f"arn:aws:firehose:us-east-1:{ACCOUNT}:deliverystream/lines"},
    "batch": {"maxUsd": 20},
}
MANAGED: dict[str, Any] = {key: value for key, value in PODS.items() if key != "batch"} | {
    "scaling": {"minReplicas": 2},
    "nodePool": {"provisioner": "managed"},
    "costGuard": {"expiresAfter": "4h"},
}
OBSERVED: dict[str, Any] = {
    "region": "us-east-1",
    "metrics": {"managedPrometheus": True, "managedGrafana": True},
    "costGuard": {"alertEmails": ["a@example.com"]},
}
TEAMS: dict[str, Any] = {
    "region": "us-east-1",
    "loadBalancer": {"domainName": "api.example.com", "hostedZoneId": "Z0123456789ABC"},
    "gateway": {
        "hostName": "teams.example.com",
        "fallback": {
            "model": "bedrock/eu.amazon.nova-lite-v1:0",
            "maxUsdPerDay": 5,
            "promptUsdPerMillion": 1,
            "answerUsdPerMillion": 4,
        },
    },
}
MADE = {"hosts": HOSTS, "observed": OBSERVED, "pods": PODS, "managed": MANAGED, "teams": TEAMS}
"""Stacks with what the three files leave out."""

_ARNS = {
    "Role": "iam::{account}:role/{name}",
    "Topic": "sns:us-east-1:{account}:{name}",
    "Workspace": "aps:us-east-1:{account}:workspace/{name}",
    "Queue": "sqs:us-east-1:{account}:{name}",
    "Bucket": "s3:::{name}",
    "Secret": "secretsmanager:us-east-1:{account}:secret:{name}-AbCdEf",
    "TargetGroup": "elasticloadbalancing:us-east-1:{account}:targetgroup/{name}/0123456789abcdef",
    "LogGroup": "logs:us-east-1:{account}:log-group:{name}",
    "Group": "autoscaling:us-east-1:{account}:autoScalingGroup:0:autoScalingGroupName/{name}-0a1b2c3",
    "NodeGroup": "eks:us-east-1:{account}:nodegroup/tandem/{name}/0",
    "FileSystem": "elasticfilesystem:us-east-1:{account}:file-system/fs-0123456789abcdef0",
    "AccessPoint": "elasticfilesystem:us-east-1:{account}:access-point/fsap-0123456789abcdef0",
}
"""Forms of ARNs by type, which Pulumi's mocks do not know."""


@dataclass
class Role:
    """A role of a stack: who may have it, and what it may do; `managed` are ARNs of AWS's own policies."""

    trust: dict[str, Any]
    policies: list[dict[str, Any]] = field(default_factory=list)
    managed: list[str] = field(default_factory=list)


@functools.cache
def built(name: str) -> Declared:
    """A stack by its name: of its file, or of MADE."""
    if name in MADE:
        return declared_by(MADE[name], name)
    settings = load_stack_file(ROOT / f"Pulumi.{name}.yaml").model_copy(update={"require_pins": False})
    return declared(lambda: stack.build(settings, pins.load(), name), name)


@functools.cache
def roles(name: str) -> dict[str, Role]:
    """Roles of a stack by their name."""
    found = {role: Role(_document(inputs["assumeRolePolicy"])) for role, inputs in built(name).of("Role").items()}
    for inputs in built(name).of("iam/rolePolicy:RolePolicy").values():
        found[inputs["role"]].policies.append(_document(inputs["policy"]))
    for inputs in built(name).of("RolePolicyAttachment").values():
        found[inputs["role"]].managed.append(inputs["policyArn"])
    return found


def documents(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each policy document of a stack, whatever it hangs on, with the resource's type and name."""
    for resource in built(name).resources:
        for value in resource.inputs.values():
            if isinstance(value, str) and value.startswith("{") and '"Statement"' in value:
                yield f"{resource.type} {resource.name}", _document(value)


def policy_of(name: str, kind: str) -> dict[str, Any]:
    """The policy of the only resource of a type, or of one by type and name, as `BucketPolicy dev-access-logs`."""
    type_name, _, resource = kind.partition(" ")
    found = built(name)
    return _document((found.of(type_name)[resource] if resource else found.one(type_name))["policy"])


def _document(text: str) -> dict[str, Any]:
    def real(match: re.Match[str]) -> str:
        return "arn:aws:" + _ARNS[match[1]].format(account=ACCOUNT, name=match[2])

    return json.loads(re.sub(rf"arn:aws:mock:us-east-1:{ACCOUNT}:(\w+)/([\w.-]+)", real, text))
