"""What the bill and its limits depend on in the account: the tag that budgets count by, the role that spot needs."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.costs import uses_spot
from tandem.ops.aws import AwsError, is_gone
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, ok, warning
from tandem.platforms import platform_of
from tandem.tags import ACTIVATE_TAG, STACK_TAG

SPOT_ROLE = "AWSServiceRoleForEC2Spot"
SPOT_SERVICE = "spot.amazonaws.com"


def tag_is_activated(examination: Examination) -> Iterator[Finding]:
    """Budgets and Cost Explorer see a tag only from the day on which the payer account has activated it."""
    answer = examination.home("ce").list_cost_allocation_tags(TagKeys=[STACK_TAG])["CostAllocationTags"]
    status = answer[0]["Status"] if answer else "not known yet: it appears within a day of the first resource with it"
    if status == "Active":
        yield ok(f"{STACK_TAG} is a cost allocation tag", value=status)
        return
    budget = examination.settings.cost_guard.monthly_budget_usd
    blind = f"; the budget of ${budget:,.2f} sees nothing and never alerts" if budget else ""
    yield warning(
        f"the tag {STACK_TAG} is not activated as a cost allocation tag{blind}",
        value=status,
        needed="Active, in the payer account of the organization",
        fix=ACTIVATE_TAG,
    )


def spot_role_is_there(examination: Examination) -> Iterator[Finding]:
    """A new account lacks the service-linked role; Karpenter then buys on demand, and says nothing."""
    batch = examination.settings.batch
    if not any(map(uses_spot, examination.settings.groups.values())) and not (batch and batch.spot):
        return
    try:
        role = examination.home("iam").get_role(RoleName=SPOT_ROLE)["Role"]
    except AwsError as refused:
        if not is_gone(refused):
            raise
        # Where no role of the stack may: Karpenter takes nodes on demand, and a managed group takes none.
        yield Finding(
            severity="warning" if platform_of(examination.settings).makes_spot_role else "error",
            what="the account has no role for spot instances, so hosts are bought on demand or not at all",
            value=f"no {SPOT_ROLE}",
            needed="the service-linked role of EC2 Spot, once in an account",
            fix=f"`aws iam create-service-linked-role --aws-service-name {SPOT_SERVICE}`",
        )
        return
    yield ok("the role for spot instances is there", value=role["Arn"])
