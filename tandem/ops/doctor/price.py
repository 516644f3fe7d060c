"""What the stack will cost here, and whether spot is to be had."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

from tandem import costs
from tandem.catalog import prices as catalog
from tandem.costs import hosts_by_purchase, uses_spot
from tandem.ops import price_list
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, ok, unknown, warning

TOLERANCE = 0.02
LOW_SCORE = 4
"""AWS scores spot capacity from 1 to 10; below this a request will likely fail or be reclaimed soon."""

SPOT_HISTORY = timedelta(days=1)


def price_is_known(examination: Examination) -> Iterator[Finding]:
    """The price that expiry and spend cap count with, against AWS's own price list for the region."""
    settings = examination.settings
    types = [*dict.fromkeys(name for own in settings.groups.values() for name in own.fleet.instance_types)]
    with ThreadPoolExecutor(len(types)) as pool:
        ask = partial(price_list.on_demand, examination.home("pricing"), settings.region)
        listed = dict(zip(types, pool.map(ask, types), strict=True))
    for name, price in listed.items():
        known = catalog.on_demand(name, settings.region)
        if price is None:
            yield unknown(
                f"AWS lists no on-demand price for {name} in {settings.region}",
                value=f"counted at ${known:.3f} an hour: {catalog.source(settings.region, [name])}",
                needed="a price",
                fix=f"https://aws.amazon.com/ec2/pricing/on-demand/ for {settings.region}",
            )
        elif price > known * (1 + TOLERANCE):
            yield warning(
                f"{name} costs more than the catalog says; a spend cap would be passed by {price / known - 1:.0%}",
                value=f"${price:.3f} an hour in {settings.region}",
                needed=f"${known:.3f}, with which spend cap and expiry are counted",
                fix=f"`tandem pin --prices --region {settings.region}`, then `pulumi up`",
            )
    yield ok(
        "price at list prices",
        value=f"${costs.usd_per_hour(settings):.2f} an hour as it comes up, "
        f"${costs.max_usd_per_hour(settings):.2f} at its maximum",
    )


def spot_is_to_be_had(examination: Examination) -> Iterator[Finding]:
    """Spot prices of the last day by zone, and AWS's own score of the chance to get the hosts."""
    settings = examination.settings
    if not uses_spot(settings):
        return
    latest = spot_prices(examination, settings.fleet.instance_types)
    for name in settings.fleet.instance_types:
        prices = {zone: price for zone, price in latest[name].items() if zone in settings.zones}
        on_demand = catalog.on_demand(name, settings.region)
        if not prices:
            yield warning(
                f"{name} has no spot price in the stack's zones; it is not sold as spot there",
                value=", ".join(sorted(latest[name])) or "no zone of the region",
                needed=f"a zone of {', '.join(settings.zones)}",
                fix="another type or zone, or `pulumi config set --path tandem:fleet.onDemandPercentage 100`",
            )
        elif min(prices.values()) >= on_demand:
            yield warning(
                f"spot costs no less than on demand for {name}",
                value=", ".join(f"{zone} ${price:.3f}" for zone, price in sorted(prices.items())),
                needed=f"less than ${on_demand:.3f} an hour",
                fix="`pulumi config set --path tandem:fleet.onDemandPercentage 100`",
            )
        else:
            saved = 1 - min(prices.values()) / on_demand
            yield ok(
                f"spot price of {name}: up to {saved:.0%} below on demand",
                value=", ".join(f"{zone} ${price:.3f}" for zone, price in sorted(prices.items())),
            )


def spot_prices(examination: Examination, types: Sequence[str]) -> dict[str, dict[str, float]]:
    """Latest spot price, US dollars an hour, by instance type and zone."""
    pages = (
        examination.clients("ec2")
        .get_paginator("describe_spot_price_history")
        .paginate(
            InstanceTypes=list(types),
            ProductDescriptions=["Linux/UNIX"],
            StartTime=examination.now - SPOT_HISTORY,
        )
    )
    latest: dict[str, dict[str, float]] = defaultdict(dict)
    for item in sorted(pages.search("SpotPriceHistory[]"), key=lambda item: item["Timestamp"]):
        latest[item["InstanceType"]][item["AvailabilityZone"]] = float(item["SpotPrice"])
    return latest


def spot_score_is_fair(examination: Examination) -> Iterator[Finding]:
    """The placement score of the best zone, for all spot hosts of the full group."""
    settings = examination.settings
    if not uses_spot(settings):
        return
    scores = examination.clients("ec2").get_spot_placement_scores(
        InstanceTypes=list(settings.fleet.instance_types),
        TargetCapacity=hosts_by_purchase(settings, settings.max_group_size)["spot"],
        RegionNames=[settings.region],
        SingleAvailabilityZone=True,
    )["SpotPlacementScores"]
    best = max((score["Score"] for score in scores), default=0)
    if best < LOW_SCORE:
        yield warning(
            "AWS sees little chance for these spot hosts",
            value=f"placement score {best} of 10",
            needed=f"{LOW_SCORE} or more",
            fix="add types to fleet.instanceTypes (the score rises from three on), another region, or "
            "`pulumi config set --path tandem:fleet.onDemandBase 1`",
        )
    else:
        yield ok("spot placement", value=f"score {best} of 10")
