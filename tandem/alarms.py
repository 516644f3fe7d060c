"""The alarms of a model: what CloudWatch looks at, and when somebody is called. Pure.

An objective is watched by its burn rate: how many times faster than allowed its error budget is used up. 14.4 times, in
the last hour and still in the last 5 minutes, is 2 % of a month's budget and calls somebody; 6 times, in 6 hours and in
30 minutes, is 5 % (https://sre.google/workbook/alerting-on-slos/, multiwindow, multi-burn-rate).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tandem.objectives import LATENCY_BUDGET, Objectives

FIGURES = (
    *("BetweenTokens", "Failed", "FirstToken", "KvCacheUsed", "Load", "Preemptions", "Queued", "Restarts", "Servers"),
    *("Stalled", "TokensOut"),
)
"""That machines report of each model."""
GPU_FIGURES = ("GpuErrors", "GpuMemory", "GpuTemperature", "GpuUse")
"""Likewise, where they see their GPUs."""
CANARY_FIGURES = ("CanaryFailed",)
"""Likewise, where they have a canary."""
GUESS_FIGURES = ("GuessesRight", "Guessing")
"""Likewise, where tokens are guessed."""
START_FIGURES = ("StartImage", "StartReady", "StartWeights", "StartWhole")
"""Likewise, once a start."""
KEY_FIGURES = ("KeyDays",)
"""Likewise, while a client's last key has an end."""
NAMESPACE = "tandem"
"""Of the figures in CloudWatch (cloud-init/shared/telemetry.py)."""


def dimensions(stack: str, model: str) -> dict[str, str]:
    """By which CloudWatch tells figures of stacks and models apart.

    Args:
        model: main, or as the settings name a further one: two may serve under one name.
    """
    return {"Stack": stack, "Model": model}


FAST, SLOW = 14.4, 6.0
SPEEDS = {FAST: "fast", SLOW: "slow"}
OBJECTIVES = tuple(
    f"{what}-{speed}" for speed in SPEEDS.values() for what in ("first-token", "between-tokens", "errors")
)
"""Alarms of what is promised, each of several others."""


def name_of_both(stack: str, model: str, alarm: str, stack_id: str) -> str:
    """Of an alarm of others, which the account has once: the provider makes no name for it."""
    return f"tandem-{stack}-{model}-{alarm}-{stack_id}"


HOUR, MINUTE = 3600, 60
WINDOWS = {FAST: (HOUR, 5 * MINUTE), SLOW: (6 * HOUR, 30 * MINUTE)}
"""Seconds, by burn rate: the long window says that it matters, the short one that it still goes on."""

QUEUED_SECONDS, STALLED_SECONDS, FULL_PERCENT = 60, 120, 95
"""More of it is wrong: of a queue that stays, of a server without a token, of the KV cache."""

ENOUGH = 50
"""Requests in the long window; of fewer, one that fails would call."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One figure of CloudWatch, and when it is too high.

    Attributes:
        name: also of its page in the runbook.
        says: what is wrong, in one sentence.
        metric: in its namespace.
        statistic: of CloudWatch; `p94` is a percentile.
        period: seconds.
        periods: that are looked at.
        enough: of these, so many suffice; None for all.
        above: more than this is wrong; or less, where `below` is set.
        missing: what no figure means, in CloudWatch's words; "missing" after there were some calls, too.
        namespace: of the metric; machines report in tandem's.
    """

    name: str
    says: str
    metric: str
    statistic: str
    period: int = MINUTE
    periods: int = 1
    enough: int | None = None
    above: float
    below: bool = False
    missing: str = "notBreaching"
    namespace: str = NAMESPACE


@dataclass(frozen=True, kw_only=True)
class Both:
    """Alarms that call together: none does alone."""

    name: str
    says: str
    of: Sequence[Alarm]


def alarms(
    promised: Objectives, *, always_on: bool, servers: int, gpus: bool, canary: bool = False, tokens: bool = True
) -> list[Alarm | Both]:
    """Of one model.

    Args:
        always_on: it has servers at any hour, so that none is wrong.
        servers: that it then has while versions change, too.
        gpus: its machines tell of their GPUs.
        canary: they ask their servers what they should answer.
        tokens: it makes some; what embeds or scores has its vector or score in place of the first token, and no other.
    """
    burning = [one for one in _burning(promised) if tokens or not one.name.startswith("between-tokens")]
    found: list[Alarm | Both] = [*burning, *_SYMPTOMS, _FULL]
    if always_on:
        found.append(_SILENT)
    if always_on and servers > 1:  # of one, no-server tells
        found.append(_few(servers))
    if gpus:
        found.append(_GPU)
    if canary:
        found.append(_CANARY)
    return found


