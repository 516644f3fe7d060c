"""What who deploys really calls lies within the policies that are shipped for it, resource by resource and with their
tags, on both platforms; and done to what is another's, nearly all of it is refused."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.policy_evaluator import ACCOUNT
from pulumi_rehearsal.workspace import Workspace
from rehearsal.policy_calls import Call
from rehearsal.policy_questions import Question, decided, questions
from rehearsal.scene import PROJECT
from tandem.ops.rights.documents import Policy, documents
from tandem.ops.rights.right import DEPLOYER, VIEWER, Scope
from tests.calls import recorded, unread
from tests.rehearsal.test_guard import MANAGED
from tests.rehearsal.watched import REGION, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

BOUNDED = f"  tandem:permissionsBoundary: arn:aws:iam::{ACCOUNT}:policy/tandem-boundary\n"
HOSTS = f"""\
config:
  tandem:region: us-east-1
  tandem:ephemeral: true
  tandem:network: {{interfaceEndpoints: [ssm], flowLogRetentionDays: 7}}
  tandem:fleet: {{hosts: 2, maxHosts: 3}}
  tandem:logs: {{sendTo: "arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/lines"}}
  tandem:metrics: {{managedPrometheus: true, managedGrafana: true}}
  tandem:alarms: {{enabled: true}}
  tandem:costGuard:
    monthlyBudgetUsd: 100
    alertEmails: [a@example.com]
    businessHours: {{}}
    expiresAfter: 8h
    idleAfter: 2h
"""
SHIPPED, NARROW = Scope(), Scope(account=ACCOUNT, regions=[REGION], stacks=["dev"])

BY_EKS = re.compile("eks-cluster-sg-")
"""The name of the one group that EKS makes itself, and removes, with the cluster: the rehearsal plays that."""
ON_FOREIGN = {"ssm:ListTagsForResource", "wafv2:AssociateWebACL", "wafv2:DisassociateWebACL"}
"""What is allowed on another project's: a look, and what WAF binds to no tag of a load balancer (docs/rights.md)."""
IN_OTHERS = {("ec2:CreateSecurityGroup", "vpc"), ("ec2:RunInstances", "subnet")}
ON_FOREIGN_NAMES = {
    *("s3:DeleteBucketPolicy", "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock", "s3:PutBucketTagging"),
    *("s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration"),
}
"""The same on a bucket named as tandem names them, unless the policy is narrowed to a stack (docs/rights.md)."""


def policies(scope: Scope) -> list[Policy]:
    return [policy for role in (DEPLOYER, VIEWER) for policy in documents(role, scope).values()]


def by_aws(call: Call, calls: Sequence[Call]) -> bool:
    made = {one.answer["GroupId"] for one in calls if BY_EKS.match(one.params.get("GroupName", ""))}
    return call.operation in ("CreateSecurityGroup", "DeleteSecurityGroup") and (
        bool(BY_EKS.match(call.params.get("GroupName", ""))) or call.params.get("GroupId") in made
    )


def foreign(asked: Sequence[Question]) -> list[Question]:
    """The questions about what is there already, as if it were another project's, and another stack's by its name; but
    for whether a stack may stand in a network of others, as `network.existing` says."""
    tags = ("aws:ResourceTag/tandem:project", "s3:BucketTag/tandem:project")
    return [
        (
            action,
            re.sub(r"(?<=[:/])(tandem-dev|dev|tandem/dev)(?=[-/]|$)", "theirs", arn),
            tuple((key, "theirs" if key in tags else value) for key, value in context),
        )
        for action, arn, context in asked
        if (action, arn.rpartition("/")[0].rpartition(":")[2]) not in IN_OTHERS
        and not {*tags}.isdisjoint(key for key, _ in context)
    ]


def actions(decisions: Sequence[str]) -> set[str]:
    return {one.partition(" on ")[0] for one in decisions}


@pytest.mark.parametrize(
    "workspace",
    [HOSTS + BOUNDED, MANAGED + BOUNDED],
    indirect=True,
    ids=["ec2", "eks"],
)
def test_what_a_deployer_calls_is_within_its_rights(
    workspace: Workspace, account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    boundary = (PROJECT / "policies" / "tandem-boundary.json").read_text(encoding="utf-8")
    account.client("iam", REGION).create_policy(PolicyName="tandem-boundary", PolicyDocument=boundary)
    account.client("kinesis", REGION).create_stream(StreamName="lines", ShardCount=1)
    with recorded(monkeypatch) as calls:
        done(workspace.up())
        for change in (("set", "tandem:tags.team", "a"), ("set", "tandem:fleet.rootVolumeGib", "250")):
            workspace.pulumi("config", *change, "--path")
        assert done(workspace.up()).changing() != []
        workspace.pulumi("config", "rm", "tandem:tags.team", "--path")
        assert done(workspace.up()).changing() != []
        done(workspace.destroy())
    own = [call for call in calls if not by_aws(call, calls)]
    asked = questions(own)
    assert len(asked) > 300
    for scope in (SHIPPED, NARROW):
        assert unread(own, policies(scope)) == []
        assert decided(asked, policies(scope), False) == []
    others = foreign(asked)
    assert len(others) > 200
    assert actions(decided(others, policies(SHIPPED), True)) == ON_FOREIGN | ON_FOREIGN_NAMES
    assert actions(decided(others, policies(NARROW), True)) == ON_FOREIGN
