"""What follows from a load test: settings to think about, servers for a peak, the price of a token. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tandem.ops.load.sweep import Step


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Who carried the load.

    Attributes:
        servers: of vLLM, between which it was spread; None where that is not known.
        usd_per_server_hour: of one's GPUs, on demand; None where that is not known.
    """

    servers: int | None
    usd_per_server_hour: float | None
    servers_per_host: int | None = None


def usd_per_million_tokens(held: Step, measured: Measured) -> float | None:
    """Of tokens that were made, at the rate that was kept; their prompts are in the price."""
    if not (measured.usd_per_server_hour and measured.servers and held.output_tokens):
        return None
    return measured.usd_per_server_hour * measured.servers / (held.tokens_a_second * 3600) * 1e6


def proposals(
    held: Step, measured: Measured, first_token_seconds: float, peak: float | None
) -> Iterator[tuple[str, float]]:
    """Settings and figures by name.

    What ran at once in one server at the highest kept rate is what one can have; it is full, and another is wanted, at
    that. A queue may be as long as what a server takes in within the time that is left until a first token is late.
    """
    if not measured.servers:
        return
    each = held.rate / measured.servers
    yield "runningRequestsPerReplica", max(1, math.floor(held.at_once / measured.servers))
    left = first_token_seconds - (held.first_token_p50 or 0)
    yield "waitingRequestsPerReplica", max(1, math.floor(each * max(0.0, left)))
    if (price := usd_per_million_tokens(held, measured)) is not None:
        yield "usdPerMillionTokens", round(price, 3)
    if peak:
        needed = math.ceil(peak / each)
        yield "replicasForPeak", needed + 1  # one may fail
        if measured.servers_per_host:
            yield "hostsForPeak", math.ceil(needed / measured.servers_per_host) + 1
