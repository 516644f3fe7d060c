"""What hours of load tell: what leaks, gets slower, restarts or fails. Pure but for the load and for looks."""

from __future__ import annotations

import math
import re
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

from tandem.objectives import Objectives
from tandem.ops.load import generator
from tandem.ops.load.report import seconds as in_seconds
from tandem.ops.load.sweep import Step, step
from tandem.ops.load.trends import Points, Trend, after, trend
from tandem.ops.smoke import Target

TIMES = 2
"""The expected peak, so often: what a stack meets when a zone is gone, or a guess was low."""
SHORTEST, LONGEST, WINDOWS = 60, 600, 48
"""Seconds of a stretch of load between two looks at rest, and how many stretches a soak has where that allows."""
SLOWER = 0.2
"""A latency that grew by such a share has drifted: less is what one hour has over another."""
WARM = 0.25
"""Share of the time in which caches fill and latencies settle."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A figure that must not grow, in the second half of the time: what levels off is no leak.

    Attributes:
        relative, absolute: it leaks when it grew by such a share, and by so much.
        sign: -1 for what must not shrink.
    """

    says: str
    relative: float = 0.0
    absolute: float = 0.0
    sign: int = 1


WATCHED: Mapping[str, Watch] = {
    "process_resident_memory_bytes": Watch(says="memory of a server's process", relative=0.02),
    "node_memory_MemAvailable_bytes": Watch(says="free memory of a host", relative=0.02, sign=-1),
    "tandem_gpu_memory_percent": Watch(says="memory of GPUs in use, percent", absolute=2),
    "DCGM_FI_DEV_FB_USED": Watch(says="memory of GPUs in use, MiB", relative=0.02),
    "vllm:kv_cache_usage_perc": Watch(says="share of the KV cache that is kept at rest", absolute=0.02),
    "vllm:num_requests_running": Watch(says="requests that run at rest", absolute=0.5),
}
"""Series of vLLM, Prometheus' node exporter, tandem's hosts and NVIDIA's DCGM exporter."""
TOLD: Mapping[str, Watch] = {
    "gpu_memory_percent": Watch(says="memory of GPUs in use, percent", absolute=2),
    "kv_cache_percent": Watch(says="KV cache in use under the same load, percent", absolute=5),
}
"""What machines tell CloudWatch, as tandem/ops/figures.py calls it."""
STARTED = "process_start_time_seconds"
RESTARTS = "restarts"
"""Of CloudWatch: how many since the last figure."""
_LINE = re.compile(rf"(?m)^({'|'.join([*WATCHED, STARTED])})(\{{.*\}})? (\S+)")

