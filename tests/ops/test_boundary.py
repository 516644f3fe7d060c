"""The boundary: a deployer makes no role without it, and no role with it can do more than stacks need."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pulumi_rehearsal.policy_evaluator import ACCOUNT, Request, allowed
from tandem.ops.rights import boundary
from tandem.ops.rights.documents import documents
from tandem.ops.rights.right import BOUNDARY, DEPLOYER, TAGS, Scope
from tests.infra.roles import FILES, MADE, roles
from tests.infra.test_roles import AWS_MANAGED, OWN, asked

pytestmark = pytest.mark.sweep

HERE = "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/tandem-dev-host-0a1b2c3"
OURS, THEIRS = (f"arn:aws:iam::{ACCOUNT}:policy/{name}" for name in ("tandem-boundary", "theirs"))
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
(MOST,) = documents(BOUNDARY, Scope(account=ACCOUNT)).values()

POWERS = ("CreateRole", "PutRolePolicy", "PutRolePermissionsBoundary", "AttachRolePolicy")
ATTACHED = {"iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"}


def deployer(action: str, resource: str = ROLE, **context: str) -> Request:
    tags = {
        f"aws:{kind}/{key}": value for kind in ("RequestTag", "ResourceTag") for key, value in TAGS[DEPLOYER].items()
    }
    keys = {key.replace("__", ":"): value for key, value in context.items()}
    return Request(
        action=f"iam:{action}",
        resource=resource,
        identity=list(documents(DEPLOYER, Scope(account=ACCOUNT)).values()),
        context=tags | ATTACHED | keys,
    )


@pytest.mark.parametrize("action", POWERS)
def test_a_deployer_gives_power_to_roles_with_the_boundary_alone(action: str) -> None:
    requests = [
        deployer(action, iam__PermissionsBoundary=OURS),
        deployer(action, iam__PermissionsBoundary=THEIRS),
        deployer(action, iam__PermissionsBoundary=OURS.replace(ACCOUNT, "999999999999")),
        deployer(action),
    ]
    assert allowed(requests) == [True, False, False, False]


def test_a_deployer_can_neither_take_the_boundary_away_nor_change_it() -> None:
    requests = [
        deployer("DeleteRolePermissionsBoundary", iam__PermissionsBoundary=OURS),
        *(deployer(action, OURS) for action in ("CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicy")),
        *(deployer(action, f"arn:aws:iam::{ACCOUNT}:user/x") for action in ("CreateUser", "AttachUserPolicy")),
    ]
    assert allowed(requests) == [False] * len(requests)


def arn(service: str, end: str) -> str:
    return f"arn:aws:{service}:{'' if service == 'iam' else HERE}:{ACCOUNT}:{end}"


BEYOND: list[tuple[str, str]] = [
    *((f"iam:{action}", ROLE) for action in (*POWERS, "DeleteRolePermissionsBoundary", "UpdateAssumeRolePolicy")),
    ("iam:CreateUser", arn("iam", "user/x")),
    ("iam:CreatePolicyVersion", OURS),
    ("iam:PassRole", arn("iam", "role/theirs")),
    ("iam:PassRole", arn("iam", "role/tandem-deployer")),
    ("iam:AddRoleToInstanceProfile", arn("iam", "instance-profile/theirs")),
    ("sts:AssumeRole", arn("iam", "role/theirs")),
    ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:theirs-AbCdEf")),
    ("ssm:GetParameter", arn("ssm", "parameter/theirs")),
    ("ec2:TerminateInstances", arn("ec2", "instance/i-0123456789abcdef0")),
    ("ec2:RunInstances", arn("ec2", "instance/i-0123456789abcdef0")),
    ("ec2:DeleteVpc", arn("ec2", "vpc/vpc-0123456789abcdef0")),
    ("s3:DeleteObject", "arn:aws:s3:::theirs/key"),
    ("s3:PutObject", "arn:aws:s3:::theirs/key"),
    ("sns:Publish", arn("sns", "theirs")),
    ("sqs:ReceiveMessage", arn("sqs", "theirs")),
    ("logs:PutLogEvents", arn("logs", "log-group:/theirs:log-stream:x")),
    ("autoscaling:UpdateAutoScalingGroup", arn("autoscaling", "autoScalingGroup:0:autoScalingGroupName/theirs")),
    ("eks:UpdateNodegroupConfig", arn("eks", "nodegroup/theirs/theirs/0")),
    ("eks:DeleteCluster", arn("eks", "cluster/theirs")),
    ("kms:Decrypt", arn("kms", "key/01234567-0123-0123-0123-0123456789ab")),
    ("rds:DeleteDBInstance", arn("rds", "db:theirs")),
]


def test_no_policy_lets_a_role_go_beyond_the_boundary() -> None:
    """Not even AWS's AdministratorAccess."""
    context = {"iam:PassedToService": "ec2.amazonaws.com", "iam:PermissionsBoundary": OURS}
    requests = [
        Request(action=action, resource=resource, identity=[EVERYTHING], boundary=[MOST], context=context)
        for action, resource in BEYOND
    ]
    assert [case for case, one in zip(BEYOND, allowed(requests), strict=True) if one] == []
    without = [Request(action=one.action, resource=one.resource, identity=[EVERYTHING]) for one in requests]
    # For a key and for a role to assume, another policy must say so, too.
    assert {action for (action, _), one in zip(BEYOND, allowed(without), strict=True) if not one} <= {
        "kms:Decrypt",
        "sts:AssumeRole",
    }


def tagged(context: Mapping[str, str]) -> dict[str, str]:
    """What Karpenter makes has the project's tags, as its node class says."""
    kinds = {key.partition("/")[0] for key in context if "karpenter" in key}
    return {**context, **{f"{kind}/{key}": value for kind in kinds for key, value in TAGS[BOUNDARY].items()}}


def test_within_the_boundary_each_role_does_its_own_work() -> None:
    requests = [asked((stack, name, action, on, tagged(keys))) for stack, name, action, on, keys in OWN]
    bounded = [Request(**{**vars(request), "boundary": [MOST]}) for request in requests]
    assert [case for case, one in zip(OWN, allowed(bounded), strict=True) if not one] == []


def actions_of_roles() -> set[str]:
    found: set[str] = set()
    for stack in (*FILES, *MADE):
        for role in roles(stack).values():
            managed = [AWS_MANAGED[policy.rpartition("/")[2]] for policy in role.managed]
            found |= {
                action
                for policy in (*role.policies, *managed)
                for one in policy["Statement"]
                for action in one["Action"]
            }
    return found


def test_the_boundary_has_each_action_of_a_role_and_no_other() -> None:
    granted = {name for row in boundary.ROWS for name in row.names}
    roles_do = actions_of_roles()
    by_its_owners_key = {"kms:GenerateDataKey"}  # its policy grants it, to a role that this lets take it
    assert {name for name in granted if "*" not in name} - by_its_owners_key <= roles_do
    assert {name for name in roles_do if name not in granted} == {
        name for name in roles_do if name.startswith("ec2:Describe")
    }
