"""One row of the table of what is ours."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ops.kinds import KINDS, types
from ops.kinds.kind import Clients, Item, Scope
from rehearsal.moto import ACCOUNT_ID

TOPIC = KINDS["aws:sns/topic:Topic"]
CLIENT = SimpleNamespace(meta=SimpleNamespace(region_name="us-east-1"))
TAGS = {"tandem:project": "tandem", "tandem:stack": "dev"}


def tags_of(code: str) -> Any:
    def tags(_client: Any, item: Item) -> dict[str, str]:
        if item["TopicArn"].endswith("gone"):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListTagsForResource")
        return TAGS

    return tags


def find(code: str) -> list[str]:
    arns = [f"arn:aws:sns:us-east-1:123456789012:{name}" for name in ("gone", "stays")]
    kind = replace(TOPIC, listing=lambda *_: ({"TopicArn": arn} for arn in arns), tags=tags_of(code))
    return [found.id.rsplit(":", 1)[1] for found in kind.find(Scope(lambda _service: CLIENT, "dev"))]


def test_what_went_since_it_was_listed_is_left_out() -> None:
    assert find("ResourceNotFound") == ["stays"]


def test_what_may_not_be_read_is_not_taken_for_gone() -> None:
    with pytest.raises(ClientError):
        find("AccessDenied")


def test_a_budget_is_ours_by_its_own_tags(clients: Clients) -> None:
    """Another state of the name counts the same cost: what a budget counts does not say whose it is."""
    budgets = clients("budgets")
    for name in ("tandem-dev-1", "tandem-dev-2"):
        budget = {"BudgetName": name, "BudgetType": "COST", "TimeUnit": "MONTHLY"}
        filters = {"TagKeyValue": ["user:tandem:stack$dev"]}
        limit = {"BudgetLimit": {"Amount": "1", "Unit": "USD"}, "CostFilters": filters}
        budgets.create_budget(AccountId=ACCOUNT_ID, Budget={**budget, **limit})
    arn = f"arn:aws:budgets::{ACCOUNT_ID}:budget/tandem-dev-2"
    tags = [{"Key": key, "Value": value} for key, value in {**TAGS, "more": "x"}.items()]
    budgets.tag_resource(ResourceARN=arn, ResourceTags=tags)
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["more"])
    (found,) = KINDS[types.BUDGET].find(Scope(clients, "dev"))
    assert (found.name, found.tags) == ("tandem-dev-2", TAGS)
