"""Budgets, schedules, logs and alarms."""

from __future__ import annotations

from pulumi_rehearsal.aws.phrases import recorded, tagged_by_arn
from pulumi_rehearsal.aws.row import AutoName, Call, ResourceType, Tags, Text, change

_BUDGET = (
    "{AccountId: account, Budget: {BudgetName: inputs.name, BudgetType: inputs.budgetType, "
    "TimeUnit: inputs.timeUnit, BudgetLimit: {Amount: text(inputs.limitAmount), Unit: inputs.limitUnit}, "
    "CostFilters: mapping(inputs.costFilters[*].{Key: name, Value: values})}, "
    "NotificationsWithSubscribers: inputs.notifications[*].{Notification: {"
    "NotificationType: notificationType, ComparisonOperator: comparisonOperator, Threshold: threshold, "
    "ThresholdType: thresholdType}, Subscribers: ["
    "(subscriberSnsTopicArns || `[]`)[*].{SubscriptionType: 'SNS', Address: @}, "
    "(subscriberEmailAddresses || `[]`)[*].{SubscriptionType: 'EMAIL', Address: @}][]}}"
)

_BUDGET_ARN = "join('', ['arn:', partition, ':budgets::', account, ':budget/', part(id, ':', `1`)])"

BUDGET = ResourceType(
    type="aws:budgets/budget:Budget",
    service="budgets",
    create=Call("create_budget", _BUDGET),
    id="join(':', [account, inputs.name])",
    read=(
        Call("describe_budget", "{AccountId: account, BudgetName: part(id, ':', `1`)}", at="Budget"),
        Call(
            "describe_notifications_for_budget",
            "{AccountId: account, BudgetName: part(id, ':', `1`)}",
            at="Notifications",
            into="notifications",
        ),
    ),
    # moto has no UpdateBudget: the old one makes room for the new one
    update=(Call("delete_budget", "{AccountId: account, BudgetName: inputs.name}"), Call("create_budget", _BUDGET)),
    delete=Call("delete_budget", "{AccountId: account, BudgetName: inputs.name}"),
    tags=Tags(
        add=Call("tag_resource", f"{{ResourceARN: {_BUDGET_ARN}, ResourceTags: pairs(tags)}}"),
        remove=Call("untag_resource", f"{{ResourceARN: {_BUDGET_ARN}, ResourceTagKeys: removed}}"),
        read=Call("list_tags_for_resource", f"{{ResourceARN: {_BUDGET_ARN}}}", at="ResourceTags"),
        born="{ResourceTags: pairs(tags)}",
    ),
    autoname=AutoName(),
    outputs={
        "arn": Text("arn:{partition}:budgets::{account}:budget/{inputs[name]}"),
        "accountId": "account",
        "limitAmount": "found.BudgetLimit.Amount",
        "limitUnit": "found.BudgetLimit.Unit",
        "costFilters": "pairs(found.CostFilters)[*].{name: Key, values: Value}",
        "notifications": "found.notifications[*].{comparisonOperator: ComparisonOperator, "
        "notificationType: NotificationType, threshold: Threshold, thresholdType: ThresholdType}",
    },
    names={"name": "BudgetName"},
    unread=("timePeriodStart", "timePeriodEnd"),
    provider_only=("namePrefix",),
    replaces=("name", "budgetType"),
    import_id="{name: part(id, ':', `1`)}",
)

SCHEDULE_GROUP = ResourceType(
    type="aws:scheduler/scheduleGroup:ScheduleGroup",
    service="scheduler",
    create=Call("create_schedule_group", fill=True),
    id="inputs.name",
    read=Call("get_schedule_group", "{Name: id}"),
    delete=Call("delete_schedule_group", "{Name: id}"),
    tags=tagged_by_arn("ResourceArn", "result.ScheduleGroupArn || found.Arn || state.arn"),
    autoname=AutoName(limit=64),
    provider_only=("namePrefix",),
    import_id="{name: id}",
)

