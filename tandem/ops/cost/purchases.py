"""Ways to pay for the same hosts: on demand, spot, reserved for a year, Savings Plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tandem.catalog import prices
from tandem.catalog.prices import HOURS_PER_MONTH
from tandem.ops import price_list
from tandem.ops.cost.parts import Prices, share_of_week
from tandem.platforms import platform_of
from tandem.settings import Settings
from tandem.tags import MAIN_MODEL

if TYPE_CHECKING:
    from tandem.ops.doctor.examination import Examination

_YEAR_SECONDS = 365 * 24 * 3600
_PLANS = {"Compute": "Compute Savings Plan", "EC2Instance": "EC2 Instance Savings Plan"}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to pay for the hosts with which a stack comes up.

    Attributes:
        usd_per_hour: of one host; None where nobody here knows it.
        usd_per_month: of all of them: a commitment is paid for every hour, also outside business hours.
        model: whose hosts they are; the main one's where all models share them.
        commits: for how long one pays, used or not; empty for not at all.
        source: where the price is from, with its day; why there is none.
    """

    name: str
    usd_per_hour: float | None
    usd_per_month: float | None
    commits: str
    source: str
    model: str = MAIN_MODEL


def ways(settings: Settings, known: Prices, asked: Examination | None = None) -> list[Way]:
    """All of them, of the fleet's first type, the cheapest month first; those without a price last.

    Args:
        asked: asks AWS for what it reserves and plans at; None for the catalog's figures.

    Raises:
        botocore's errors: only where AWS is asked.
    """
    name, hosts = settings.fleet.instance_types[0], platform_of(settings).hosts_at_first
    running = HOURS_PER_MONTH * share_of_week(settings.cost_guard.business_hours)

    def way(label: str, usd: float | None, source: str, commits: str = "") -> Way:
        hours = HOURS_PER_MONTH if commits else running
        month = None if usd is None else usd * hosts * hours
        return Way(name=label, usd_per_hour=usd, usd_per_month=month, commits=commits, source=source)

    spot = known.spot[name] if asked else None
    found = [
        way("on demand", known.on_demand[name], "as above"),
        way("spot", spot, "as above" if asked else "changes by the hour: --live asks AWS"),
        way("reserved, standard, no upfront", *_reserved(settings.region, name, asked), "1 year"),
    ]
    if asked is None:
        found += [way(label, None, "--live asks AWS", "1 or 3 years") for label in _PLANS.values()]
    else:
        source = f"AWS's rate of {asked.now:%Y-%m-%d}, no upfront"
        found += [
            way(label, usd, source, f"{years} year{'s' if years > 1 else ''}")
            for label, years, usd in _plans(asked, name)
        ]
    return sorted(found, key=lambda one: (one.usd_per_month is None, one.usd_per_month or 0.0))


def _reserved(region: str, instance_type: str, asked: Examination | None) -> tuple[float | None, str]:
    """Price of an hour and its source."""
    if asked is not None:
        usd = price_list.reserved(asked.home("pricing"), region, instance_type)
        return usd, f"AWS's price list of {asked.now:%Y-%m-%d}" if usd else "AWS does not sell it so there"
    listed = prices.RESERVED.get(region)
    usd = listed.usd.get(instance_type) if listed else None
    if listed is None or usd is None:
        return None, f"not known in {region}: newer types are not sold so; --live asks AWS"
    return usd, f"list price of {listed.read_on}, tandem/catalog/prices.json"


def _plans(asked: Examination, instance_type: str) -> Iterator[tuple[str, int, float]]:
    """Name, years and US dollars an hour of a host. Savings Plans have one endpoint for all regions."""
    client: Any = asked.home("savingsplans")
    filters = {
        "region": asked.region,
        "instanceType": instance_type,
        "productDescription": "Linux/UNIX",
        "tenancy": "shared",
    }
    call: dict[str, Any] = {
        "savingsPlanTypes": list(_PLANS),
        "savingsPlanPaymentOptions": ["No Upfront"],
        "products": ["EC2"],
        "serviceCodes": ["AmazonEC2"],
        "filters": [{"name": name, "values": [value]} for name, value in filters.items()],
    }
    while True:
        answer = client.describe_savings_plans_offering_rates(**call)
        for rate in answer["searchResults"]:
            offering = rate["savingsPlanOffering"]
            years = offering["durationSeconds"] // _YEAR_SECONDS
            yield _PLANS[offering["planType"]], years, float(rate["rate"])
        if not answer.get("nextToken"):
            return
        call["nextToken"] = answer["nextToken"]
