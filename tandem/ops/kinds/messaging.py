"""Rows: names, messages, logs, schedules and budgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tandem import type_tokens as types
from tandem.ops.kinds.kind import LEFT_BY, Item, ResourceType, Scope, listed, named, tag_map
from tandem.tags import PARAMETER_PATH


def _log_groups(logs: Any, scope: Scope) -> Iterator[Item]:
    """Of the thousands that an account may have, those with our names; others come from the tagging API."""
    for prefix in ("/tandem/", "tandem-", "/aws/eks/tandem-"):
        yield from _log_groups_from(logs, scope, prefix)
    for left in (one for one in scope.known if one.left_by):
        known = {LEFT_BY: left.left_by, "tags": left.tags}
        found = _log_groups_from(logs, scope, left.id)
        yield from ({**item, **known} for item in found if item["logGroupName"] == left.id)


def _log_groups_from(logs: Any, scope: Scope, prefix: str) -> Iterable[Item]:
    return listed("describe_log_groups", "logGroups", lambda _scope: {"logGroupNamePrefix": prefix})(logs, scope)


def _log_tags(logs: Any, item: Item) -> Mapping[str, str]:
    if LEFT_BY in item:
        return item["tags"]
    return logs.list_tags_for_resource(resourceArn=item["arn"].removesuffix(":*"))["tags"]


def _parameter_tags(ssm: Any, item: Item) -> dict[str, str]:
    return tag_map(ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=item["Name"])["TagList"])


def _budgets(budgets: Any, scope: Scope) -> Iterator[Item]:
    account = {"AccountId": scope.account}
    found = listed("describe_budgets", "Budgets", lambda _scope: account, page_size=1000)(budgets, scope)
    return ({**item, **account} for item in found if item["BudgetName"].startswith("tandem-"))


def _budget_tags(budgets: Any, item: Item) -> dict[str, str]:
    arn = f"arn:{budgets.meta.partition}:budgets::{item['AccountId']}:budget/{item['BudgetName']}"
    return tag_map(budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"])


ROWS = (
    ResourceType(
        type=types.PARAMETER,
        service="ssm",
        tagging_type="ssm:parameter",
        listing=listed(
            "get_parameters_by_path", "Parameters", lambda _scope: {"Path": PARAMETER_PATH, "Recursive": True}
        ),
        id="Name",
        arn="ARN",
        name="Name",
        created="LastModifiedDate",
        tags=_parameter_tags,
        # Which it leads to.
        after=(types.DASHBOARD,),
        delete=lambda ssm, parameter: ssm.delete_parameter(Name=parameter.id),
    ),
    ResourceType(
        type=types.DASHBOARD,
        service="cloudwatch",
        # It takes no tags: its name says of which life of which stack it is.
        listing=listed(
            "list_dashboards",
            "DashboardEntries",
            lambda scope: {"DashboardNamePrefix": scope.parent_id.replace("/", "-").removeprefix("-")},
        ),
        id="DashboardName",
        arn="DashboardArn",
        name="DashboardName",
        created="LastModified",
        tags=None,
        parent=types.PARAMETER,
        delete=lambda watch, dashboard: watch.delete_dashboards(DashboardNames=[dashboard.id]),
    ),
    ResourceType(
        type=types.TOPIC,
        service="sns",
        tagging_type="sns",
        listing=named(
            "sns",
            lambda _sns, arn: {"TopicArn": arn},
            listed("list_topics", "Topics[?contains(TopicArn, ':tandem-')]"),
        ),
        id="TopicArn",
        arn="TopicArn",
        name="TopicArn",
        tags=lambda sns, item: tag_map(sns.list_tags_for_resource(ResourceArn=item["TopicArn"])["Tags"]),
        after=(types.BUDGET, types.SCHEDULE_GROUP),
        delete=lambda sns, topic: sns.delete_topic(TopicArn=topic.id),
    ),
    ResourceType(
        type=types.LOG_GROUP,
        service="logs",
        tagging_type="logs:log-group",
        partial=True,
        listing=_log_groups,
        id="logGroupName",
        arn="logGroupArn || arn",
        name="logGroupName",
        tags=_log_tags,
        # What still writes would make it anew, without tags and retention.
        after=(types.FLOW_LOG, types.INSTANCE),
        delete=lambda logs, group: logs.delete_log_group(logGroupName=group.id),
    ),
    ResourceType(
        type=types.SCHEDULE_GROUP,
        service="scheduler",
        tagging_type="scheduler:schedule-group",
        listing=listed("list_schedule_groups", "ScheduleGroups", lambda _scope: {"NamePrefix": "tandem-"}),
        id="Name",
        name="Name",
        created="CreationDate",
        tags=lambda scheduler, item: tag_map(scheduler.list_tags_for_resource(ResourceArn=item["Arn"])["Tags"]),
        after=(types.SCHEDULE,),
        delete=lambda scheduler, group: scheduler.delete_schedule_group(Name=group.id),
    ),
    ResourceType(
        type=types.SCHEDULE,
        service="scheduler",
        listing=listed("list_schedules", "Schedules", lambda scope: {"GroupName": scope.parent_id}),
        id="join('/', [GroupName, Name])",
        name="Name",
        created="CreationDate",
        tags=None,
        parent=types.SCHEDULE_GROUP,
        # Until then they are what stops the fleet if this is interrupted.
        after=(types.GROUP, types.NODE_GROUP, types.INSTANCE),
        delete=lambda scheduler, schedule: scheduler.delete_schedule(GroupName=schedule.parent_id, Name=schedule.name),
    ),
    ResourceType(
        type=types.BUDGET,
        service="budgets",
        tagging_type="budgets:budget",
        listing=_budgets,
        id="join(':', [AccountId, BudgetName])",
        name="BudgetName",
        tags=_budget_tags,
        delete=lambda budgets, budget: budgets.delete_budget(
            AccountId=budget.facts["AccountId"], BudgetName=budget.name
        ),
    ),
)