SCHEDULE = ResourceType(
    type="aws:scheduler/schedule:Schedule",
    service="scheduler",
    create=Call("create_schedule", fill=True),
    update=Call("update_schedule", fill=True),
    id="join('/', [inputs.groupName, inputs.name])",
    read=Call("get_schedule", "{GroupName: inputs.groupName, Name: inputs.name}"),
    delete=Call("delete_schedule", "{GroupName: inputs.groupName, Name: inputs.name}"),
    autoname=AutoName(limit=64),
    defaults={"groupName": "default"},
    provider_only=("namePrefix",),
    replaces=("name", "groupName"),
    import_id="{groupName: part(id, '/', `0`), name: part(id, '/', `1`)}",
)

LOG_GROUP = ResourceType(
    type="aws:cloudwatch/logGroup:LogGroup",
    service="logs",
    create=Call("create_log_group", fill=True),
    id="inputs.name",
    read=Call("describe_log_groups", "{logGroupNamePrefix: id}", at="find(logGroups, {logGroupName: id})"),
    changes=(
        change("kmsKeyId", by=recorded("logs:AssociateKmsKey"), on_create=False),
        change(
            "retentionInDays",
            by=(
                Call(
                    "put_retention_policy",
                    "{logGroupName: id, retentionInDays: inputs.retentionInDays}",
                    when="inputs.retentionInDays && inputs.retentionInDays != `0`",
                ),
                Call(
                    "delete_retention_policy",
                    "{logGroupName: id}",
                    when="!(inputs.retentionInDays) || inputs.retentionInDays == `0`",
                ),
            ),
        ),
    ),
    delete=Call("delete_log_group", "{logGroupName: id}", when="!(inputs.skipDestroy)"),
    tags=tagged_by_arn(
        "resourceArn",
        "join('', ['arn:', partition, ':logs:', region, ':', account, ':log-group:', id])",
        as_map=True,
        at="tags",
    ),
    autoname=AutoName(),
    # what AWS gives ends in `:*`, which the provider takes off
    outputs={"arn": Text("arn:{partition}:logs:{region}:{account}:log-group:{id}")},
    names={"name": "logGroupName"},
    provider_only=("namePrefix", "skipDestroy"),
    unread=("kmsKeyId",),  # moto has no AssociateKmsKey
    import_id="{name: id}",
)

LOG_SUBSCRIPTION = ResourceType(
    type="aws:cloudwatch/logSubscriptionFilter:LogSubscriptionFilter",
    service="logs",
    create=Call("put_subscription_filter", fill=True),
    update=Call("put_subscription_filter", fill=True),
    id="join('|', [inputs.logGroup, inputs.name])",
    read=Call(
        "describe_subscription_filters",
        "{logGroupName: inputs.logGroup}",
        at="find(subscriptionFilters, {filterName: inputs.name})",
    ),
    delete=Call("delete_subscription_filter", "{logGroupName: inputs.logGroup, filterName: inputs.name}"),
    autoname=AutoName(),
    names={"name": "filterName", "logGroup": "logGroupName"},
    defaults={"distribution": "ByLogStream"},
    # moto has it always so, and knows nothing of the other two
    unread=("distribution", "applyOnTransformedLogs", "emitSystemFields"),
    replaces=("name", "logGroup", "destinationArn"),
    import_id="{logGroup: part(id, '|', `0`), name: part(id, '|', `1`)}",
)

