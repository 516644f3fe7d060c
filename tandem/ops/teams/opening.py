"""The way to a stack's LiteLLM for commands: where it is, and with which key."""

from __future__ import annotations

import json

from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.gateway.config import MASTER_KEY
from tandem.ops.aws import user_errors
from tandem.ops.key_store import Store, is_called
from tandem.ops.kinds import ours
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.teams.apply import Gateway
from tandem.ops.teams.key_values import KeyValues
from tandem.ops.teams.litellm import Admin, checked
from tandem.ops.whose import life_here
from tandem.settings import Settings

OF_GATEWAY = "gateway"
"""In the name of the secret that holds the gateway's own keys."""


def refuse_without(stack: str, settings: Settings) -> None:
    """Raises UserError: the settings have no gateway."""
    if settings.gateway is None:
        raise UserError.of(
            key=stack,
            wrong="its settings have no gateway for teams",
            allowed="a stack with tandem:gateway",
            fix="see docs/gateway.md",
        )


def opened(clients: Clients, stack: str, url: str) -> Gateway:
    """The stack's LiteLLM, which has answered.

    Raises:
        UserError: there is no gateway, it does not answer, it is another stack's, or AWS refuses.
    """
    where = checked(url)
    with user_errors(stack):
        secret = _secret(clients, stack, life_here(stack))
        key = _master_key(Store(clients, secret.arn, secret.name))
    admin = Admin(where, stack, key)
    admin.open()
    tags = {name: value for name, value in secret.tags.items() if name.startswith("tandem:")}
    return Gateway(admin, KeyValues(clients, stack, tags), stack)


def _secret(clients: Clients, stack: str, stack_id: str | None) -> Found:
    found = [one for one in ours(clients, stack, types.SECRET, stack_id) if is_called(one.name, OF_GATEWAY)]
    if len(found) == 1:
        return found[0]
    raise UserError.of(
        key=stack,
        wrong="two lives of this name have a gateway, and no state here tells which is meant"
        if found
        else "it has no secret of a gateway in this account and region",
        value=", ".join(one.name for one in found) or None,
        allowed="a stack that is up, with tandem:gateway",
        fix=f"`tandem audit {stack}` shows what is there; or another --region or --profile",
    )


def _master_key(store: Store) -> str:
    try:
        return json.loads(store.text() or "")[MASTER_KEY]
    except (ValueError, LookupError, TypeError):
        wrong = f"holds no {MASTER_KEY}"
        raise UserError.of(
            key=store.name, wrong=wrong, value="not shown", allowed="what `pulumi up` writes", fix="`pulumi up`"
        ) from None