def _burning(promised: Objectives) -> Iterator[Both]:
    for rate, windows in WINDOWS.items():
        speed = SPEEDS[rate]
        budget = f"{rate:g} times faster than the month allows"
        latencies = {
            "first-token": ("FirstToken", promised.first_token_seconds, "answers begin later than promised"),
            "between-tokens": ("BetweenTokens", promised.between_tokens_seconds, "tokens come later than promised"),
        }
        # So many are late as may be at this rate: the slowest of the others is as late as promised.
        percentile = f"p{100 * (1 - rate * LATENCY_BUDGET):g}"
        for name, (metric, seconds, says) in latencies.items():
            yield _both(f"{name}-{speed}", f"{says}, {budget}", metric, percentile, seconds, windows)
        enough = Alarm(
            name=f"errors-{speed}-enough",
            says=f"more than {ENOUGH} requests in {windows[0] // MINUTE} minutes",
            metric="Failed",
            statistic="SampleCount",
            period=windows[0],
            above=ENOUGH,
        )
        says, bound = f"requests fail or are refused, {budget}", rate * promised.error_budget
        yield _both(f"errors-{speed}", says, "Failed", "Average", bound, windows, enough)


def _both(
    name: str, says: str, metric: str, statistic: str, above: float, windows: Sequence[int], *more: Alarm
) -> Both:
    """Too high in each window, and whatever more must hold."""
    return Both(
        name=name,
        says=says,
        of=[
            *(
                Alarm(
                    name=f"{name}-{window // MINUTE}m",
                    says=f"{says}: {window // MINUTE} minutes",
                    metric=metric,
                    statistic=statistic,
                    period=window,
                    above=round(above, 6),
                )
                for window in windows
            ),
            *more,
        ],
    )


_SYMPTOMS: tuple[Alarm, ...] = (
    Alarm(
        name="queue",
        says="requests have waited for a minute: there are more than the servers take",
        metric="Queued",
        statistic="Maximum",
        periods=5,
        above=QUEUED_SECONDS,
    ),
    Alarm(
        name="stalled",
        says="a server has requests and has read or made no token for two minutes",
        metric="Stalled",
        statistic="Maximum",
        above=STALLED_SECONDS,
    ),
    Alarm(
        name="restarts",
        says="servers start again and again",
        metric="Restarts",
        statistic="Sum",
        period=HOUR,
        above=4,
    ),
)
_FULL = Both(
    name="kv-cache",
    says="the KV cache is full: requests are thrown out of it and computed again",
    of=[
        Alarm(
            name="kv-cache-used",
            says="more than 95 % of the KV cache was in use, two minutes in a row",
            metric="KvCacheUsed",
            statistic="Maximum",
            periods=2,
            above=FULL_PERCENT,
        ),
        Alarm(
            name="kv-cache-preemptions",
            says="requests were thrown out of the KV cache, two minutes in a row",
            metric="Preemptions",
            statistic="Sum",
            periods=2,
            above=0,
        ),
    ],
)
"""The highest of a minute: while requests are thrown out the share in use goes up and down between 80 and 100 %."""
_SILENT = Alarm(
    name="no-server",
    says="no server answers, or none tells of itself",
    metric="Servers",
    statistic="Sum",
    periods=3,
    above=0.5,
    below=True,
    missing="missing",
)


def _few(servers: int) -> Alarm:
    """Longer than a host takes to come and a version to change: no capacity, or a start that hangs.

    Of the two hours some minutes may be short of nothing: a report that comes late counts twice in the next five.
    """
    return Alarm(
        name="few-servers",
        says="fewer servers answer than the settings ask for, for two hours",
        metric="Servers",
        statistic="Sum",
        period=5 * MINUTE,
        periods=24,
        enough=20,
        above=5 * (servers - 0.5),
        below=True,
    )


_GPU = Alarm(
    name="gpu",
    says="a GPU reports an error for which its host is replaced",
    metric="GpuErrors",
    statistic="Maximum",
    above=0,
)
_CANARY = Alarm(
    name="canary",
    says="a server does not answer what its canary expects",
    metric="CanaryFailed",
    statistic="Maximum",
    above=0,
)

CERTIFICATE = Alarm(
    name="certificate",
    says="the certificate ends in less than 14 days and has not been renewed",
    metric="DaysToExpiry",
    statistic="Minimum",
    period=24 * HOUR,
    above=14,
    below=True,
    missing="ignore",
    namespace="AWS/CertificateManager",
)
"""Of a stack. ACM, and most who renew by themselves, have done so by then. It tells the days twice a day, and
nothing once there are none: what has called goes on (https://docs.aws.amazon.com/acm/latest/userguide/cloudwatch-metrics.html)."""

KEYS = Alarm(
    name="key-expiry",
    says="a client's last key ends in less than 7 days",
    metric="KeyDays",
    statistic="Minimum",
    period=HOUR,
    above=7,
    below=True,
)
"""Of a stack, by what the main model's edges read; it ends with a new key, and with the key."""
