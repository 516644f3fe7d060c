"""The alarms of a stack and its models, in CloudWatch, to the stack's topic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi

from tandem.alarms import CERTIFICATE, KEYS, Alarm, Both, dimensions, name_of_both
from tandem.tags import MAIN_MODEL
from tandem.type_tokens import ALARM, COMPOSITE_ALARM


@dataclass(frozen=True, kw_only=True)
class AlarmsArgs:
    """What alarms need.

    Attributes:
        stack: by whose name machines report.
        stack_id: of this life of it; the provider makes no names for alarms of alarms, which the account has once.
        models: the alarms of each, by its name (main, or as the settings name a further one); none where machines tell
            nothing of themselves.
        certificate_arn: of the load balancer.
        topic_arn: who is told when one begins, and when it ends.
        gateway: the alarms of the gateway for teams, each with the dimensions of its figure.
    """

    stack: str
    stack_id: pulumi.Input[str]
    models: Mapping[str, Sequence[Alarm | Both]]
    certificate_arn: pulumi.Input[str]
    topic_arn: pulumi.Input[str]
    gateway: Sequence[tuple[Alarm, Mapping[str, pulumi.Input[str]]]] = ()


class _Declared(pulumi.CustomResource):
    """By its type token, as the log group is: importing pulumi_aws.cloudwatch costs a preview a tenth of a second."""

    arn: pulumi.Output[str]


class Alarms(pulumi.ComponentResource):
    """An alarm for each figure; of those that call together only their sum calls."""

    def __init__(self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:Alarms", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        calls = {"alarmActions": [args.topic_arn], "okActions": [args.topic_arn]}
        of_stack: list[tuple[Alarm, Mapping[str, pulumi.Input[str]]]] = [
            (CERTIFICATE, {"CertificateArn": args.certificate_arn})
        ]
        if args.models:
            of_stack.append((KEYS, dimensions(args.stack, MAIN_MODEL)))
        for alarm, of in (*of_stack, *args.gateway):
            said = f"{alarm.says}. docs/alarms.md, {alarm.name}"
            gone = {"insufficientDataActions": [args.topic_arn]} if alarm.missing == "missing" else {}
            self._alarm(f"{name}-{alarm.name}", alarm, of, alarmDescription=said, **calls, **gone)
        for model, alarms in args.models.items():
            of = dimensions(args.stack, model)
            for alarm in alarms:
                label = f"{name}-{model}-{alarm.name}"
                said = f"{model}: {alarm.says}. docs/alarms.md, {alarm.name}"
                if isinstance(alarm, Both):
                    parts = [self._alarm(f"{label}-{number}", one, of) for number, one in enumerate(alarm.of, 1)]
                    rule = pulumi.Output.all(*(part.arn for part in parts)).apply(_all_of)
                    own_name = pulumi.Output.from_input(args.stack_id).apply(
                        partial(name_of_both, args.stack, model, alarm.name)
                    )
                    about = {
                        "alarmName": own_name,
                        "alarmDescription": said,
                        "alarmRule": rule,
                        "arn": None,
                        "tags": None,
                    }
                    _Declared(COMPOSITE_ALARM, label, about | calls, self._child)
                else:
                    gone = {"insufficientDataActions": [args.topic_arn]} if alarm.missing == "missing" else {}
                    self._alarm(label, alarm, of, alarmDescription=said, **calls, **gone)
        self.register_outputs({})

    def _alarm(self, label: str, alarm: Alarm, of: Mapping[str, pulumi.Input[str]], **more: Any) -> _Declared:
        percentile = alarm.statistic.startswith("p")
        properties = {
            "namespace": alarm.namespace,
            "metricName": alarm.metric,
            "dimensions": of,
            "extendedStatistic" if percentile else "statistic": alarm.statistic,
            "period": alarm.period,
            "evaluationPeriods": alarm.periods,
            **({"datapointsToAlarm": alarm.enough} if alarm.enough else {}),
            "comparisonOperator": "LessThanThreshold" if alarm.below else "GreaterThanThreshold",
            "threshold": alarm.above,
            "treatMissingData": alarm.missing,
            "alarmDescription": alarm.says,
            "arn": None,
            "tags": None,
        }
        return _Declared(ALARM, label, properties | more, self._child)


def _all_of(arns: Sequence[str]) -> str:
    return " AND ".join(f'ALARM("{arn}")' for arn in arns)
