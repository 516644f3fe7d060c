"""Stacks for an hour or an afternoon: made from another stack's settings, stopped by the account, removed by anyone."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tandem import checks, costs, lifetime
from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import options, stackfile
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Clients, Scope
from tandem.ops.lives import lives
from tandem.ops.stackfile import Draft
from tandem.ops.status import Status, Unknown
from tandem.settings import Settings

PREFIX = "eph-"
MADE_BY = "Made by `tandem ephemeral up`"
"""On top of each stack file that is ours to remove."""
MODEL_OWN = (
    "inference.toolCallParser",
    "inference.reasoningParser",
    "inference.quantization",
    "inference.servedModelName",
    "inference.weightsS3Uri",
)
"""Settings that fit one model only."""


def made_here(path: Path) -> bool:
    """Whether a stack's file is ours to remove."""
    return MADE_BY in path.read_text(encoding="utf-8").partition("\n")[0]


def file(stack: str) -> Path:
    """The stack's file.

    Raises:
        UserError: there is none here.
    """
    path = options.stack_file(stack)
    if not path.exists():
        known = [one for one in options.stack_names() if one.startswith(PREFIX)]
        raise UserError.of(
            key=stack,
            wrong="there is no file of this stack here",
            allowed=", ".join(known) or "a stack made on this machine",
            fix="`tandem ephemeral list`; what was made elsewhere is changed there, and removed with `down --by-tags`",
        )
    return path


def random_name() -> str:
    """Three bytes: two people would have to make thousands a day to meet."""
    return f"{PREFIX}{secrets.token_hex(3)}"


def draft(source: Path, ttl: str, max_usd: float, model: str | None = None, region: str | None = None) -> Draft:
    """The file of a new ephemeral stack.

    Args:
        source: the stack file whose settings are taken.

    Raises:
        UserError: the source or a value is wrong, or the model does not fit.
    """
    config = stackfile.read(source)
    changes: dict[str, Any] = {
        "ephemeral": True,
        "costGuard.expiresAfter": ttl,
        "costGuard.maxUsd": max_usd,
        "loadBalancer.deletionProtection": False,
    }
    drop: list[str] = [*stackfile.OWN]
    if model:
        changes["inference.model"] = model
        drop += MODEL_OWN
    if region and region != config.get("tandem:region"):
        changes["region"] = region
        drop += stackfile.OF_THE_REGION
    made = stackfile.draft(config, changes, drop)
    if found := checks.size(made.settings).problems:
        raise UserError(*found)
    return made


def life(settings: Settings) -> timedelta:
    """From the first `up` to the stop: the sooner of TTL and cap."""
    return lifetime.planned(settings) or timedelta.max


def extended(path: Path, ttl: str | None, max_usd: float | None) -> Draft:
    """The file of a stack that lives longer, counted from its first `up`.

    Asking again for what the file already says is no mistake: the `up` after it may have been cut off.

    Raises:
        UserError: the stack is not ephemeral, or would not live longer.
    """
    config = stackfile.read(path)
    before = stackfile.checked({key: value for key, value in config.items() if not stackfile.is_secret(value)})
    refuse_others(path.name, before.ephemeral)
    changes: Mapping[str, Any] = {
        key: value for key, value in (("costGuard.expiresAfter", ttl), ("costGuard.maxUsd", max_usd)) if value
    }
    made = stackfile.amended(path, changes)
    if made.settings != before and life(made.settings) <= life(before):
        cap = lifetime.life_within_cap(made.settings)
        by_cap = cap is not None and cap == life(made.settings)
        raise UserError.of(
            key="--max-usd" if by_cap else "--ttl",
            wrong="the stack would not live longer" + (", since its cap ends it" if by_cap else ""),
            value=made.settings.cost_guard.max_usd if by_cap else ttl,
            allowed=f"more than what it has: {_hours(life(before))} from its first `up`",
            fix=f"at ${costs.max_usd_per_hour(made.settings):.2f} an hour at most, each hour more needs so much cap"
            if by_cap
            else "give a longer --ttl, counted from the first `up`",
        )
    return made


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):.1f} h"


def refuse_others(name: str, ephemeral: bool) -> None:
    """Raises a UserError for a stack that is not ephemeral."""
    if not ephemeral:
        raise UserError.of(
            key=name,
            wrong="is not an ephemeral stack",
            allowed="stacks with tandem:ephemeral true",
            fix="use `pulumi up` and `pulumi destroy` for it; docs/runbook.md says how",
        )


@dataclass(frozen=True)
class Row:
    """One ephemeral stack of an account and region.

    Attributes:
        expires_at: None where the account does not say.
        hosts: that run now.
    """

    stack: str
    region: str
    expires_at: datetime | None
    hosts: int


def rows(clients: Clients) -> list[Row]:
    """All ephemeral stacks in one account and region, whoever made them.

    Raises:
        botocore's errors.
    """
    scope = Scope(clients, None)
    hosts = Counter[str]()
    for group in KINDS[types.GROUP].find(scope):
        hosts[group.stack] += len(group.facts.get("Instances", ()))
    return [
        Row(life.stack, scope.region, life.expires_at, hosts[life.stack]) for life in lives(clients) if life.ephemeral
    ]


def wait_for_token(
    look: Callable[[], Status],
    told: Callable[[Status], None],
    *,
    deadline_seconds: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    poll_seconds: float = 20,
) -> Status | None:
    """Looks until the stack has made a token; None at the deadline, or when its fleet was stopped meanwhile.

    Args:
        told: each look that found none yet.
    """
    end = clock() + deadline_seconds
    while True:
        status = look()
        if not isinstance(status.last_token, Unknown):
            return status
        told(status)
        stopped = not isinstance(status.servers, Unknown) and status.servers.stopped
        if stopped or clock() + poll_seconds > end:
            return None
        sleep(poll_seconds)