Series = tuple[str, str]
"""A name, and where it is: the page's address and labels."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A stretch of load, and what servers told at rest after it.

    Attributes:
        hours: when it ended, since the beginning.
        silent: pages that did not answer.
    """

    hours: float
    step: Step
    told: Mapping[Series, float] = field(default_factory=dict)
    silent: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What should not be."""

    kind: Literal["leak", "drift", "restart", "errors"]
    said: str


def stretch(hours: float) -> int:
    """Seconds between two looks."""
    return round(min(LONGEST, max(SHORTEST, hours * 3600 / WINDOWS)))


def windows(
    target: Target,
    model: str,
    rate: float,
    bodies: Callable[[int, int], Sequence[Mapping[str, Any]]],
    promised: Objectives,
    *,
    hours: float,
    seconds: float,
    pages: Sequence[str],
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Window]:
    """Load at one rate until the time is over, with a look at the pages after each stretch.

    Args:
        bodies: of the stretch with a number, so many.

    Raises:
        UserError: the generator measured nothing.
    """
    begun, number = time.monotonic(), 0
    while (time.monotonic() - begun) / 3600 < hours:
        number += 1
        sent, lasted = generator.send(target, model, rate, bodies(number, math.ceil(rate * seconds)), seconds, waiting)
        told, silent = look(pages)
        yield Window(
            hours=(time.monotonic() - begun) / 3600, step=step(rate, lasted, sent, promised), told=told, silent=silent
        )


def look(pages: Sequence[str]) -> tuple[dict[Series, float], list[str]]:
    """What servers tell now, and the pages that did not answer."""
    found, silent = dict[Series, float](), list[str]()
    for page in pages:
        try:
            with urllib.request.urlopen(page, timeout=10) as answer:  # noqa: S310  (the caller's own, http or https)
                text = answer.read().decode("utf-8", "replace")
        except (OSError, ValueError):
            silent.append(page)
        else:
            found |= {(name, f"{page} {labels}".strip()): float(value) for name, labels, value in _LINE.findall(text)}
    return found, silent


def series(found: Sequence[Window]) -> dict[Series, Points]:
    """Of all windows, by name and place."""
    points = defaultdict[Series, list[tuple[float, float]]](list)
    for window in found:
        for one, value in window.told.items():
            points[one].append((window.hours, value))
    return dict(points)


def latencies(found: Sequence[Window]) -> dict[str, Points]:
    """By name; of windows in which there were some, after the warm-up."""
    kinds: Mapping[str, Callable[[Step], float | None]] = {
        "first token": lambda one: one.first_token_p50,
        "first token at 99 %": lambda one: one.first_token_p99,
        "between tokens": lambda one: one.between_tokens_mean,
        "between tokens at 99 %": lambda one: one.between_tokens_p99,
    }
    values = {name: [(one.hours, value) for one in found if (value := of(one.step)) is not None]
              for name, of in kinds.items()}  # fmt: skip
    return {name: after(points, WARM) for name, points in values.items()}


def findings(found: Sequence[Window], told: Mapping[Series, Points], promised: Objectives) -> list[Finding]:
    """All that should not be; none of a healthy run but once in a hundred.

    Args:
        told: further series, of CloudWatch.
    """
    every = {**series(found), **told}
    return [*_leaks(every), *_drifts(latencies(found)), *_restarts(every), *_errors(found, promised)]


def _leaks(every: Mapping[Series, Points]) -> Iterator[Finding]:
    for (name, place), points in every.items():
        watch = {**WATCHED, **TOLD}.get(name)
        line = trend([(at, watch.sign * value) for at, value in after(points, 0.5)]) if watch else None
        if watch and line and line.grew(watch.relative, watch.absolute):
            yield Finding(kind="leak", said=f"{watch.says}: {_course(line, watch.sign)} ({name}, {place})")


def _course(line: Trend, sign: int) -> str:
    return f"{sign * line.start:,.6g} to {sign * line.end:,.6g}, {sign * line.per_hour:+,.3g} an hour"


def _drifts(kinds: Mapping[str, Points]) -> Iterator[Finding]:
    for name, points in kinds.items():
        line = trend(points)
        if line and line.grew(SLOWER):
            yield Finding(kind="drift", said=f"{name}: {in_seconds(line.start)} to {in_seconds(line.end)}")


def _restarts(every: Mapping[Series, Points]) -> Iterator[Finding]:
    for (name, place), points in every.items():
        if name == STARTED:
            changes = [then for (_, before), (then, now) in pairwise(points) if before != now]
            times = ", ".join(f"{60 * hours:.0f}" for hours in changes)
            if changes:
                yield Finding(kind="restart", said=f"{len(changes)}, seen after minutes {times} ({place})")
        elif name == RESTARTS and (count := sum(value for _, value in points)):
            yield Finding(kind="restart", said=f"{count:.0f}, as machines told CloudWatch")


def _errors(found: Sequence[Window], promised: Objectives) -> Iterator[Finding]:
    reasons = Counter[str]()
    for one in found:
        reasons.update(one.step.failed)
    sent, failed = sum(one.step.requests for one in found), reasons.total()
    if failed > promised.error_budget * sent:
        said = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
        yield Finding(kind="errors", said=f"{failed:,} of {sent:,} requests: {said}")


def unwatched(found: Sequence[Window], told: Mapping[Series, Points]) -> list[str]:
    """What nobody told, so that nothing can be said of it."""
    names = {name for name, _ in {**series(found), **told}}
    kinds = {
        "memory": {"process_resident_memory_bytes", "node_memory_MemAvailable_bytes"},
        "GPU memory": {"tandem_gpu_memory_percent", "DCGM_FI_DEV_FB_USED", "gpu_memory_percent"},
        "KV cache": {"vllm:kv_cache_usage_perc", "kv_cache_percent"},
        "restarts": {STARTED, RESTARTS},
    }
    silent = Counter(page for one in found for page in one.silent)
    missed = [f"{page}, {count} of {len(found)} times" for page, count in silent.items()]
    return [*(kind for kind, any_of in kinds.items() if not names & any_of), *missed]
