"""Where a stack's API is and how to get in, found in the account by tags: no state, no `pulumi stack output`."""

from __future__ import annotations

from dataclasses import dataclass

from tandem import type_tokens as types
from tandem.ops.kinds import ours, servers_targets
from tandem.ops.kinds.kind import Clients

KEY_VARIABLE = "TANDEM_API_KEY"
"""The environment variable with a key of the caller's."""


@dataclass(frozen=True)
class Endpoint:
    """A stack's way in.

    Attributes:
        url: without a path.
        ca_pem: what a client must trust beside the public authorities; None where they will do.
        load_balancer: its name in the account.
        internal: only networks with a route to its VPC reach it.
    """

    url: str
    ca_pem: str | None
    load_balancer: str
    internal: bool = False


def find(clients: Clients, stack: str, domain_name: str | None = None, stack_id: str | None = None) -> Endpoint | None:
    """The stack's endpoint; None while it has no load balancer.

    Args:
        domain_name: of the stack's settings; its load balancer's own name where there is none.
        stack_id: the life of the stack; None for any of the name.
    """
    balancers = ours(clients, stack, types.LOAD_BALANCER, stack_id)
    if not balancers:
        return None
    balancer = balancers[0]
    host = domain_name or balancer.facts["DNSName"]
    internal = balancer.facts.get("Scheme") == "internal"
    return Endpoint(f"https://{host}", _self_signed(clients, stack, stack_id), balancer.name, internal)


def _self_signed(clients: Clients, stack: str, stack_id: str | None) -> str | None:
    """The stack's own certificate where it was imported, as a test stack's is; it is its own authority."""
    acm = clients("acm")
    for found in ours(clients, stack, types.CERTIFICATE, stack_id):
        described = acm.describe_certificate(CertificateArn=found.arn)["Certificate"]
        if described.get("Type") == "IMPORTED":
            return acm.get_certificate(CertificateArn=found.arn)["Certificate"]
    return None


def servers(clients: Clients, stack: str, stack_id: str | None = None) -> int:
    """To how many the load balancer sends requests now."""
    elb = clients("elbv2")
    return sum(
        one["TargetHealth"]["State"] == "healthy"
        for group in servers_targets(clients, stack, stack_id)
        for one in elb.describe_target_health(TargetGroupArn=group.arn)["TargetHealthDescriptions"]
    )
