"""Prices of own models: what a full hour costs is what its tokens are sold for."""

from __future__ import annotations

from typing import Any

import pytest

from tandem import costs
from tandem.gateway.prices import LOAD, own_prices
from tandem.settings import Settings
from tandem.speed import on_each_type
from tests.gateway.test_config import BASE


def settings(gateway: dict[str, Any] | None = None, **sections: Any) -> Any:
    return Settings.model_validate(BASE | sections | {"gateway": BASE["gateway"] | (gateway or {})})


def of_one_hour(found: Any, name: str = "Qwen/Qwen3-8B") -> float:
    """What tokens of the usual requests are sold for, of one host that makes all it can."""
    price, row = own_prices(found)[name], on_each_type(found, LOAD)[0]
    requests = row.tokens_per_second * 3600 / LOAD.answer_tokens
    return requests * (LOAD.prompt_tokens * price.prompt + LOAD.answer_tokens * price.answer)


def test_at_full_use_an_hour_is_sold_for_what_it_costs() -> None:
    full = settings({"expectedUsePercent": 100})
    assert of_one_hour(full) == pytest.approx(costs.usd_per_hour(full))


def test_half_the_use_is_twice_the_price() -> None:
    assert of_one_hour(settings({"expectedUsePercent": 50})) == pytest.approx(
        2 * of_one_hour(settings({"expectedUsePercent": 100}))
    )


def test_two_hosts_share_what_is_beside_them() -> None:
    two = settings({"expectedUsePercent": 100}, fleet={"hosts": 2})
    assert 2 * of_one_hour(two) == pytest.approx(costs.usd_per_hour(two))


def test_an_answers_token_costs_more_than_a_prompts() -> None:
    price = own_prices(settings())["Qwen/Qwen3-8B"]
    assert price.answer > 3 * price.prompt > 0


def test_what_embeds_sells_prompts_alone() -> None:
    vectors = settings(inference={"model": "Qwen/Qwen3-8B", "task": "embed", "tensorParallelSize": 1})
    price = own_prices(vectors)["Qwen/Qwen3-8B"]
    assert (price.prompt > 0, price.answer) == (True, 0)


def test_a_price_of_the_settings_comes_before_a_counted_one() -> None:
    given = {"Qwen/Qwen3-8B": {"promptUsdPerMillion": 1, "answerUsdPerMillion": 4}}
    price = own_prices(settings({"prices": given}))["Qwen/Qwen3-8B"]
    assert (price.prompt, price.answer) == (1e-6, 4e-6)


def test_pods_share_a_nodes_price() -> None:
    """Two servers of a node, each at half of it."""
    hour = of_one_hour(settings({"expectedUsePercent": 100}, platform="eks"))
    assert hour == pytest.approx(costs.usd_per_hour(settings({"expectedUsePercent": 100}, platform="eks")), rel=0.3)
