"""Plays a HorizontalPodAutoscaler, as KEDA makes it of a ScaledObject, on a clock of its own.

Each figure is a sum over all servers, each target what one of them should have. Within the tolerance nothing is wanted;
beyond it, as many as the figure is of the target, and of several figures the most. Of what was wanted in a window the
least is wanted on the way up, the most on the way down. Policies then say how many may come or go in a period.

Stands for: Kubernetes' controller of HorizontalPodAutoscalers, for external figures that are averaged.
Held by: tests/rehearsal/kubernetes/test_pressed_day.py::test_the_real_controllers_live_the_same_day
    The rules are those of pkg/controller/podautoscaler (horizontal.go, replica_calculator.go) of Kubernetes 1.35.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

TOLERANCE = 0.1
"""Where a direction has none of its own (--horizontal-pod-autoscaler-tolerance)."""


@dataclass(frozen=True)
class Direction:
    """The rules of one way.

    Attributes:
        window, periods: seconds.
        policies: (kind, value, period); the one that allows most counts.
    """

    window: float
    policies: tuple[tuple[str, int, float], ...]
    tolerance: float = TOLERANCE

    @classmethod
    def of(cls, rules: Mapping[str, Any], faster: float) -> Direction:
        policies = ((one["type"], one["value"], one["periodSeconds"] / faster) for one in rules["policies"])
        thousandths = rules.get("tolerance", f"{1000 * TOLERANCE:g}m").removesuffix("m")
        return cls(rules["stabilizationWindowSeconds"] / faster, tuple(policies), float(thousandths) / 1000)


@dataclass
class Autoscaler:
    """One that has begun with a number of replicas.

    Attributes:
        each: what a replica should have of each figure.
    """

    least: int
    most: int
    each: Sequence[float]
    up: Direction
    down: Direction
    replicas: int
    _wanted: list[tuple[float, int]] = field(default_factory=list, init=False)
    _changed: list[tuple[float, int]] = field(default_factory=list, init=False)

    @classmethod
    def of(cls, scaled: Mapping[str, Any], replicas: int, faster: float = 1) -> Autoscaler:
        """From a ScaledObject.

        Args:
            faster: times that its seconds go by.
        """
        spec = scaled["spec"]
        behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        return cls(
            least=max(1, spec["minReplicaCount"]),
            most=spec["maxReplicaCount"],
            each=[float(one["metadata"]["threshold"]) for one in spec["triggers"] if one["type"] == "prometheus"],
            up=Direction.of(behavior["scaleUp"], faster),
            down=Direction.of(behavior["scaleDown"], faster),
            replicas=replicas,
        )

    def look(self, now: float, figures: Sequence[float]) -> int:
        """The replicas that there are after a look."""
        if not self._wanted:
            self._wanted.append((now, self.replicas))
        wanted = max(self._wants(figure, each) for figure, each in zip(figures, self.each, strict=True))
        steady = self._steady(now, wanted)
        allowed = max(self.least, min(self.most, self._allowed(now, steady)))
        if allowed != self.replicas:
            self._changed.append((now, allowed - self.replicas))
            self.replicas = allowed
        return self.replicas

    def _wants(self, figure: float, each: float) -> int:
        share = figure / (each * self.replicas)
        if 1 - self.down.tolerance <= share <= 1 + self.up.tolerance:
            return self.replicas
        return math.ceil(figure / each)

    def _steady(self, now: float, wanted: int) -> int:
        """Between the least of the window up and the most of the window down, or what there is."""
        least = min([wanted, *(was for at, was in self._wanted if at > now - self.up.window)])
        most = max([wanted, *(was for at, was in self._wanted if at > now - self.down.window)])
        kept = now - max(self.up.window, self.down.window)
        self._wanted = [*(one for one in self._wanted if one[0] > kept), (now, wanted)]
        return min(max(self.replicas, least), most)

    def _allowed(self, now: float, wanted: int) -> int:
        if wanted > self.replicas:
            return min(wanted, max(self.replicas, *(self._limit(now, 1, *one) for one in self.up.policies)))
        return max(wanted, min(self.replicas, *(self._limit(now, -1, *one) for one in self.down.policies)))

    def _limit(self, now: float, sign: int, kind: str, value: int, period: float) -> int:
        """How far a policy lets replicas go from what there was when its period began."""
        began = self.replicas - sum(change for at, change in self._changed if at > now - period)
        if kind == "Pods":
            return began + sign * value
        share = began * (1 + sign * value / 100)
        return math.ceil(share) if sign > 0 else int(share)