LOG_METRIC_FILTER = ResourceType(
    type="aws:cloudwatch/logMetricFilter:LogMetricFilter",
    service="logs",
    create=Call(
        "put_metric_filter",
        "{filterPattern: inputs.pattern, metricTransformations: [{metricName: inputs.metricTransformation.name, "
        "metricNamespace: inputs.metricTransformation.namespace, metricValue: inputs.metricTransformation.value}], "
        "logGroupName: inputs.logGroupName, filterName: inputs.name}",
    ),
    update=Call(
        "put_metric_filter",
        "{filterPattern: inputs.pattern, metricTransformations: [{metricName: inputs.metricTransformation.name, "
        "metricNamespace: inputs.metricTransformation.namespace, metricValue: inputs.metricTransformation.value}], "
        "logGroupName: inputs.logGroupName, filterName: inputs.name}",
    ),
    id="inputs.name",
    read=Call(
        "describe_metric_filters",
        "{logGroupName: inputs.logGroupName}",
        at="find(metricFilters, {filterName: inputs.name})",
    ),
    delete=Call("delete_metric_filter", "{logGroupName: inputs.logGroupName, filterName: inputs.name}"),
    autoname=AutoName(),
    names={"name": "filterName", "pattern": "filterPattern"},
    unread=("metricTransformation",),
    replaces=("name", "logGroupName"),
    import_id="{logGroupName: part(id, ':', `0`), name: part(id, ':', `1`)}",
)

_METRICS = (
    "inputs.metricQueries[*].{Id: id, Expression: expression, Label: label, Period: period, ReturnData: returnData, "
    "AccountId: accountId, MetricStat: metric.{Metric: {MetricName: metricName, Namespace: namespace, "
    "Dimensions: pairs(dimensions)[*].{Name: Key, Value: Value}}, Period: period, Stat: stat, Unit: unit}}"
)

METRIC_ALARM = ResourceType(
    type="aws:cloudwatch/metricAlarm:MetricAlarm",
    service="cloudwatch",
    create=Call("put_metric_alarm", f"{{Metrics: {_METRICS}}}", fill=True),
    update=Call("put_metric_alarm", f"{{Metrics: {_METRICS}}}", fill=True),
    id="inputs.name",
    read=Call("describe_alarms", "{AlarmNames: [id]}", at="MetricAlarms[0]"),
    delete=Call("delete_alarms", "{AlarmNames: [id]}"),
    tags=tagged_by_arn(
        "ResourceARN", "join('', ['arn:', partition, ':cloudwatch:', region, ':', account, ':alarm:', id])"
    ),
    autoname=AutoName(),
    outputs={"arn": "found.AlarmArn"},
    names={"name": "AlarmName", "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile"},
    unread=("metricQueries",),
    replaces=("name",),
    import_id="{name: id}",
)

COMPOSITE_ALARM = ResourceType(
    type="aws:cloudwatch/compositeAlarm:CompositeAlarm",
    service="cloudwatch",
    create=Call("put_composite_alarm", fill=True),
    update=Call("put_composite_alarm", fill=True),
    id="inputs.alarmName",
    read=Call("describe_alarms", "{AlarmNames: [id], AlarmTypes: ['CompositeAlarm']}", at="CompositeAlarms[0]"),
    delete=Call("delete_alarms", "{AlarmNames: [id]}"),
    tags=METRIC_ALARM.tags,
    outputs={"arn": "found.AlarmArn"},
    names={"okActions": "OKActions"},
    replaces=("alarmName",),
    import_id="{alarmName: id}",
)

DASHBOARD = ResourceType(
    type="aws:cloudwatch/dashboard:Dashboard",
    service="cloudwatch",
    create=Call("put_dashboard", fill=True),
    update=Call("put_dashboard", fill=True),
    id="inputs.dashboardName",
    read=Call("get_dashboard", "{DashboardName: id}"),
    delete=Call("delete_dashboards", "{DashboardNames: [id]}"),
    outputs={"dashboardArn": Text("arn:{partition}:cloudwatch::{account}:dashboard/{id}")},
    replaces=("dashboardName",),
    import_id="{dashboardName: id}",
)

ROWS = (
    BUDGET,
    SCHEDULE_GROUP,
    SCHEDULE,
    LOG_GROUP,
    LOG_SUBSCRIPTION,
    LOG_METRIC_FILTER,
    METRIC_ALARM,
    COMPOSITE_ALARM,
    DASHBOARD,
)
