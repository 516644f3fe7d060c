"""Whether figures grow with time, by methods that an outlier or a skewed distribution does not sway. Pure."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 6
"""Points below which nothing is sure: five that grow each time do so by chance once in 120 times."""
SURE = 2.58
"""Standard deviations of Mann and Kendall's statistic: what stays seems to grow once in 200 times."""

Points = Sequence[tuple[float, float]]
"""Hours since the beginning, and a value."""


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A line that has as many points above as below it, with the median slope between two of them (Theil, Sen).

    Attributes:
        start, end: of the line, at the first and the last point.
        per_hour: its slope.
        sigmas: by how many more pairs grow than shrink, in standard deviations of no trend (Mann, Kendall); negative
            where values shrink.
    """

    start: float
    end: float
    per_hour: float
    sigmas: float

    def grew(self, relative: float, absolute: float = 0.0) -> bool:
        """Surely, and by at least a share of where it began and so much."""
        return self.sigmas > SURE and self.end - self.start >= max(relative * abs(self.start), absolute)


def trend(points: Points) -> Trend | None:
    """None where there are too few points."""
    if len(points) < LEAST:
        return None
    pairs = [*itertools.combinations(points, 2)]
    slope = statistics.median([(later - value) / (then - at) for (at, value), (then, later) in pairs])
    level = statistics.median([value - slope * at for at, value in points])
    return Trend(
        start=level + slope * points[0][0],
        end=level + slope * points[-1][0],
        per_hour=slope,
        sigmas=_sigmas([value for _, value in points], sum((b > a) - (b < a) for (_, a), (_, b) in pairs)),
    )


def _sigmas(values: Sequence[float], growing: int) -> float:
    """With Kendall's correction for values that are the same, and for the step of 2 between two of its results."""
    count = len(values)
    same = sum(times * (times - 1) * (2 * times + 5) for times in Counter(values).values())
    variance = (count * (count - 1) * (2 * count + 5) - same) / 18
    return math.copysign(max(0, abs(growing) - 1), growing) / math.sqrt(variance) if variance else 0.0


def after(points: Points, share: float) -> Points:
    """Those after a share of them, in which things still warm up."""
    return points[int(share * len(points)) :]
