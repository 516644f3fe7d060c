"""What a stack costs: planned by part, the most that it can cost, and what would save most."""

from __future__ import annotations

from dataclasses import dataclass

from tandem import costs, lifetime
from tandem.catalog.prices import HOURS_PER_MONTH
from tandem.ops.cost.parts import Part, Prices, Use, catalog, parts, share_of_week, used
from tandem.ops.cost.savings import Saving, savings
from tandem.settings import Settings


@dataclass(frozen=True)
class Plan:
    """What a stack costs at the size at which it comes up, and at most.

    Attributes:
        parts: dearest first.
        most_per_month: US dollars of a month at its bounds: maxHosts of the dearest type on demand, whenever hosts may
            run, with the same use.
        ends: the most that a stack which expires can spend by the hour in its life, US dollars; None where nothing ends
            it.
        budget: costGuard.monthlyBudgetUsd.
    """

    parts: tuple[Part, ...]
    source: str
    use: Use
    most_per_month: float
    ends: float | None = None
    budget: float | None = None
    savings: tuple[Saving, ...] = ()

    @property
    def usd_per_hour(self) -> float:
        return sum(part.usd_per_hour for part in self.parts)

    @property
    def usd_per_month(self) -> float:
        return sum(part.usd_per_month for part in self.parts)

    def share(self, part: Part) -> float:
        """Of the month, 0 to 1."""
        return part.usd_per_month / self.usd_per_month if self.usd_per_month else 0.0

    @property
    def most(self) -> float:
        """US dollars of a month, or of the life of a stack that ends sooner."""
        return self.most_per_month if self.ends is None else min(self.most_per_month, self.ends)

    @property
    def budget_warning(self) -> str:
        """Why the budget of the same settings will not hold; empty where it will, or there is none."""
        if self.budget is None or self.budget >= self.most:
            return ""
        if self.budget < min(self.usd_per_month, self.most):
            return f"lies below what the stack costs as it comes up: ${self.usd_per_month:,.2f} a month"
        return f"lies below the most that the stack can cost: ${self.most:,.2f} a month"


def plan(settings: Settings, known: Prices | None = None, use: Use | None = None) -> Plan:
    """The stack's cost by part, its bound, and the changes that would save most.

    Args:
        known: the catalog's prices where none are given.
    """
    known, use = known or catalog(settings), use or Use()
    return Plan(
        parts=tuple(sorted(parts(settings, known, use), key=lambda part: -part.usd_per_month)),
        source=known.source,
        use=use,
        most_per_month=_most_per_month(settings, known, use),
        ends=_ends(settings),
        budget=settings.cost_guard.monthly_budget_usd,
        savings=savings(settings, known, use),
    )


def _most_per_month(settings: Settings, known: Prices, use: Use) -> float:
    """At list prices, or at those that AWS told where they are higher."""
    fixed = costs.total(costs.fixed_costs(settings))
    hosts = costs.max_usd_per_hour(settings) - fixed
    listed = catalog(settings).on_demand
    types = (name for group in settings.groups.values() for name in group.fleet.instance_types)
    dearer = max(1.0, *(known.on_demand[name] / listed[name] for name in types))
    running = HOURS_PER_MONTH * share_of_week(settings.cost_guard.business_hours)
    return fixed * HOURS_PER_MONTH + hosts * dearer * running + sum(part.usd_per_month for part in used(settings, use))


def _ends(settings: Settings) -> float | None:
    """Life to the last host's leaving at the dearest price, for a stack whose life is known before it begins."""
    span = lifetime.planned(settings)
    return None if span is None else lifetime.usd_at_most(settings, span)
