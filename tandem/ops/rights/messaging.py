"""Rows: logs, schedules, names, messages and budgets."""

from __future__ import annotations

from tandem.ops.rights.right import FIRST, REAPER, REMOVERS, by_name, by_nothing, by_request, by_tag
from tandem.tags import PROJECT_TAG

_LOGS = "log-group:/tandem/{stack}/* log-group:tandem-{stack}-* log-group:/aws/eks/tandem-{stack}/*"
_NAMED = "tandem-{stack}-*"


ROWS = (
    by_request("MakeLogs", "logs: CreateLogGroup TagResource", _LOGS, FIRST),
    by_tag("ChangeLogs", "logs: PutRetentionPolicy TagResource UntagResource", _LOGS, "how long lines are kept"),
    by_tag(
        "SendLogs",
        "logs: DeleteMetricFilter DeleteSubscriptionFilter PutMetricFilter PutSubscriptionFilter",
        _LOGS,
        "logs.sendTo, from tandem's own groups, and what the gateway's alarm counts in its log",
    ),
    by_nothing(
        "SendLogsThrough",
        "logs: PutSubscriptionFilter",
        "destination:*",
        "a destination says itself which accounts it lets in, and carries no tag of tandem's",
    ),
    by_tag(
        "AskLogs",
        "logs: GetQueryResults StartQuery",
        _LOGS,
        "`tandem logs`: lines with addresses and names of clients, and with no prompt, answer or key",
    ),
    by_nothing(
        "StopAskingLogs",
        "logs: StopQuery",
        "*",
        "a query that takes too long, by its id; this action knows no resources",
    ),
    by_tag("RemoveLogs", "logs: DeleteLogGroup", _LOGS, "with its lines", who=REMOVERS),
    by_name(
        "RemoveLogsWrittenAnew",
        "logs: DeleteLogGroup",
        "log-group:/aws/eks/tandem-{stack}/cluster",
        "EKS writes a cluster's log for a while after its end, and makes the group anew, without tags",
        when={"Null": {f"aws:ResourceTag/{PROJECT_TAG}": "true"}},
        platform="eks",
    ),
    by_name(
        "MakeSchedules",
        "scheduler: CreateSchedule DeleteSchedule UpdateSchedule",
        f"schedule/{_NAMED}/*",
        "schedules carry no tags; the name of their group is tandem's",
    ),
    by_request("MakeScheduleGroups", "scheduler: CreateScheduleGroup TagResource", f"schedule-group/{_NAMED}", FIRST),
    by_tag(
        "ChangeScheduleGroups", "scheduler: TagResource UntagResource", f"schedule-group/{_NAMED}", "tags of one's own"
    ),
    by_tag(
        "RemoveScheduleGroups",
        "scheduler: DeleteScheduleGroup",
        f"schedule-group/{_NAMED}",
        "with the schedules in it",
        who=REMOVERS,
    ),
    by_request(
        "HoldNames",
        "ssm: AddTagsToResource PutParameter",
        "parameter/tandem/{stack}/*",
        "the parameter that holds a stack's name; it carries tandem's tags from the start",
    ),
    by_tag(
        "ChangeNamesTags",
        "ssm: AddTagsToResource RemoveTagsFromResource",
        "parameter/tandem/{stack}/*",
        "tags of one's own",
    ),
    by_tag(
        "ReleaseNames",
        "ssm: DeleteParameter",
        "parameter/tandem/{stack}/*",
        "the name is free when its stack is gone",
        who=REMOVERS,
    ),
    by_request("MakeTopics", "sns: CreateTopic TagResource", _NAMED, FIRST),
    by_tag(
        "ChangeTopics",
        "sns: SetTopicAttributes Subscribe TagResource UntagResource",
        _NAMED,
        "policy and subscribers of one's own",
    ),
    by_name(
        "EndSubscriptions",
        "sns: SetSubscriptionAttributes Unsubscribe",
        _NAMED,
        "subscriptions carry no tags; they go with the topic in any case",
    ),
    by_tag("RemoveTopics", "sns: DeleteTopic", _NAMED, "with its subscriptions", who=REMOVERS),
    by_name(
        "ChangeBudgets",
        "budgets: ModifyBudget TagResource UntagResource",
        f"budget/{_NAMED}",
        "AWS asks for the same right to make, change and remove one",
    ),
    by_tag(
        "RemoveBudgets",
        "budgets: ModifyBudget",
        f"budget/{_NAMED}",
        "AWS asks for the same right to make, change and remove one",
        who=(REAPER,),
    ),
)
