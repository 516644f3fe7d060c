"""The rights that are shipped: what AWS says the actions take, and what an evaluator says the policies allow."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import pytest

from pulumi_rehearsal.policy_evaluator import ACCOUNT, Policy, Request, Takes, allowed, takes
from tandem.ops.rights import RIGHTS
from tandem.ops.rights.documents import POLICY_CHARACTERS, ROLE_POLICIES, characters, documents
from tandem.ops.rights.right import (
    BAKER,
    BOUNDARY,
    DEPLOYER,
    KEYKEEPER,
    REAPER,
    ROLES,
    TAGS,
    TEAMKEEPER,
    VIEWER,
    By,
    Right,
    Scope,
    arns,
    condition,
)
from tandem.ops.rights.write import ROOT, policies, replaced

pytestmark = pytest.mark.sweep

HERE = "us-east-1"
STACK = Scope(account=ACCOUNT, stacks=["dev"], zones=["Z0123456789ABC"], buckets=["weights"])
FILLS = ("0123456789abcdef0", "0123456789abcdef0/0", "0123456789abcdef0/0/0", "0123456789abcdef0/0/0/0")
"""Ids, in the forms that ARNs end with."""

Case = tuple[Right, str, str]
"""A row, one of its actions, and an ARN that it is about."""


@functools.cache
def reference() -> Mapping[str, list[Takes]]:
    """What AWS says of each action that the table names in full."""
    return takes(sorted({name for right in RIGHTS for name in right.names if "*" not in name}))


@functools.cache
def shape(pattern: str) -> re.Pattern[str]:
    """Of ARNs, as AWS's reference has them."""
    return re.compile(".*".join(re.escape(part) for part in re.split(r"\$\{[^}]+\}", pattern)))


def about(right: Right, action: str, scope: Scope = STACK) -> Iterator[tuple[str, Takes]]:
    """Each ARN of a row that an action is about, with what AWS says of the two."""
    for one in reference()[action]:
        if not one.resource:
            yield "*", one
            continue
        found = (arn for filled in FILLS for arn in arns(right, scope, HERE, filled) if shape(one.arn).fullmatch(arn))
        # The evaluator knows no parameter without an account, which AWS's own are.
        if arn := next((arn for arn in found if "::parameter/" not in arn), None):
            yield arn, one


@functools.cache
def cases(*by: By, role: str | None = None) -> Sequence[Case]:
    """Each row, action and ARN."""
    return [
        (right, action, arn)
        for right in RIGHTS
        if right.by in by and (role is None or role in right.who)
        for action in right.names
        if "*" not in action
        for arn, _ in about(right, action)
    ]


def test_each_action_exists_and_is_about_what_its_row_names() -> None:
    for right in RIGHTS:
        for action in right.names if right.sid != "MakeAlarmsOfAlarms" else ():  # CloudWatch takes it on * alone
            # Who looks, and what the boundary lets look, does so without naming anything.
            if "*" not in action and not ({VIEWER, BOUNDARY} & {*right.who} and right.on == "*"):
                assert list(about(right, action)), f"{right.sid}: {action} is about nothing that {right.on} names"


def test_no_row_names_what_none_of_its_actions_is_about() -> None:
    for right in RIGHTS:
        if any("*" in action for action in right.names) or right.on == "*":
            continue
        for end in right.on.split():
            alone = Right(**{**vars(right), "on": end})
            assert any(list(about(alone, action)) for action in right.names), f"{right.sid}: {end}"


@pytest.mark.parametrize(("by", "kind"), [(By.TAG, "ResourceTag"), (By.REQUEST, "RequestTag")])
def test_tags_are_asked_for_only_where_aws_looks_at_them(by: By, kind: str) -> None:
    """A condition on a key that an action does not take is never met: the right would be none, or seem to be one."""
    wrong = [
        (right.sid, action, one.resource)
        for right in RIGHTS
        if right.by is by
        for action in right.names
        for _, one in about(right, action)
        if not one.tag(kind)
    ]
    # An action of two sides, such as a subnet and its VPC, is bound on each side by the row for that side.
    other, kind = (By.REQUEST, "RequestTag") if by is By.TAG else (By.TAG, "ResourceTag")
    bound = {
        (action, one.resource)
        for right in RIGHTS
        if right.by is other
        for action in right.names
        for _, one in about(right, action)
        if one.tag(kind)
    }
    assert [case for case in wrong if case[1:] not in bound] == []


