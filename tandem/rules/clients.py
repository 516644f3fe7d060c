"""Clients that the settings declare: what an edge would refuse of them, and with them everybody's new keys."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tandem.errors import Problem
from tandem.settings.commands import removed
from tandem.settings.schema import Settings

SECRET_BYTES = 65_536
"""https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""


def a_key_is_one_clients(settings: Settings) -> Iterator[Problem]:
    """An edge would not know whose it is."""
    owners: dict[str, str] = {}
    for name, client in settings.clients.items():
        for number, digest in enumerate(client.sha256):
            if digest in owners:
                key = f"clients.{name}.sha256[{number}]"
                yield Problem(
                    key=key,
                    wrong=f"is a key of {owners[digest]} already",
                    value=f"{digest[:8]}...",
                    allowed="each key once",
                    fix=removed(key),
                )
            owners.setdefault(digest, name)


def clients_ask_for_what_is_served(settings: Settings) -> Iterator[Problem]:
    """A name that no server has would close all models to the client."""
    for name, client in settings.clients.items():
        for number, model in enumerate(client.models or ()):
            if model not in settings.names_served:
                key = f"clients.{name}.models[{number}]"
                yield Problem(
                    key=key,
                    wrong="is not served by this stack",
                    value=model,
                    allowed=", ".join(settings.names_served),
                    fix=f"{removed(key)}, or the name that clients send as `model`",
                )


def clients_fit_into_their_secret(settings: Settings) -> Iterator[Problem]:
    """Of so many bytes."""
    declared = {name: client.model_dump(mode="json") for name, client in settings.clients.items()}
    if (size := len(json.dumps(declared))) > SECRET_BYTES:
        yield Problem(
            key="clients",
            wrong=f"takes {size} bytes, more than a secret holds",
            value=f"{len(declared)} clients",
            allowed=f"{SECRET_BYTES} bytes",
            fix="`pulumi config rm --path 'tandem:clients.NAME'` for some; `tandem keys add` has a secret of its own",
        )
