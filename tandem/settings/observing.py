"""Sections on what operators see: objectives, metrics, alarms."""

from __future__ import annotations

from pydantic import Field

from tandem.settings.section import Section
from tandem.settings.types import BetweenTokens, FirstToken, HookUrl, LabelKey, LabelValue


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