def test_further_conditions_are_ones_that_the_action_takes() -> None:
    for right in RIGHTS:
        keys = {key for part in right.when.values() for key in part if not key.startswith("aws:")}
        for action in right.names if keys else ():
            for _, one in about(right, action):
                assert keys <= one.keys, (right.sid, action, one.resource)


# -- what the policies allow


def fitting(right: Right, role: str, stack: str = "dev", **changed: str) -> dict[str, str]:
    """The context of a request that a row is made for: on a stack's own resource.

    Args:
        changed: tags with other values; empty for none.
    """
    tags = {**TAGS[role], "tandem:stack": stack, **{f"tandem:{key}": value for key, value in changed.items()}}
    context = {
        f"{kind}/{key}": value
        for kind in ("aws:ResourceTag", "aws:RequestTag", "s3:BucketTag")
        for key, value in tags.items()
        if value
    }
    for operator, keys in right.when.items():
        if operator != "Null":
            values = {key: value if isinstance(value, str) else value[0] for key, value in keys.items()}
            context |= {key: value.replace("{account}", ACCOUNT) for key, value in values.items()}
    return context | {"aws:RequestedRegion": HERE}


OF_A_KEY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
    ],
}
"""What a key has when nothing else is said: IAM decides, as for other resources."""


def asked(identity: Sequence[Policy], case: Case, context: Mapping[str, str]) -> Request:
    _, action, arn = case
    return Request(
        action=action,
        resource=arn,
        context=context,
        identity=identity,
        on_resource=OF_A_KEY if action.startswith("kms:") else None,
        bucket_abac=arn.startswith("arn:aws:s3:"),
    )


def decided(role: str, cases: Sequence[Case], decision: bool, scope: Scope | None = None, **changed: str) -> list[str]:
    """Which of the cases are decided so."""
    identity = list(documents(role, scope).values())
    requests = [asked(identity, case, fitting(case[0], role, **changed)) for case in cases]
    found = zip(cases, allowed(requests), strict=True)
    return sorted({f"{action} on {arn}" for (_, action, arn), one in found if one is decision})


BOUND = (By.TAG, By.BUCKET_TAG, By.REQUEST, By.NAME)


@pytest.mark.parametrize("role", [DEPLOYER, REAPER, BAKER, KEYKEEPER, TEAMKEEPER, BOUNDARY])
def test_a_role_may_do_all_of_its_rows_on_its_own(role: str) -> None:
    assert decided(role, cases(*BOUND, By.NOTHING, role=role), False) == []
    narrow = replace(STACK, regions=[HERE])
    assert decided(role, cases(*BOUND, By.NOTHING, role=role), False, narrow) == []


def removals() -> list[Case]:
    return cases(By.TAG, By.BUCKET_TAG, role=REAPER)


FOREIGN_TO_THE_REAPER: Mapping[str, Mapping[str, str]] = {
    "production": {"ephemeral": "false", "stack": "prod"},
    "untagged": {"project": "", "ephemeral": "", "stack": ""},
    "tandem's, and not tagged ephemeral": {"ephemeral": ""},
    "ephemeral, and another project's": {"project": "theirs"},
    "called ephemeral in another way": {"ephemeral": "True"},
}


@pytest.mark.parametrize("tags", FOREIGN_TO_THE_REAPER.values(), ids=FOREIGN_TO_THE_REAPER)
def test_the_reaper_can_remove_nothing_that_is_not_ephemeral(tags: Mapping[str, str]) -> None:
    """Whatever a group of schedules says: no right of the reaper's depends on one."""
    assert len({action for _, action, _ in removals()}) > 40
    assert decided(REAPER, removals(), True, None, **tags) == []


def test_the_reaper_has_nothing_that_tags_do_not_bind() -> None:
    """But what EFS does for a removal of a mount target that was allowed."""
    loose = [right for right in RIGHTS if REAPER in right.who and right.by not in (By.TAG, By.BUCKET_TAG)]
    by_a_clusters_tags = [right.sid for right in loose if "aws:ResourceTag/" in str(right.when)]
    assert by_a_clusters_tags == ["RemovePodsInterfaces", "RemoveClustersGroups"]
    assert [right.sid for right in loose if right.sid not in by_a_clusters_tags] == ["RemoveServicesInterfaces"]
    found = cases(By.NOTHING, role=REAPER)
    policies = list(documents(REAPER).values())
    assert allowed([asked(policies, case, {"aws:ViaAWSService": "false"}) for case in found]) == [False] * 3


