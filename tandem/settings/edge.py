"""Sections on clients: their keys and limits, and what the edge lets them ask for."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tandem.settings.section import Section
from tandem.settings.types import KeyDigest, RequestRate, ServedName, Streams


class ClientSettings(Section):
    """Who may ask, and how much. Beside a client of the same name that `tandem keys` made, keys add up and limits of
    this one win."""

    sha256: tuple[KeyDigest, ...] = Field(
        min_length=1, max_length=8, description="Digests of the client's keys; two while one takes the other's place."
    )
    requests_per_second: RequestRate | None = Field(
        default=None, description="Above this: 429, at each edge by itself. Unset: no limit by name."
    )
    streams: Streams | None = Field(default=None, description="Requests at once, likewise; above this: 429.")
    models: tuple[ServedName, ...] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="What it may ask for, by the names that it sends. Unset: every model.",
    )


class EdgeSettings(Section):
    """Of nginx before each server, and its limits by client address."""

    requests_per_second_per_client: int = Field(
        default=20,
        ge=1,
        le=10_000,
        description="Of one address, at each edge, by clients that have no requestsPerSecond of their own; above this: "
        "429. Who has one is held to that alone.",
    )
    connections_per_client: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Requests at once, likewise, by clients that have no streams of their own.",
    )
    max_body_mib: int = Field(default=16, ge=1, le=512, description="Largest request body; images are sent inline.")
    revoked_streams: Literal["finish", "cut"] = Field(
        default="finish",
        description="What becomes of an answer that is on its way when its key is revoked; a new request is refused "
        "within 60 s either way.",
    )
