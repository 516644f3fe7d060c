"""What CloudWatch looks at of the gateway, and when somebody is called. Pure."""

from __future__ import annotations

from dataclasses import replace

from tandem.alarms import MINUTE, Alarm
from tandem.settings.gateway import GatewaySettings

TARGETS, COPIES, DATABASE, CACHE, LOG = "targets", "copies", "database", "cache", "log"
"""Of what a figure is: the load balancer's targets, the copies, the database, the cache, lines of the log."""
SPENT = "FallbackSpent"
"""Lines of the log that say that the fallback's day is spent."""

_ALARMS: tuple[tuple[str, Alarm], ...] = (
    (
        TARGETS,
        Alarm(
            name="gateway-down",
            says="no copy of the gateway is ready: it has no database, or does not start",
            metric="HealthyHostCount",
            statistic="Maximum",
            periods=3,
            above=0.5,
            below=True,
            missing="missing",
            namespace="AWS/ApplicationELB",
        ),
    ),
    (
        TARGETS,
        Alarm(
            name="gateway-errors",
            says="the gateway answers 5xx, more than 20 times in five minutes, twice in a row",
            metric="HTTPCode_Target_5XX_Count",
            statistic="Sum",
            period=5 * MINUTE,
            periods=2,
            above=20,
            namespace="AWS/ApplicationELB",
        ),
    ),
    (
        DATABASE,
        Alarm(
            name="gateway-database-busy",
            says="the gateway's database has been busy for a quarter of an hour",
            metric="CPUUtilization",
            statistic="Average",
            period=5 * MINUTE,
            periods=3,
            above=80,
            namespace="AWS/RDS",
        ),
    ),
    (
        DATABASE,
        Alarm(
            name="gateway-database-full",
            says="the gateway's database has less than 2 GiB left, and has grown as far as it may",
            metric="FreeStorageSpace",
            statistic="Minimum",
            period=5 * MINUTE,
            periods=3,
            above=2 * 2**30,
            below=True,
            namespace="AWS/RDS",
        ),
    ),
)
_SPENT = Alarm(
    name="gateway-fallback-spent",
    says="the fallback has cost what it may a day: who would fall back hears an error",
    metric=SPENT,
    statistic="Sum",
    period=5 * MINUTE,
    above=0,
)


def alarms(gateway: GatewaySettings, stack: str) -> list[tuple[str, Alarm]]:
    """Each with what it looks at."""
    spent = (LOG, replace(_SPENT, namespace=log_namespace(stack)))
    return [*_ALARMS, *([spent] if gateway.fallback else [])]


def log_namespace(stack: str) -> str:
    """Of figures that are counted in the log: what counts lines gives them no dimensions of its own."""
    return f"tandem/{stack}/gateway"
