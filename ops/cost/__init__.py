"""What a stack costs: planned by part and at most, compared, bought in other ways, and the bill so far."""

from __future__ import annotations

from ops.cost.bill import ACTIVATE_TAG, Spent, spent
from ops.cost.comparison import Change, compare, comparison, too_much
from ops.cost.live import live_prices
from ops.cost.parts import Part, Prices, Use, catalog, share_of_week
from ops.cost.plan import Plan, plan
from ops.cost.purchases import Way, ways
from ops.cost.savings import Saving

__all__ = [
    "ACTIVATE_TAG",
    "Change",
    "Part",
    "Plan",
    "Prices",
    "Saving",
    "Spent",
    "Use",
    "Way",
    "catalog",
    "compare",
    "comparison",
    "live_prices",
    "plan",
    "share_of_week",
    "spent",
    "too_much",
    "ways",
]
