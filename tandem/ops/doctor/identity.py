"""Who is asking, in which region, and what they may do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from botocore.exceptions import ClientError

from tandem.claim import against_claim, against_hold
from tandem.ops.aws import NOT_ACCEPTED, AwsError, code_of, is_gone, problem_of
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, from_problem, ok, unknown, warning
from tandem.ops.doctor.permissions import actions, request_context, resources
from tandem.ops.lives import lives

_CHUNK = 50


def credentials_work(examination: Examination) -> Iterator[Finding]:
    """Somebody, and not the root user. AWS never denies this question."""
    try:
        identity = examination.home("sts").get_caller_identity()
    except AwsError as refused:
        if code_of(refused) in NOT_ACCEPTED:
            yield error(
                "AWS does not know these credentials",
                value=code_of(refused),
                needed="credentials of an account that exists",
                fix="`aws configure list` shows where they come from; `aws sso login`, or set AWS_PROFILE",
            )
        else:
            yield from_problem(problem_of(refused, "credentials"))
        return
    arn = identity["Arn"]
    if arn.endswith(":root"):
        yield warning(
            "these are the root user's credentials, which nothing can limit",
            value=arn,
            needed="a role or a user of its own",
            fix="https://docs.aws.amazon.com/singlesignon/latest/userguide/getting-started.html",
        )
    else:
        yield ok("credentials work", value=arn)


def region_is_enabled(examination: Examination) -> Iterator[Finding]:
    """Newer regions are off until an account turns them on; then even good credentials are not accepted there."""
    region = examination.region
    try:
        (found,) = examination.clients("ec2").describe_regions(RegionNames=[region], AllRegions=True)["Regions"]
    except ClientError as refused:
        if code_of(refused) in NOT_ACCEPTED or code_of(refused) == "InvalidParameterValue":
            yield _region_is_off(region, code_of(refused))
        else:
            yield from_problem(problem_of(refused, region), "unknown")
        return
    if found["OptInStatus"] == "not-opted-in":
        yield _region_is_off(region, found["OptInStatus"])
    else:
        yield ok("the region is enabled", value=region)


def name_is_free_or_own(examination: Examination) -> Iterator[Finding]:
    """Whether `up` finds the name of the stack free, or held by this state, in this account and region."""
    stack, own = examination.stack, examination.own
    holders = [life.id for life in lives(examination.clients, stack)]
    if own is None and holders:
        yield unknown(
            f"a life of {stack} holds the name, and no state here tells whether it is this one",
            value=", ".join(holders),
            needed="the state of that life",
            fix="`pulumi login` to where the state is",
        )
        return
    rule = against_hold if own and own.holds_name else against_claim
    if problem := rule(stack, own.id if own else "", holders):
        yield from_problem(problem)
    else:
        yield ok("the name is this stack's" if holders else "the name is free", value=stack)


def _region_is_off(region: str, value: str) -> Finding:
    return error(
        f"the account has not enabled {region}",
        value=value,
        needed="an enabled region",
        fix=f"`aws account enable-region --region-name {region}` (takes minutes to hours), or another tandem:region",
    )


def may_do_what_up_does(examination: Examination) -> Iterator[Finding]:
    """IAM's own simulation of the actions that `up` and `destroy` take, on any resource or on the stack's.

    It knows the policies of the user or role and its permission boundary, not those of the organization.
    """
    arn = _principal(examination)
    if arn is None:
        yield ok("the root user may do everything")
        return
    needed = actions(examination.settings.platform)
    denied: dict[str, str] = {}
    for start in range(0, len(needed), _CHUNK):
        denied |= _denied(examination, arn, needed[start : start + _CHUNK])
    for service in {action.partition(":")[0] for action, decision in denied.items() if decision == "implicitDeny"}:
        asked = [action for action in denied if action.startswith(f"{service}:")]
        still = _denied(examination, arn, asked, _own_resources(examination, arn, service))
        denied = {action: still.get(action, "") if action in asked else found for action, found in denied.items()}
        denied = {action: decision for action, decision in denied.items() if decision}
    if denied:
        explicit = [name for name, decision in denied.items() if decision == "explicitDeny"]
        yield error(
            f"{arn} may not do all that `pulumi up` does"
            + (f"; explicitly denied: {', '.join(explicit)}" if explicit else ""),
            value=", ".join(sorted(denied)),
            needed=f"these actions, on any resource or on those of tandem-{examination.stack} (both were simulated)",
            fix="attach a policy that allows them: "
            "https://console.aws.amazon.com/iam/home#/" + ("roles" if ":role/" in arn else "users"),
        )
    else:
        yield ok(f"IAM allows the {len(needed)} actions of `up` and `destroy`", value=arn)


def _denied(
    examination: Examination, principal: str, actions: Sequence[str], resources: Sequence[str] = ()
) -> dict[str, str]:
    """Actions that are not allowed, with IAM's decision; one that is allowed on any of the resources is."""
    on = {"ResourceArns": list(resources)} if resources else {}
    pages = (
        examination.home("iam")
        .get_paginator("simulate_principal_policy")
        .paginate(
            PolicySourceArn=principal,
            ActionNames=list(actions),
            ContextEntries=request_context(
                examination.stack, examination.region, examination.settings.permissions_boundary
            ),
            **on,
        )
    )
    decisions: dict[str, set[str]] = {}
    for result in pages.search("EvaluationResults[]"):
        decisions.setdefault(result["EvalActionName"], set()).add(result["EvalDecision"])
    return {
        action: "explicitDeny" if "explicitDeny" in found else "implicitDeny"
        for action, found in decisions.items()
        if "allowed" not in found
    }


def _own_resources(examination: Examination, principal: str, service: str) -> list[str]:
    account = principal.split(":")[4]
    zone = examination.settings.load_balancer.hosted_zone_id
    return resources(service, account, examination.region, examination.stack, zone)


def _principal(examination: Examination) -> str | None:
    """The user or role behind the credentials, as the simulation wants it; None for the root user."""
    arn = examination.home("sts").get_caller_identity()["Arn"]
    session = re.fullmatch(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.+", arn)
    if arn.endswith(":root"):
        return None
    if not session:
        return arn
    try:
        # A role may have a path, which a session's name does not tell.
        return examination.home("iam").get_role(RoleName=session[3])["Role"]["Arn"]
    except ClientError as error:
        if not is_gone(error) and "AccessDenied" not in code_of(error):
            raise
        return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}"
