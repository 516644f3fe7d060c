"""List prices: by region, with day and source, and what stands in for one that is not known."""

from __future__ import annotations

import pytest

from tandem import costs
from tandem.catalog import prices
from tandem.catalog.instances import INSTANCE_TYPES, OFFERED
from tandem.settings.schema import Settings


def stack(region: str, *types: str) -> Settings:
    return Settings.model_validate(
        {"region": region, "fleet": {"instanceTypes": list(types), "hosts": 1, "rollout": "terminateFirst"}}
    )


def test_every_type_has_a_price_at_home_and_every_figure_a_day_and_a_source() -> None:
    assert {one.name for one in OFFERED} | set(prices.SYSTEM_NODE_VCPUS) == set(prices.ON_DEMAND[prices.HOME].usd)
    for kind in prices.load().values():
        for region, listed in kind.items():
            assert listed.source
            assert listed.read_on.year >= 2026, region
            assert all(usd > 0 for usd in listed.usd.values()), region


def test_regions_are_regions() -> None:
    """Local zones have prices of their own, and no stacks."""
    assert len(prices.ON_DEMAND) >= 25
    for region in prices.ON_DEMAND:
        assert Settings.model_validate({"region": region}).region == region


@pytest.mark.parametrize(
    ("region", "name", "usd"),
    [
        ("us-east-1", "g7.12xlarge", 7.12832),
        ("us-west-2", "p5.48xlarge", 55.04),
        ("eu-central-1", "g6.12xlarge", 5.75429),
        ("ap-northeast-1", "g6e.48xlarge", 43.69912),
        ("sa-east-1", "g5.12xlarge", 9.64127),
        ("us-gov-west-1", "p6-b200.48xlarge", 136.71936),
    ],
)
def test_a_region_has_its_own_price(region: str, name: str, usd: float) -> None:
    assert prices.on_demand(name, region) == usd
    hosts = costs.host_costs(stack(region, name), 2, name)
    assert hosts[0].usd_per_hour == pytest.approx(2 * usd)


def test_an_unknown_price_counts_as_the_dearest_known_and_says_so() -> None:
    """São Paulo asks 1.70 times us-east-1's price for a g6.2xlarge, more than anybody for anything."""
    assert pytest.approx(1.66173 / 0.9776) == prices.DEAREST
    unknown = prices.on_demand("g6e.12xlarge", "eu-west-1")
    assert unknown == pytest.approx(10.49264 * 1.66173 / 0.9776)
    assert unknown > max(listed.usd.get("g6e.12xlarge", 0) for listed in prices.ON_DEMAND.values())
    told = prices.source("eu-west-1", ["g5.12xlarge", "g6e.12xlarge"])
    assert told == (
        "list prices of eu-west-1 of 2026-01-21; g6e.12xlarge not known in eu-west-1 and counted at 1.70 times "
        "us-east-1's price, the dearest known (`tandem pin --prices --region eu-west-1` asks AWS); all else at "
        "us-east-1's prices of 2026-07-20"
    )


def test_what_is_sold_in_blocks_alone_counts_as_the_type_with_its_gpus_and_says_so() -> None:
    for name, other in prices.IN_BLOCKS.items():
        ours, listed = INSTANCE_TYPES[name], INSTANCE_TYPES[other]
        assert (ours.gpu, ours.gpu_mib, ours.gpus) == (listed.gpu, listed.gpu_mib, listed.gpus)
        assert ours not in OFFERED
    assert prices.on_demand("p5e.48xlarge", "us-east-1") == 63.296
    told = prices.source("us-east-1", ["p5e.48xlarge"])
    assert "p5e.48xlarge, of which Capacity Blocks have prices of the day, as p5en.48xlarge; " in told
    assert "not known" not in told


@pytest.mark.parametrize("region", [*prices.ON_DEMAND, "ca-west-1"])
def test_no_known_price_is_dearer_than_what_stands_in_for_an_unknown_one(region: str) -> None:
    for name in INSTANCE_TYPES:
        assert prices.on_demand(name, region) <= prices.on_demand(name, "xx-nowhere-1") * (1 + 1e-9)


def test_the_dearest_type_is_the_region_s_dearest() -> None:
    """In eu-west-1 the g6.12xlarge has no known price, and so counts more than a g5.12xlarge; at home it is cheaper."""
    types = ("g6.12xlarge", "g5.12xlarge")
    at_home, abroad = (costs.max_usd_per_hour(stack(region, *types)) for region in ("us-east-1", "eu-west-1"))
    volume_and_fixed = costs.max_usd_per_hour(stack("us-east-1", "g5.12xlarge")) - 5.672
    assert at_home == pytest.approx(5.672 + volume_and_fixed)
    assert abroad == pytest.approx(4.6016 * prices.DEAREST + volume_and_fixed)
