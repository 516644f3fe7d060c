"""What a token of an own model costs: its hosts' hour, with their share of what the stack has beside them, over what
they make in it at the use that the settings expect.

What a request of the usual length costs is shared out to its prompt and its answer by what takes the GPUs' time.
Counted on demand: spot, savings plans and traffic are on the bill alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem import costs
from tandem.platforms import platform_of
from tandem.settings import Settings
from tandem.settings.gateway import TokenPriceSettings
from tandem.sizing.choice import Candidate
from tandem.sizing.gpus import gpu_of
from tandem.sizing.throughput import Load, prompt_share, prompt_token_seconds
from tandem.speed import on_each_type

LOAD = Load()
"""Requests as the measured loads have them: 1,024 tokens in, 256 out."""


@dataclass(frozen=True, kw_only=True)
class TokenPrice:
    """Of one model, in US dollars a token."""

    prompt: float
    answer: float

    @classmethod
    def of(cls, given: TokenPriceSettings) -> TokenPrice:
        """As settings say it, by the million."""
        return cls(prompt=given.prompt_usd_per_million / 1e6, answer=given.answer_usd_per_million / 1e6)


def own_prices(settings: Settings) -> dict[str, TokenPrice]:
    """Of all models that the stack serves, by the names that clients send; those of the settings before counted ones. A
    model that is neither sized nor priced has none, which the rules refuse."""
    assert settings.gateway
    given, use = settings.gateway.prices, settings.gateway.expected_use_percent / 100
    share = _beside_hosts(settings)
    found: dict[str, TokenPrice] = {}
    for own in settings.each.values():
        counted = price(own, share, use)
        for name in own.inference.names:
            if one := TokenPrice.of(given[name]) if name in given else counted:
                found[name] = one
    return found


def price(own: Settings, beside_usd_per_hour: float, use: float) -> TokenPrice | None:
    """Of the main model of the settings, on the first instance type of its fleet; None for one that is not sized.

    Args:
        beside_usd_per_hour: what a host has to carry beside its own price.
        use: share of what hosts could make that they are asked for, above 0 up to 1.
    """
    rows = on_each_type(own, LOAD)
    if not rows:
        return None
    row = rows[0]
    usd = costs.total(costs.host_costs(own, 1, row.instance_type.name)) + beside_usd_per_hour
    usd_per_second = usd * row.sizing.serving.hosts / row.replicas / use / 3600  # of one replica
    return _shared_out(row, usd_per_second) if own.inference.makes_tokens else _of_prompts(row, usd_per_second)


def _shared_out(row: Candidate, usd_per_second: float) -> TokenPrice:
    answer = usd_per_second / row.throughput.tokens_per_second  # with the prompts that it follows
    share = prompt_share(row.sizing, gpu_of(row.instance_type)[1], row.throughput.requests, LOAD)
    return TokenPrice(
        prompt=answer * LOAD.answer_tokens * share / LOAD.prompt_tokens,
        answer=answer * (1 - share),
    )


def _of_prompts(row: Candidate, usd_per_second: float) -> TokenPrice:
    """Of what embeds or scores, and makes no token."""
    return TokenPrice(
        prompt=usd_per_second * prompt_token_seconds(row.sizing, gpu_of(row.instance_type)[1]), answer=0.0
    )


def _beside_hosts(settings: Settings) -> float:
    """US dollars an hour that each host of the stack carries of what runs beside hosts."""
    hosts = sum(platform_of(own).hosts_at_first for own in settings.groups.values())
    return costs.total(costs.fixed_costs(settings)) / max(1, hosts)
