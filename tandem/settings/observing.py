"""Sections on what operators see: objectives, metrics, alarms."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal, NamedTuple

from pydantic import Field

from tandem.settings.section import Section
from tandem.settings.types import (
    BetweenTokens,
    Duration,
    FirstToken,
    HookUrl,
    LabelKey,
    LabelValue,
    LogDestinationArn,
    MirrorUrl,
    ProjectPath,
    RemoteWriteUrl,
    SecretArn,
    ServedName,
    SuitePath,
    TracesUrl,
    ports_of,
)

WORKSPACE = re.compile(r"https://aps-workspaces\.([a-z0-9-]+)\.amazonaws\.com/workspaces/(ws-[\w-]+)/.*")
"""The address of a workspace of Amazon Managed Service for Prometheus."""


class Workspace(NamedTuple):
    """Of Amazon Managed Service for Prometheus."""

    region: str
    id: str


class ObjectiveSettings(Section):
    """What clients are promised. Alarms follow from it."""

    first_token_seconds: FirstToken | None = Field(
        default=None,
        description="99 of 100 answers have begun by then. A bound of vLLM's histogram. Unset: from 2.5 on, by how "
        "long a token takes at least.",
    )
    between_tokens_seconds: BetweenTokens | None = Field(
        default=None, description="99 of 100 tokens come so soon after the one before, likewise. Unset: from 0.1 on."
    )
    availability_percent: float = Field(
        default=99.5,
        ge=95,
        le=99.99,
        description="Share of requests over 30 days that are answered; those that were wrong, or too many, count "
        "neither way. 99.5 is 3.6 hours a month.",
    )


class MetricsSettings(Section):
    """Figures that leave hosts and pods."""

    cloudwatch: bool = Field(
        default=True,
        description="Each machine reports to CloudWatch once a minute: some 15 metrics a model at $0.30 a month, and "
        "$0.44 a machine, a dashboard $3 unless the stack is ephemeral. false: Prometheus alone, where one asks.",
    )
    operator_labels: dict[LabelKey, LabelValue] | None = Field(
        default=None,
        max_length=10,
        description="Platform eks, where a Prometheus operator is in the cluster: labels by which it chooses what it "
        "reads, {} for one that reads all. It gets a PodMonitor and the alarms as rules, Grafana a dashboard.",
    )
    remote_write: RemoteWriteUrl | None = Field(
        default=None,
        description="Platform ec2: each host writes its servers', its edge's and its GPUs' metrics there, twice a "
        "minute, by an agent of Ubuntu's archive. To a workspace of Amazon Managed Prometheus in this account it signs "
        "them: some 400 series a server, $3 a month each. Elsewhere goes what is in the address, unsigned.",
    )

    managed_prometheus: bool = Field(
        default=False,
        description="Platform ec2: a workspace of Amazon Managed Prometheus of the stack's own; hosts write there as "
        "with remoteWrite, with the alarms as rules; where alarms are on, these call the stack's topic beside "
        "CloudWatch's. Kept on destroy unless the stack is ephemeral: $0.03 a GB and month, for 150 days.",
    )
    managed_grafana: bool = Field(
        default=False,
        description="A workspace of Amazon Managed Grafana, for which the organisation has IAM Identity Center, whose "
        "role may ask that Prometheus and CloudWatch. Each editor of a month is $9, each viewer $5.",
    )

    @property
    def written(self) -> bool:
        """Hosts write to a Prometheus."""
        return self.managed_prometheus or self.remote_write is not None

    @property
    def written_to_amazon(self) -> bool:
        """It is Amazon's, which takes money for each sample."""
        return self.managed_prometheus or self.workspace is not None

    @property
    def workspace(self) -> Workspace | None:
        """Of remoteWrite, if that is Amazon's."""
        found = WORKSPACE.fullmatch(self.remote_write or "")
        return Workspace(*found.groups()) if found else None

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP port of where metrics are written to; none without."""
        return ports_of(self.remote_write)


class AlarmSettings(Section):
    """Who is called when an objective is at risk."""

    enabled: bool | None = Field(
        default=None, description="Some $6 a month for each model. Unset: on, unless the stack is ephemeral."
    )
    hooks: tuple[HookUrl, ...] = Field(
        default=(),
        max_length=5,
        description="Addresses that take SNS's messages over HTTPS, such as a pager's; beside costGuard.alertEmails. "
        "They are no secrets here: subscribe one with a key in it to the topic by hand.",
    )


class JudgeSettings(Section):
    """A model that reads answers of a canary, where a case asks for it."""

    url: MirrorUrl = Field(description="An API of chats, without /v1. Opens its port to servers.")
    model: ServedName = Field(description="What it is asked for.")
    key_secret_arn: SecretArn | None = Field(
        default=None, description="A secret of the region whose text is the key for it. Unset: without a key."
    )


class CanarySettings(Section):
    """Questions whose answers are known. Each machine asks its own servers, before anybody is sent to them and then now
    and again; what fails is a figure and an alarm."""

    suite: SuitePath | None = Field(
        default=None,
        description="The questions (docs/canary.md); a change replaces servers. Unset: eight that any chat model "
        "answers.",
    )
    run: ProjectPath | None = Field(
        default=None,
        description="Answers of a version that is good, by `tandem canary --record`: their tokens must not drift. "
        "Unset: nothing is compared.",
    )
    every: Duration = Field(
        default=timedelta(hours=1), description="So often; some ten seconds of one request's share of a server."
    )
    gate: bool = Field(
        default=True,
        description="Once a version has passed, machines of another one serve only when it passes, too. false: it only "
        "calls.",
    )
    judge: JudgeSettings | None = Field(default=None, description="Unset: what a judge is asked for is left out.")


LogRetentionDays = Literal[1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827]
"""The periods that CloudWatch Logs knows, up to five years."""


class LogSettings(Section):
    """What is written down. Prompts, answers and keys never are."""

    requests: bool = Field(
        default=True,
        description="vLLM notes each request by the id that the edge gave it, with its sampling parameters, which may "
        "quote a client: stop words, the schema of an answer. About 1 KB a request: at 20 a second 51 GB and $26 a "
        "month in CloudWatch Logs. false: the edge's line alone, a third of a KB.",
    )
    send_to: LogDestinationArn | None = Field(
        default=None,
        description="Where lines of servers and edges go, too, within minutes (docs/logs.md): a Kinesis or Firehose "
        "stream or a Lambda function of the stack's account and region, or a destination of CloudWatch Logs in the "
        "region, by which other accounts take them. CloudWatch keeps them as before. The role costs nothing, what the "
        "other place takes is on its own bill.",
    )


class TracingSettings(Section):
    """OpenTelemetry: when a request waited, read its prompt and made tokens. No prompt is in a trace."""

    endpoint: TracesUrl | None = Field(
        default=None,
        description="Where vLLM sends its spans: a collector that speaks OTLP over HTTP. Opens its port to servers. "
        "Unset: no traces, and no traceparent of a client reaches vLLM.",
    )
    sample_ratio: float = Field(
        default=0.01,
        ge=0.0001,
        le=1,
        description="Share of requests that are traced, in steps of 0.0001. The edge decides; a client names its trace "
        "(traceparent), not whether there is one. Refused without an endpoint.",
    )

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP port of the endpoint; none without one."""
        return ports_of(self.endpoint)