def test_the_deployer_can_change_nothing_of_another_project() -> None:
    tagged = cases(By.TAG, By.BUCKET_TAG, role=DEPLOYER)
    assert len({action for _, action, _ in tagged}) > 90
    assert decided(DEPLOYER, tagged, True, project="", stack="") == []
    assert decided(DEPLOYER, tagged, True, project="theirs") == []
    assert decided(DEPLOYER, cases(By.REQUEST, role=DEPLOYER), True, project="") == []


def test_a_deployer_of_one_stack_can_change_no_other() -> None:
    tagged = cases(By.TAG, By.BUCKET_TAG, By.REQUEST, role=DEPLOYER)
    assert decided(DEPLOYER, tagged, True, Scope(stacks=["dev"]), stack="prod") == []


def test_names_bind_where_tags_cannot() -> None:
    named = [
        (right, action, re.sub(r"tandem-dev|dev-access", "theirs", arn).replace("Z0123456789ABC", "ZTHEIRS"))
        for right, action, arn in cases(By.NAME, role=DEPLOYER)
        if "aws-service-role" not in arn
    ]
    assert named
    assert decided(DEPLOYER, named, True, STACK) == []


def test_who_looks_changes_nothing() -> None:
    changing = cases(*BOUND, By.NOTHING, role=DEPLOYER)
    assert decided(VIEWER, changing, True) == []
    for action in ("secretsmanager:GetSecretValue", "logs:GetLogEvents", "s3:GetObject", "ssm:GetParameter"):
        service = action.partition(":")[0]
        end = {"secretsmanager": "secret:x-AbCdEf", "logs": "log-group:x:log-stream:y", "ssm": "parameter/theirs"}
        arn = f"arn:aws:{service}:{HERE}:{ACCOUNT}:{end[service]}" if service in end else "arn:aws:s3:::x/y"
        assert allowed([Request(action=action, resource=arn, identity=list(documents(VIEWER).values()))]) == [False]


# -- the documents


def test_what_is_shipped_is_what_the_table_says() -> None:
    """`make docs` makes it anew."""
    found = {file.name: file.read_text() for file in (ROOT / "policies").glob("*.json")}
    assert found == policies()
    page = (ROOT / "docs" / "rights.md").read_text()
    assert page == replaced(page)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "scope",
    [Scope(), STACK, Scope(account=ACCOUNT, regions=[HERE, "eu-central-1"], stacks=["dev", "prod"])],
    ids=["everything", "one stack", "two stacks in two regions"],
)
def test_policies_are_as_short_and_as_few_as_iam_takes(role: str, scope: Scope) -> None:
    found = documents(role, scope)
    assert max(map(characters, found.values())) <= POLICY_CHARACTERS
    # And the viewer's, which each role is given.
    assert len(found) + 1 <= ROLE_POLICIES


@pytest.mark.parametrize("scope", [Scope(), STACK])
def test_a_boundary_is_one_policy(scope: Scope) -> None:
    assert len(documents(BOUNDARY, scope)) == 1


def test_a_boundary_lets_a_role_use_a_key_of_others_for_a_stream_alone() -> None:
    """The key's own policy names the role, and gives nothing beyond the role's boundary."""
    given = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/somebody"}, "Resource": "*"}
    requests = [
        Request(
            action="kms:GenerateDataKey",
            resource=f"arn:aws:kms:{HERE}:{ACCOUNT}:key/0",
            context={"kms:ViaService": f"{service}.{HERE}.amazonaws.com"},
            boundary=[*documents(BOUNDARY, STACK).values()],
            on_resource={"Version": "2012-10-17", "Statement": [given | {"Action": "kms:GenerateDataKey"}]},
        )
        for service in ("kinesis", "s3")
    ]
    assert allowed(requests) == [True, False]


def test_what_nothing_binds_says_why() -> None:
    assert [right.sid for right in RIGHTS if not right.why] == []
    assert len({right.sid for right in RIGHTS}) == len(RIGHTS)


def test_regions_bind_all_but_what_is_answered_in_one() -> None:
    scope = Scope(regions=["eu-central-1"])
    free = {
        right.service
        for right in RIGHTS
        for role in right.who
        if "aws:RequestedRegion" not in str(condition(right, role, scope))
    }
    assert free == {"iam", "route53", "budgets", "ce", "pricing", "savingsplans"}
