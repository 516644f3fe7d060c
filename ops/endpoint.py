"""Where a stack's API is and how to get in, found in the account by tags: no state, no `pulumi stack output`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from infra.errors import Problem, UserError
from ops.kinds import ours, types
from ops.kinds.kind import Clients


@dataclass(frozen=True)
class Endpoint:
    """A stack's way in.

    Attributes:
        url: without a path.
        ca_pem: what a client must trust beside the public authorities; None where they will do.
        load_balancer: its name in the account.
    """

    url: str
    ca_pem: str | None
    load_balancer: str


def find(clients: Clients, stack: str, domain_name: str | None = None, stack_id: str | None = None) -> Endpoint | None:
    """The stack's endpoint; None while it has no load balancer.

    Args:
        domain_name: of the stack's settings; its load balancer's own name where there is none.
        stack_id: the life of the stack; None for any of the name.
    """
    balancers = ours(clients, stack, types.LOAD_BALANCER, stack_id)
    if not balancers:
        return None
    host = domain_name or balancers[0].facts["DNSName"]
    return Endpoint(f"https://{host}", _self_signed(clients, stack, stack_id), balancers[0].name)


def _self_signed(clients: Clients, stack: str, stack_id: str | None) -> str | None:
    """The stack's own certificate where it was imported, as a test stack's is; it is its own authority."""
    acm = clients("acm")
    for found in ours(clients, stack, types.CERTIFICATE, stack_id):
        described = acm.describe_certificate(CertificateArn=found.arn)["Certificate"]
        if described.get("Type") == "IMPORTED":
            return acm.get_certificate(CertificateArn=found.arn)["Certificate"]
    return None


def api_key(clients: Clients, stack: str, stack_id: str | None = None) -> str:
    """A key of the stack's secret: `default`, or the first client's.

    Raises:
        UserError: the stack has no secret of API keys.
    """
    for secret in ours(clients, stack, types.SECRET, stack_id):
        if "api-keys" in secret.name:
            return key_of(clients("secretsmanager").get_secret_value(SecretId=secret.arn)["SecretString"])
    raise UserError(
        Problem(
            key=stack,
            wrong="the stack has no secret with API keys in this account and region",
            allowed="a stack that is up",
            fix="`pulumi up`, name another --region or --profile, or pass --url and --api-key-file",
        )
    )


def key_of(text: str) -> str:
    """The key in a file or a secret: the text itself, or a JSON object of client name to key."""
    try:
        found: Any = json.loads(text)
    except ValueError:
        return text.strip()
    if isinstance(found, dict) and found:
        return str(found.get("default") or next(iter(found.values())))
    return text.strip()
