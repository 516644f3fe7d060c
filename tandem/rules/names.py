"""Host names and paths: what a certificate and the load balancer take of them."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from tandem.errors import Problem
from tandem.settings.schema import Settings

CERTIFICATE_CHARACTERS = 64
"""Of its first name: https://docs.aws.amazon.com/acm/latest/APIReference/API_RequestCertificate.html"""
CONDITION_CHARACTERS = 128
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_HostHeaderConditionConfig.html"""
CERTIFICATE_NAMES = 10
"""https://docs.aws.amazon.com/acm/latest/userguide/acm-limits.html, which may be raised to 100."""
BALANCER_RULES = 100
"""https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html; may be raised, too."""


def names_fit(settings: Settings) -> Iterator[Problem]:
    """The first name of a certificate is short; the others stand in rules of the load balancer."""
    balancer = settings.load_balancer
    if balancer.domain_name and balancer.hosted_zone_id and not balancer.certificate_arn:
        yield from _too_long("loadBalancer.domainName", balancer.domain_name, CERTIFICATE_CHARACTERS, "a certificate")
    for name, model in settings.models.items():
        yield from _too_long(f"models.{name}.hostName", model.host_name, CONDITION_CHARACTERS, "a listener rule")


def _too_long(key: str, name: str, most: int, where: str) -> Iterator[Problem]:
    if len(name) > most:
        yield Problem(
            key=key,
            wrong=f"has {len(name)} characters, more than {where} takes",
            value=name,
            allowed=f"up to {most} characters",
            fix="choose a shorter name",
        )


def warnings(settings: Settings) -> Iterator[str]:
    """Quotas that an account may have raised."""
    balancer, models = settings.load_balancer, len(settings.models)
    names = 1 + models + (settings.global_name is not None)
    if balancer.domain_name and balancer.hosted_zone_id and names > CERTIFICATE_NAMES:
        yield (
            f"the certificate has {names} names, and an account's quota is {CERTIFICATE_NAMES} unless it was raised "
            "(ACM, domain names per certificate)"
        )
    # Five values a rule; that of the host is one of them.
    rules = ceil(len(settings.paths) / 5) + models * ceil(len(settings.paths) / 4)
    if rules >= BALANCER_RULES:
        yield (
            f"the load balancer has {rules} rules, and an account's quota is {BALANCER_RULES} unless it was raised; "
            "fewer loadBalancer.paths, such as one that ends in /*, make fewer rules"
        )
