"""What must hold of a network that is there, as far as it can be known without the account."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tandem.errors import Problem
from tandem.settings.cluster import ClusterSettings
from tandem.settings.commands import removed, set_to
from tandem.settings.network import NetworkSettings
from tandem.settings.schema import Settings

PRIVATE, PUBLIC = "network.existing.privateSubnetIds", "network.existing.publicSubnetIds"


def existing_network_is_all(settings: Settings) -> Iterator[Problem]:
    """The other settings are of a network that the stack makes; endpoints and flow logs would be for all in the VPC."""
    allowed = "unset with network.existing; endpoints and flow logs are for who owns the VPC to make"
    return of_what_is_made("network", settings.network, allowed)


def of_what_is_made(what: str, section: NetworkSettings | ClusterSettings, allowed: str) -> Iterator[Problem]:
    """Each setting beside `existing`, with which the stack makes none.

    Args:
        what: the section's name, and that of what it is of.
    """
    if section.existing is None:
        return
    for name in sorted(section.model_fields_set - {"existing"}):
        value, key = getattr(section, name), f"{what}.{type(section).model_fields[name].alias}"
        if value not in (None, ()):
            yield Problem(
                key=key,
                wrong=f"is of a {what} that the stack makes, and with {what}.existing it makes none",
                value=list(map(str, value))
                if isinstance(value, tuple)
                else value
                if isinstance(value, int)
                else str(value),
                allowed=allowed,
                fix=f"{removed(key)}, or {removed(f'{what}.existing')}",
            )


def existing_subnets_fit(settings: Settings) -> Iterator[Problem]:
    """Two zones of the region or more, the load balancer in each of them, no subnet for two purposes."""
    there = settings.network.existing
    if there is None:
        return
    if len(there.private_subnet_ids) < 2:
        yield Problem(
            key=PRIVATE,
            wrong="the load balancer needs two zones",
            value=there.private_subnet_ids,
            allowed="subnets in two to four zones of the region",
            fix=set_to(f"{PRIVATE}.{_another(settings)}", "SUBNET"),
        )
    for key, subnets in ((PRIVATE, there.private_subnet_ids), (PUBLIC, there.public_subnet_ids)):
        for zone in (zone for zone in subnets if zone[:-1] != settings.region):
            yield Problem(
                key=key,
                wrong=f"this zone is not in {settings.region}",
                value=zone,
                allowed=f"zones such as {settings.region}a",
                fix=f"{removed(f'{key}.{zone}')}, or change tandem:region",
            )
    places = [(PRIVATE, *one) for one in there.private_subnet_ids.items()]
    places += [(PUBLIC, *one) for one in there.public_subnet_ids.items()]
    for number, (key, zone, subnet) in enumerate(places):
        if subnet in [before for _, _, before in places[:number]]:
            yield Problem(
                key=key,
                wrong="names a subnet that is named already, and a subnet is in one zone, and public or private",
                value=subnet,
                allowed="each subnet once",
                fix=set_to(f"{key}.{zone}", "SUBNET"),
            )
    yield from _of_the_load_balancer(settings, there.private_subnet_ids, there.public_subnet_ids)


def _of_the_load_balancer(
    settings: Settings, private: Mapping[str, str], public: Mapping[str, str]
) -> Iterator[Problem]:
    """It sends nothing to a host in a zone that it is not in, and an internal one stands beside the hosts."""
    if settings.load_balancer.internal:
        if public:
            yield Problem(
                key=PUBLIC,
                wrong="an internal load balancer stands in the private subnets, so nothing would be in these",
                value=public,
                allowed="unset with loadBalancer.scheme: internal",
                fix=f"{removed(PUBLIC)}, or {set_to('loadBalancer.scheme', 'internetFacing')}",
            )
    elif public.keys() != private.keys():
        added = [set_to(f"{PUBLIC}.{zone}", "SUBNET") for zone in sorted(private.keys() - public.keys())]
        gone = [removed(f"{PUBLIC}.{zone}") for zone in sorted(public.keys() - private.keys())]
        yield Problem(
            key=PUBLIC,
            wrong="an internet-facing load balancer needs a public subnet in each of the hosts' zones",
            value=public or None,
            allowed=f"one in each of {', '.join(sorted(private))}; none with loadBalancer.scheme: internal",
            fix=f"{' and '.join([*added, *gone])}, or {set_to('loadBalancer.scheme', 'internal')}",
        )


def _another(settings: Settings) -> str:
    """A zone that is not named yet."""
    return settings.region + ("b" if f"{settings.region}a" in settings.zones else "a")
