"""The same on platform eks: settings change in any order, nodes are replaced where the preview says so, and a platform
changes under a stack that is up.

Each change is one `pulumi up` on the real engine; boto3 looks at the account, and what the program declares in the
cluster is kept as it is. tests/rehearsal/kubernetes has the control plane.
"""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_rehearsal.operations import Step
from tests.rehearsal.changes import (
    CERTIFICATE,
    CI,
    DOMAIN,
    HEAD,
    NODE_GROUP,
    PLATFORM,
    ZONE,
    Change,
    Open,
    Settings,
    changed,
    differences,
    final,
    in_any_order,
    open_hours,
)
from tests.rehearsal.changes import account as account
from tests.rehearsal.changes import open_stack as open_stack
from tests.rehearsal.watched import done

pytestmark = [pytest.mark.engine, pytest.mark.long]

START: dict[str, Any] = {
    "region": "us-east-1",
    "platform": "eks",
    "tags": {"team": "search"},
    "network": {"zones": ["us-east-1a", "us-east-1b"], "egress": "singleNat"},
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "hosts": 2},
    "scaling": {"minReplicas": 2, "maxReplicas": 4},
    "inference": {"model": "Qwen/Qwen3-8B"},
    "costGuard": {"alertEmails": ["ops@example.com"]},
}
BOTH: dict[str, Change] = {
    "admins, the creator among them": [{"cluster.admins": [PLATFORM]}, {"cluster.admins": [CI, PLATFORM]}],
    "a private API, and back": [{"cluster.endpoint": "private"}, {"cluster.endpoint": None}],
    "another type beside": [{"fleet.instanceTypes": ["g6e.12xlarge", "g6e.48xlarge"]}],
    "another team": [{"tags": {"team": "answers", "cost-centre": "7"}}],
    "a larger disk": [{"fleet.rootVolumeGib": 300}],
    "an internal load balancer": [{"loadBalancer.scheme": "internal"}],
    "a node more for controllers": [{"cluster.systemNodes": 3}],
    "requests that begin alike meet": [{"inference.routing": {}}],
    "a head guesses": [{"inference.speculation": {"method": "eagle3", "model": HEAD}}],
    "a domain, with a certificate from elsewhere, then proven here": [
        {"loadBalancer.domainName": DOMAIN, "loadBalancer.certificateArn": CERTIFICATE},
        {"loadBalancer.certificateArn": None, "loadBalancer.hostedZoneId": ZONE},
    ],
}
CHANGES: dict[str, dict[str, Change]] = {
    "managed": BOTH
    | {
        "a node more, then fewer, then more": [{"fleet.hosts": 3}, {"fleet.hosts": 2}, {"fleet.hosts": 4}],
        "an end, none, a later one": [
            {"costGuard.expiresAfter": "30d"},
            {"costGuard.expiresAfter": None},
            {"costGuard.expiresAfter": "60d"},
        ],
        "business hours": [{"costGuard.businessHours": open_hours()}],
    },
    "karpenter": BOTH
    | {
        "room for more": [{"fleet.hosts": None, "fleet.maxHosts": 4}],
        "a budget": [{"costGuard.monthlyBudgetUsd": 20000}],
        "spot above the base": [{"fleet.onDemandBase": 1, "fleet.onDemandPercentage": 0}],
        "a window": [{"nodePool.replacementWindow": {"start": "01:00"}}],
    },
}
REPLACES_NODES = {
    "managed": {"another type beside", "another team", "a larger disk"},
    "karpenter": {"another type beside", "another team", "a larger disk"},
}
"""All others replace none; docs/runbook.md says so. A type with more GPUs has more pods to drain, and the time for that
is a part of Karpenter's nodes."""
SAYS_SO = "tags: new ones replace the GPU nodes, one after another"
NODE_POOL, NODE_CLASS = ":NodePool", ":EC2NodeClass"
ROLLED = ("launchTemplate", "version", "releaseVersion")
"""Of a node group: EKS brings all nodes to it, one after another."""
NOT_COMPARED = (
    "amiSelectorTerms",
    "capacityReservationSelectorTerms",
    "securityGroupSelectorTerms",
    "subnetSelectorTerms",
)
"""Of an EC2NodeClass: by these a node differs only where its own image, reservation, groups or subnet are none of them
(https://github.com/aws/karpenter-provider-aws/blob/main/pkg/apis/v1/ec2nodeclass.go)."""


def provided_by(provisioner: str) -> Settings:
    return changed(START, {"nodePool.provisioner": provisioner})


def replaces_nodes(step: Step) -> bool:
    """Whether GPU nodes are replaced: by EKS for a new version or another group, by Karpenter for what its hash has."""
    if step.type == NODE_GROUP:
        rolled = step.operation != "update" or any(path.startswith(ROLLED) for path in step.changed)
        return step.urn.endswith("-gpu") and rolled
    if step.type.endswith(NODE_CLASS):
        return any(not path.removeprefix("spec.").startswith(NOT_COMPARED) for path in step.changed)
    changed_template = any("template" in path and "requirements" not in path for path in step.changed)
    return step.type.endswith(NODE_POOL) and step.operation == "update" and changed_template


@pytest.fixture(scope="module", params=sorted(CHANGES))
def provisioner(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def fresh(provisioner: str, open_stack: Open) -> list[str]:
    """The account of a stack that was made with the final settings."""
    with open_stack() as made:
        made.up(final(provided_by(provisioner), CHANGES[provisioner]))
        return made.end()


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_the_account_ends_as_a_fresh_one(
    provisioner: str, seed: int, open_stack: Open, fresh: list[str]
) -> None:
    with open_stack() as stack:
        stack.up(provided_by(provisioner))
        replaced, said = set(), set()
        for what, change in in_any_order(CHANGES[provisioner], seed):
            up = stack.up(changed(stack.values, change))
            if any(map(replaces_nodes, up.changing())):
                replaced.add(what)
            if any(SAYS_SO in message for message in up.messages):
                said.add(what)
        assert replaced == REPLACES_NODES[provisioner]
        assert said == {"another team"}
        different = differences(stack.end(), fresh)
        assert not different, different


def test_a_preview_says_that_new_tags_replace_nodes(provisioner: str, open_stack: Open) -> None:
    with open_stack() as stack:
        stack.up(provided_by(provisioner))
        assert not any("tags:" in message for message in done(stack.workspace.preview()).messages)
        stack.write(changed(stack.values, {"tags.team": "answers"}))
        assert [message for message in done(stack.workspace.preview()).messages if SAYS_SO in message]
