"""What must hold of figures and alarms."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.regions import GRAFANA_REGIONS
from tandem.errors import Problem
from tandem.rules.cluster import prefix_of
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings


def alarms_can_call(settings: Settings) -> Iterator[Problem]:
    """An alarm that is asked for has figures to look at, and somebody to call."""
    if not settings.alarms.enabled:
        return
    if not (settings.metrics.cloudwatch or settings.metrics.managed_prometheus):
        yield Problem(
            key="alarms.enabled",
            wrong="there are no figures to look at",
            value=True,
            allowed="with metrics.cloudwatch, or metrics.managedPrometheus",
            fix=set_to("metrics.cloudwatch", True),
        )
    if not _heard(settings):
        yield Problem(
            key="alarms.enabled",
            wrong="nobody would hear of them",
            value=True,
            allowed="together with costGuard.alertEmails or alarms.hooks",
            fix=set_to("costGuard.alertEmails[0]", "ADDRESS"),
        )


def judges_keys_are_in_the_region(settings: Settings) -> Iterator[Problem]:
    """Machines ask Secrets Manager of their own region, and are granted what is there."""
    for name, canary in settings.canaries.items():
        arn = canary.judge.key_secret_arn if canary and canary.judge else None
        if arn and f":secretsmanager:{settings.region}:" not in arn:
            key = f"{prefix_of(name)}canary.judge.keySecretArn"
            yield Problem(
                key=key,
                wrong="the secret is in another region than the stack",
                value=arn,
                allowed=f"a secret in {settings.region}",
                fix=f"replicate the secret to {settings.region}, and {set_to(key, 'ARN')}",
            )


def log_destination_is_in_the_region(settings: Settings) -> Iterator[Problem]:
    """Of the log group, too: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CrossAccountSubscriptions.html"""
    arn = settings.logs.send_to
    if arn and arn.split(":")[3] != settings.region:
        yield Problem(
            key="logs.sendTo",
            wrong="CloudWatch Logs sends lines to nothing in another region",
            value=arn,
            allowed=f"an ARN of {settings.region}",
            fix=f"make a destination of CloudWatch Logs in {settings.region}, whose stream may be in any region, and "
            f"{set_to('logs.sendTo', f'arn:aws:logs:{settings.region}:ACCOUNT:destination:NAME')}",
        )


def workspaces_fit_together(settings: Settings) -> Iterator[Problem]:
    """Hosts write to one Prometheus, and a Grafana of the stack's asks that of the stack."""
    metrics = settings.metrics
    if metrics.managed_prometheus and metrics.remote_write is not None:
        yield Problem(
            key="metrics.managedPrometheus",
            wrong=f"hosts write to one Prometheus, and metrics.remoteWrite names another ({metrics.remote_write})",
            value=True,
            allowed="one of the two",
            fix=f"{removed('metrics.remoteWrite')}, or {removed('metrics.managedPrometheus')}",
        )
    if metrics.managed_grafana and not metrics.managed_prometheus:
        yield Problem(
            key="metrics.managedGrafana",
            wrong="its dashboard asks a Prometheus of the stack, and there is none",
            value=True,
            allowed="together with metrics.managedPrometheus",
            fix=f"{set_to('metrics.managedPrometheus', True)}, or {removed('metrics.managedGrafana')}",
        )
    if metrics.managed_grafana and settings.region not in GRAFANA_REGIONS:
        yield Problem(
            key="metrics.managedGrafana",
            wrong=f"Amazon Managed Grafana is not in {settings.region}",
            value=True,
            allowed=f"in {', '.join(GRAFANA_REGIONS)}",
            fix=f"{removed('metrics.managedGrafana')}; a Grafana in another region can ask the same workspace",
        )


def warnings(settings: Settings) -> Iterator[str]:
    """What is allowed and may surprise."""
    if settings.alarmed and not _heard(settings):
        yield "alarms call nobody: name somebody in costGuard.alertEmails or alarms.hooks"


def _heard(settings: Settings) -> bool:
    return bool(settings.cost_guard.alert_emails or settings.alarms.hooks)
