"""What AWS asks now."""

from __future__ import annotations

from tandem.ops import price_list
from tandem.ops.cost.parts import Prices, catalog
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.price import spot_prices


def live_prices(examination: Examination) -> Prices:
    """What AWS asks in the stack's region now: on demand from its price list, spot from the cheapest of its zones.

    Raises:
        botocore's errors: not allowed, not reachable.
    """
    groups = examination.settings.groups.values()
    types = list(dict.fromkeys(name for group in groups for name in group.fleet.instance_types))
    known, pricing = catalog(examination.settings), examination.home("pricing")
    on_demand = {
        name: price_list.on_demand(pricing, examination.region, name) or known.on_demand[name] for name in types
    }
    history = spot_prices(examination, types)
    zones = examination.settings.zones
    spot = {
        name: min((usd for zone, usd in history[name].items() if zone in zones), default=on_demand[name])
        for name in types
    }
    return Prices(
        on_demand={**known.on_demand, **on_demand},
        spot={**known.spot, **spot},
        source=f"AWS's prices in {examination.region} of {examination.now:%Y-%m-%d %H:%MZ}",
    )
