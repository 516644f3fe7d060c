"""Host names and paths: what a certificate and the load balancer take of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tandem.errors import Problem
from tandem.routes import GATEWAY, Route, routes
from tandem.rules.cluster import prefix_of
from tandem.settings.commands import removed, set_to
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
    for key, host_name in further_hosts(settings).items():
        yield from _too_long(key, host_name, CONDITION_CHARACTERS, "a listener rule")


def further_names_are_free(settings: Settings) -> Iterator[Problem]:
    """Each further model and the gateway have a host name of their own, under a certificate that covers it."""
    balancer = settings.load_balancer
    taken = {balancer.domain_name: "loadBalancer.domainName"}
    if settings.global_name is not None:
        taken[settings.global_name.domain_name] = "globalName.domainName"
    for key, host_name in further_hosts(settings).items():
        if balancer.domain_name is None:
            yield Problem(
                key=key,
                wrong="needs a domain: a self-signed certificate has one name",
                value=host_name,
                allowed="with loadBalancer.domainName",
                fix=f"{set_to('loadBalancer.domainName', 'NAME')} and {set_to('loadBalancer.hostedZoneId', 'ID')}",
            )
        elif host_name in taken:
            yield Problem(
                key=key,
                wrong=f"is {taken[host_name]} already",
                value=host_name,
                allowed="a host name of its own",
                fix=set_to(key, "NAME"),
            )
        taken[host_name] = key


def further_hosts(settings: Settings) -> dict[str, str]:
    """Host names beside the main one, by the setting that has each."""
    found = {f"models.{name}.hostName": model.host_name for name, model in settings.models.items()}
    return found | ({"gateway.hostName": settings.gateway.host_name} if settings.gateway else {})


def models_have_priorities_of_their_own(settings: Settings) -> Iterator[Problem]:
    """Their rules' are made of their names, and of two of one priority the load balancer takes the first alone."""
    taken: dict[int, str] = {}
    for route in _routes(settings):
        if (other := taken.setdefault(route.priority, route.model)) != route.model:
            key = f"models.{route.model}"
            yield Problem(
                key=key,
                wrong=f"its rule in the load balancer would have the priority {route.priority}, as one of the model "
                f"{other} has: both are made of the names",
                value=route.model,
                allowed="another name",
                fix=f"{removed(key)}, and another name",
            )


def _routes(settings: Settings) -> list[Route]:
    ways: dict[str, Sequence[str]] = {GATEWAY: settings.load_balancer.paths} if settings.gateway else {}
    hosts = {GATEWAY: settings.gateway.host_name} if settings.gateway else {}
    further = {name: model.host_name for name, model in settings.models.items()}
    return routes({**ways, **settings.ways}, {**hosts, **further})


def models_are_asked_for_by_names_of_their_own(settings: Settings) -> Iterator[Problem]:
    """By what clients send as `model` a client's `models` and the commands' `--model` say which one is meant."""
    taken: dict[str, str] = {}
    for name, (inference, _) in settings.scaled.items():
        if (other := taken.setdefault(inference.served_name, name)) != name:
            key = f"{prefix_of(name)}inference.servedModelName"
            yield Problem(
                key=key,
                wrong=f"is how clients ask for the model {other}, too",
                value=inference.served_name,
                allowed="a name that nothing else of the stack has",
                fix=set_to(key, "NAME"),
            )


def models_have_hosts_of_their_own(settings: Settings) -> Iterator[Problem]:
    """What groups of hosts cannot share, and what nobody could tell whose it was."""
    reserved: dict[str, str] = {}
    for name, group in settings.groups.items() if settings.models else ():
        own = settings.models[name].fleet if name in settings.models else settings.fleet
        key = f"{prefix_of(name)}fleet" if own else "fleet"
        for where, id in _reserved(group):
            if (other := reserved.setdefault(id, name)) != name:
                yield Problem(
                    key=f"{key}.{where}",
                    wrong=f"its hosts are the model {other}'s, and two groups would take them from each other",
                    value=id,
                    allowed="reservations of each model's own",
                    fix=set_to(f"{prefix_of(name)}fleet.{where}", "ID"),
                )
        if group.sleeps:
            yield Problem(
                key=f"{key}.followLoad",
                wrong="the load balancer does not say for which model it had no host, so that none could be woken",
                value=True,
                allowed="beside other models with fleet.hosts from 1, and without costGuard.idleAfter",
                fix=f"{removed(f'{key}.followLoad')}, or {set_to(f'{key}.hosts', 1)} and "
                f"{removed('costGuard.idleAfter')}",
            )
        if name in settings.models and own and "log_retention_days" in own.model_fields_set:
            yield Problem(
                key=f"{key}.logRetentionDays",
                wrong="has no effect: all models of a stack write into one log group",
                value=own.log_retention_days,
                allowed="unset; fleet.logRetentionDays says it for all",
                fix=removed(f"{key}.logRetentionDays"),
            )


def _reserved(group: Settings) -> Iterator[tuple[str, str]]:
    """Settings below `fleet`, with the reservation that they name."""
    block, reservations = group.fleet.capacity_block, group.fleet.capacity_reservations
    if block:
        yield "capacityBlock.reservationId", block.reservation_id
    for zone, id in reservations.by_zone.items() if reservations else ():
        yield f"capacityReservations.byZone.{zone}", id


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
    """Quotas that an account may have raised, and what a global name looks at."""
    balancer, models = settings.load_balancer, len(settings.models)
    names = 1 + models + (settings.global_name is not None) + (settings.gateway is not None)
    if models and settings.global_name is not None and not settings.global_name.outside_check:
        yield (
            "globalName.outsideCheck is false: the region is out of the name while any of its models, and not the main "
            "one alone, has no host that makes tokens"
        )
    if balancer.domain_name and balancer.hosted_zone_id and names > CERTIFICATE_NAMES:
        yield (
            f"the certificate has {names} names, and an account's quota is {CERTIFICATE_NAMES} unless it was raised "
            "(ACM, domain names per certificate)"
        )
    rules = len(_routes(settings))
    if rules >= BALANCER_RULES:
        yield (
            f"the load balancer has {rules} rules, and an account's quota is {BALANCER_RULES} unless it was raised; "
            "fewer loadBalancer.paths, such as one that ends in /*, make fewer rules"
        )
