"""Where AWS has what it has not in each region, beside its SDK's own endpoints."""

from __future__ import annotations

from boto3.session import Session

from tandem.catalog import prices
from tandem.catalog.regions import GRAFANA_REGIONS


def test_regions_of_grafana_are_those_of_the_sdk() -> None:
    assert sorted(GRAFANA_REGIONS) == Session().get_available_regions("grafana")


def test_each_region_with_a_price_has_a_prometheus() -> None:
    """So that no rule need refuse one."""
    of_others = {region for region in prices.ON_DEMAND if region.startswith("us-gov-")}
    assert set(prices.ON_DEMAND) - of_others <= set(Session().get_available_regions("amp"))
