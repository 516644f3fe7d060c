"""The highest rate that keeps what is promised: doubled until it does not, then halved in between. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tandem.objectives import Objectives

CLOSE = 1.15
"""No further step between a rate that was kept and one that was not when they are so near."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request, as its client saw it.

    Attributes:
        first_token: seconds from sending it; None without a token.
        gaps: seconds between tokens, each.
        seconds: until it ended.
        failed: why it did; None where it was answered to its end.
    """

    first_token: float | None
    gaps: Sequence[float]
    seconds: float
    prompt_tokens: int
    output_tokens: int
    failed: str | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One rate, held for a time. Latencies are seconds, of answered requests; None where none was.

    Attributes:
        rate: requests a second that came, at random moments.
        seconds: from the first request to the end of the last one.
        requests: that were sent, whatever became of them.
        failed: of them, by reason.
        at_once: requests that ran or waited, on average.
        kept: all three objectives.
    """

    rate: float
    seconds: float
    requests: int
    failed: dict[str, int]
    prompt_tokens: int
    output_tokens: int
    at_once: float
    first_token_mean: float | None
    first_token_p50: float | None
    first_token_p99: float | None
    between_tokens_mean: float | None
    between_tokens_p99: float | None
    kept: bool

    @property
    def tokens_a_second(self) -> float:
        return self.output_tokens / self.seconds if self.seconds else 0.0


def step(rate: float, seconds: float, requests: Sequence[Request], promised: Objectives) -> Step:
    """What a rate did."""
    answered = [one for one in requests if one.failed is None]
    firsts = sorted(one.first_token for one in answered if one.first_token is not None)
    gaps = sorted(gap for one in answered for gap in one.gaps)
    first, between, lost = at_share(firsts, 0.99), at_share(gaps, 0.99), len(requests) - len(answered)
    return Step(
        rate=rate,
        seconds=seconds,
        requests=len(requests),
        failed=dict(Counter(one.failed for one in requests if one.failed)),
        prompt_tokens=sum(one.prompt_tokens for one in answered),
        output_tokens=sum(one.output_tokens for one in answered),
        at_once=sum(one.seconds for one in requests) / seconds if seconds else 0.0,
        first_token_mean=_mean(firsts),
        first_token_p50=at_share(firsts, 0.5),
        first_token_p99=first,
        between_tokens_mean=_mean(gaps),
        between_tokens_p99=between,
        kept=first is not None
        and first <= promised.first_token_seconds
        and (between is None or between <= promised.between_tokens_seconds)
        and lost <= promised.error_budget * len(requests),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def at_share(ordered: Sequence[float], share: float) -> float | None:
    """The value that so many do not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def best(steps: Iterable[Step]) -> Step | None:
    """The highest rate that was kept, below each that was not."""
    held: Step | None = None
    for one in sorted(steps, key=lambda one: one.rate):
        if not one.kept:
            return held
        held = one
    return held


def next_rate(steps: Sequence[Step], first: float) -> float | None:
    """The rate to try next; None where what is known is near enough."""
    if not steps:
        return first
    held = best(steps)
    failed = min((one.rate for one in steps if not one.kept), default=None)
    if failed is None:
        return 2 * max(one.rate for one in steps)
    if held is None:
        return failed / 2
    return None if failed / held.rate <= CLOSE else math.sqrt(failed * held.rate)


def most_requests(first: float, seconds: float, steps: int) -> int:
    """That such a sweep sends, should each rate be kept."""
    return sum(math.ceil(first * 2**number * seconds) for number in range(steps))
