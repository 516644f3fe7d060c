"""A stack's own workspace of Amazon Managed Prometheus: what hosts write, the alarms as rules, and whom they call."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import indent

import pulumi
import yaml
from pulumi_aws import amp


@dataclass(frozen=True, kw_only=True)
class PrometheusWorkspaceArgs:
    """What a workspace needs.

    Attributes:
        region: of the topic.
        rules: groups of alert rules, as YAML.
        topic_arn: who hears of alerts, and of their end; None for nobody.
        keep_on_destroy: leaves it and what it holds, 150 days of it, in the account when the stack goes.
    """

    region: str
    rules: str
    topic_arn: pulumi.Input[str] | None
    keep_on_destroy: bool


class PrometheusWorkspace(pulumi.ComponentResource):
    """The workspace; its rules and its Alertmanager go with the stack in any case, since nothing writes any more.

    Attributes:
        arn: into which hosts may write, and which a Grafana may ask.
        endpoint: at which it is asked.
        remote_write_url: to which hosts write.
    """

    def __init__(self, name: str, args: PrometheusWorkspaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("tandem:index:PrometheusWorkspace", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        workspace = amp.Workspace(
            name,
            alias=name,
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.keep_on_destroy),
        )
        amp.RuleGroupNamespace(name, workspace_id=workspace.id, data=args.rules, opts=child)
        if args.topic_arn is not None:
            definition = pulumi.Output.from_input(args.topic_arn).apply(lambda arn: calling(arn, args.region))
            amp.AlertManagerDefinition(name, workspace_id=workspace.id, definition=definition, opts=child)
        self.arn = workspace.arn
        self.endpoint = workspace.prometheus_endpoint
        self.remote_write_url = pulumi.Output.concat(workspace.prometheus_endpoint, "api/v1/remote_write")
        self.register_outputs({"arn": self.arn, "remote_write_url": self.remote_write_url})


def calling(topic_arn: str, region: str) -> str:
    """An Alertmanager's definition that tells one topic. SNS takes a subject of 100 characters, and Alertmanager's own
    has all labels in it (https://docs.aws.amazon.com/prometheus/latest/userguide/AMP-alertmanager-receiver-config.html).
    """
    topic = {
        "topic_arn": topic_arn,
        "sigv4": {"region": region},
        "send_resolved": True,
        "subject": "{{ .Status }}: {{ .GroupLabels.stack }} {{ .GroupLabels.model }} {{ .GroupLabels.alertname }}",
    }
    config = {
        "route": {"receiver": "topic", "group_by": ["stack", "model", "alertname"]},
        "receivers": [{"name": "topic", "sns_configs": [topic]}],
    }
    return "alertmanager_config: |\n" + indent(yaml.safe_dump(config, sort_keys=False, width=10_000), "  ")
