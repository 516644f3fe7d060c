"""What must hold between settings. Each rule is a pure function: settings in, problems out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tandem import costs, lifetime
from tandem.catalog.instances import INSTANCE_TYPES, unknown_type_problem
from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import removed, set_to
from tandem.settings.schema import Settings
from tandem.settings.types import EVERYONE, PRIVATE
from tandem.subnets import slot
from tandem.timing import HOOK_MARGIN_SECONDS, HOOK_SECONDS

LONGEST_GRACE_SECONDS = HOOK_SECONDS - HOOK_MARGIN_SECONDS
YEARS = range(2026, 2036)
SHORTEST_LIFE = timedelta(minutes=30)


def timeouts_grow_along_the_chain(settings: Settings) -> Iterator[Problem]:
    """Client < load balancer < edge keep-alive < server keep-alive, or clients see 502 for a request that ran."""
    timeouts = settings.timeouts
    chain = [
        ("clientSeconds", timeouts.client_seconds),
        ("loadBalancerIdleSeconds", timeouts.load_balancer_idle_seconds),
        ("edgeKeepaliveSeconds", timeouts.edge_keepalive_seconds),
        ("serverKeepaliveSeconds", timeouts.server_keepalive_seconds),
    ]
    for (before, shorter), (after, longer) in pairwise(chain):
        if not shorter < longer:
            yield Problem(
                key=f"timeouts.{after}",
                wrong=f"must be longer than timeouts.{before}, which is {shorter} s",
                value=longer,
                allowed=f"more than {shorter} s; the chain is {' < '.join(f'{name} {value}' for name, value in chain)}",
                fix=set_to(f"timeouts.{after}", shorter + 10),
            )


def leaving_outlasts_the_longest_answer(settings: Settings) -> Iterator[Problem]:
    """A host that leaves must not cut off an answer."""
    timeouts = settings.timeouts
    longest = timeouts.longest_generation_seconds
    if timeouts.deregistration_delay_seconds < longest:
        yield Problem(
            key="timeouts.deregistrationDelaySeconds",
            wrong=f"is shorter than timeouts.longestGenerationSeconds ({longest} s), so answers would be cut off",
            value=timeouts.deregistration_delay_seconds,
            allowed=f"{longest} to 3600 s",
            fix=f"{set_to('timeouts.deregistrationDelaySeconds', longest)}, or lower timeouts.longestGenerationSeconds",
        )
    needed = max(longest, timeouts.deregistration_delay_seconds)
    if timeouts.termination_grace_seconds < needed:
        yield Problem(
            key="timeouts.terminationGraceSeconds",
            wrong=f"is shorter than what a leaving host waits for ({needed} s)",
            value=timeouts.termination_grace_seconds,
            allowed=f"{needed} to {LONGEST_GRACE_SECONDS} s",
            fix=set_to("timeouts.terminationGraceSeconds", needed + 60),
        )
    if timeouts.termination_grace_seconds > LONGEST_GRACE_SECONDS:
        yield Problem(
            key="timeouts.terminationGraceSeconds",
            wrong="is longer than an Auto Scaling lifecycle hook can wait, with a minute's margin",
            value=timeouts.termination_grace_seconds,
            allowed=f"{needed} to {LONGEST_GRACE_SECONDS} s",
            fix=set_to("timeouts.terminationGraceSeconds", LONGEST_GRACE_SECONDS),
        )


def traces_have_somewhere_to_go(settings: Settings) -> Iterator[Problem]:
    """A share of nothing, which looks as if requests were traced."""
    if settings.tracing.endpoint is None and "sample_ratio" in settings.tracing.model_fields_set:
        key = "tracing.sampleRatio"
        yield Problem(
            key=key,
            wrong="is set without tracing.endpoint, so no request is traced",
            value=settings.tracing.sample_ratio,
            allowed="unset while there is no endpoint",
            fix=f"{set_to('tracing.endpoint', 'https://COLLECTOR:4318/v1/traces')}, or {removed(key)}",
        )


def client_can_wait_for_the_longest_answer(settings: Settings) -> Iterator[Problem]:
    """An answer without streaming is silent until it is whole."""
    timeouts = settings.timeouts
    if timeouts.client_seconds < timeouts.longest_generation_seconds:
        yield Problem(
            key="timeouts.clientSeconds",
            wrong=f"is shorter than the longest answer ({timeouts.longest_generation_seconds} s), which would be lost",
            value=timeouts.client_seconds,
            allowed=f"{timeouts.longest_generation_seconds} to 3600 s",
            fix=f"{set_to('timeouts.clientSeconds', timeouts.longest_generation_seconds)}, or lower "
            "timeouts.longestGenerationSeconds",
        )


def zones_are_in_the_region(settings: Settings) -> Iterator[Problem]:
    """Two zones or more, each once, each of the region."""
    zones = settings.network.zones
    if len(zones) == 1:
        yield Problem(
            key="network.zones",
            wrong="the load balancer needs two zones",
            value=list(zones),
            allowed="two to four zones of the region, or none for its a and b",
            fix=set_to("network.zones[1]", settings.region + ("a" if zones[0].endswith("b") else "b")),
        )
    if len(set(zones)) < len(zones):
        yield Problem(
            key="network.zones",
            wrong="names a zone twice",
            value=list(zones),
            allowed="different zones",
            fix=removed(f"network.zones[{_repeated(zones)}]"),
        )
    for number, zone in enumerate(zones):
        if zone[:-1] != settings.region:
            yield Problem(
                key="network.zones",
                wrong=f"this zone is not in {settings.region}",
                value=zone,
                allowed=f"zones such as {settings.region}a",
                fix=f"{set_to(f'network.zones[{number}]', settings.region + zone[-1])}, or change tandem:region",
            )
    by_slot: dict[int, list[str]] = {}
    for zone in dict.fromkeys(zone for zone in zones if zone[:-1] == settings.region):
        by_slot.setdefault(slot(zone), []).append(zone)
    for sharing in (sharing for sharing in by_slot.values() if len(sharing) > 1):
        yield Problem(
            key="network.zones",
            wrong="these zones have the same ranges of addresses: a range goes by the zone's letter, so that it stays",
            value=sharing,
            allowed="one of a and e, one of b and f, and so on",
            fix=removed(f"network.zones[{zones.index(sharing[-1])}]"),
        )


def domain_can_be_proven(settings: Settings) -> Iterator[Problem]:
    """A domain needs a certificate: validated in Route 53, or brought along."""
    balancer = settings.load_balancer
    if balancer.domain_name and not (balancer.hosted_zone_id or balancer.certificate_arn):
        yield Problem(
            key="loadBalancer.domainName",
            wrong="nothing can prove that this domain is yours",
            value=balancer.domain_name,
            allowed="a domain with loadBalancer.hostedZoneId or loadBalancer.certificateArn",
            fix=f"{set_to('loadBalancer.hostedZoneId', 'ID')}, as `aws route53 list-hosted-zones` shows it",
        )
    for key, value in (("hostedZoneId", balancer.hosted_zone_id), ("certificateArn", balancer.certificate_arn)):
        if value and not balancer.domain_name:
            yield Problem(
                key=f"loadBalancer.{key}",
                wrong="is of no use without a domain",
                value=value,
                allowed="with loadBalancer.domainName only",
                fix=f"{removed(f'loadBalancer.{key}')}, or {set_to('loadBalancer.domainName', 'NAME')}",
            )
    if balancer.certificate_arn and f":acm:{settings.region}:" not in balancer.certificate_arn:
        yield Problem(
            key="loadBalancer.certificateArn",
            wrong="the certificate is in another region than the stack",
            value=balancer.certificate_arn,
            allowed=f"a certificate in {settings.region}",
            fix=f"request or import the certificate in {settings.region}, and "
            f"{set_to('loadBalancer.certificateArn', 'ARN')}",
        )


def global_name_has_a_region_behind_it(settings: Settings) -> Iterator[Problem]:
    """Each region keeps a name of its own, by which it is asked whether it works."""
    name, balancer = settings.global_name, settings.load_balancer
    if name is None:
        return
    if balancer.domain_name in (None, name.domain_name):
        yield Problem(
            key="loadBalancer.domainName",
            wrong="a region behind a global name needs another name of its own",
            value=balancer.domain_name,
            allowed="a name of this region's load balancer alone",
            fix=f"{set_to('loadBalancer.domainName', f'{settings.region}.{name.domain_name}')}, with "
            "loadBalancer.hostedZoneId",
        )
    if name.outside_check and (balancer.internal or EVERYONE not in balancer.client_cidrs):
        why = "have no way to an internal load balancer" if balancer.internal else "are not among its clientCidrs"
        yield Problem(
            key="globalName.outsideCheck",
            wrong=f"Route 53's checkers {why}, so the region would always look broken",
            value=True,
            allowed="false, or loadBalancer.scheme: internetFacing with 0.0.0.0/0 in loadBalancer.clientCidrs",
            fix=f"{set_to('globalName.outsideCheck', False)}; the load balancer's own health checks still count",
        )


def somebody_can_come(settings: Settings) -> Iterator[Problem]:
    """Addresses that no internet carries reach no load balancer on it: its clients would all be refused."""
    balancer, key = settings.load_balancer, "loadBalancer.clientCidrs"
    nobody = [cidr for cidr in balancer.client_cidrs if cidr.is_loopback or any(map(cidr.subnet_of, PRIVATE))]
    if not balancer.internal and len(nobody) == len(balancer.client_cidrs):
        yield Problem(
            key=key,
            wrong="nobody comes from there to an internet-facing load balancer",
            value=[str(cidr) for cidr in nobody],
            allowed="one public range at least, such as 203.0.113.0/24",
            fix=f"{set_to(f'{key}[0]', 'CIDR')}, the public address behind which clients are, or "
            f"{set_to('loadBalancer.scheme', 'internal')}",
        )


def a_kept_cache_is_as_it_was(settings: Settings) -> Iterator[Problem]:
    """The file system is used as it is, so what is said of a new one would do nothing, and be counted."""
    cache = settings.model_cache
    for name in ("provisioned_mibps", "infrequent_access_after_days"):
        if cache.file_system_id and name in cache.model_fields_set and getattr(cache, name) is not None:
            key = f"modelCache.{type(cache).model_fields[name].alias}"
            yield Problem(
                key=key,
                wrong="applies to a file system that the stack makes; modelCache.fileSystemId names an existing one",
                value=getattr(cache, name),
                allowed="unset with modelCache.fileSystemId, whose own throughput and classes stay",
                fix=removed(key),
            )


def listed_once(settings: Settings) -> Iterator[Problem]:
    """A repeated entry is a mistake of which one does not see which half was meant."""
    for key, entries in (
        ("fleet.instanceTypes", settings.fleet.instance_types),
        ("loadBalancer.paths", settings.load_balancer.paths),
        ("loadBalancer.clientCidrs", settings.load_balancer.client_cidrs),
        ("costGuard.alertEmails", settings.cost_guard.alert_emails),
        ("network.interfaceEndpoints", settings.network.interface_endpoints),
        ("cluster.admins", settings.cluster.admins),
        ("cluster.endpointCidrs", settings.cluster.endpoint_cidrs),
    ):
        if len(set(entries)) < len(entries):
            number = _repeated(entries)
            wrong, fix = "is listed twice", removed(f"{key}[{number}]")
            yield Problem(key=key, wrong=wrong, value=str(entries[number]), allowed="each once", fix=fix)


def _repeated(entries: Sequence[object]) -> int:
    """Number of the first that is there already."""
    return next(number for number, entry in enumerate(entries) if entry in entries[:number])


def instance_types_can_serve(settings: Settings) -> Iterator[Problem]:
    """Known types, whose GPUs each model's servers share without a rest."""
    for number, name in enumerate(settings.fleet.instance_types):
        known = INSTANCE_TYPES.get(name)
        if known is None:
            yield unknown_type_problem("fleet.instanceTypes", name)
            continue
        for prefix, inference, _ in models(settings):
            if known.gpus % (gpus := inference.tensor_parallel_size):
                yield Problem(
                    key="fleet.instanceTypes",
                    wrong=f"has {known.gpus} GPUs, and {prefix}inference.tensorParallelSize is {gpus}",
                    value=name,
                    allowed=f"types whose number of GPUs is a multiple of {gpus}",
                    fix=f"{set_to(f'fleet.instanceTypes[{number}]', 'TYPE')}, a larger size of the family, or "
                    f"{set_to(f'{prefix}inference.tensorParallelSize', known.gpus)}",
                )


def group_sizes_fit(settings: Settings) -> Iterator[Problem]:
    """Something to run, room for it, and a base that is not larger than the group."""
    fleet = settings.fleet
    if fleet.max_hosts is not None and fleet.max_hosts < settings.group_size:
        yield Problem(
            key="fleet.maxHosts",
            wrong=f"is smaller than hosts + spareHosts ({fleet.hosts} + {fleet.spare_hosts})",
            value=fleet.max_hosts,
            allowed=f"{settings.group_size} to 120",
            fix=f"{set_to('fleet.maxHosts', settings.group_size)}, or {removed('fleet.maxHosts')}",
        )
    if fleet.spare_hosts and not fleet.hosts:
        yield Problem(
            key="fleet.spareHosts",
            wrong="a fleet of no hosts has nothing to spare",
            value=fleet.spare_hosts,
            allowed="0 while fleet.hosts is 0",
            fix=set_to("fleet.hosts", 1),
        )
    if fleet.on_demand_base > settings.max_group_size:
        yield Problem(
            key="fleet.onDemandBase",
            wrong=f"is larger than the whole group ({settings.max_group_size})",
            value=fleet.on_demand_base,
            allowed=f"0 to {settings.max_group_size}",
            fix=f"{set_to('fleet.onDemandBase', settings.max_group_size)}, or raise fleet.maxHosts",
        )


def weights_have_a_source(settings: Settings) -> Iterator[Problem]:
    """`weights: s3` and its URI come together, for each model."""
    for prefix, inference, _ in models(settings):
        if (inference.weights == "s3") != (inference.weights_s3_uri is not None):
            yield Problem(
                key=f"{prefix}inference.weightsS3Uri",
                wrong="is needed for weights: s3" if inference.weights == "s3" else "is of use with weights: s3 only",
                value=inference.weights_s3_uri,
                allowed="s3://bucket/path together with inference.weights: s3",
                fix=set_to(f"{prefix}inference.weightsS3Uri", "s3://BUCKET/PATH")
                if inference.weights == "s3"
                else f"{set_to(f'{prefix}inference.weights', 's3')}, or {removed(f'{prefix}inference.weightsS3Uri')}",
            )


def one_expiry(settings: Settings) -> Iterator[Problem]:
    """A life or a moment, not both; a Capacity Block's end is a moment, too."""
    guard = settings.cost_guard
    if guard.expires_after and guard.expires_at:
        yield Problem(
            key="costGuard.expiresAt",
            wrong="expiry is set twice, as a life (expiresAfter) and as a moment",
            value=f"{guard.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            allowed="one of costGuard.expiresAfter and costGuard.expiresAt",
            fix=f"{removed('costGuard.expiresAt')}, or {removed('costGuard.expiresAfter')}",
        )
    if guard.expires_at and guard.expires_at < datetime(2026, 1, 1, tzinfo=UTC):
        yield Problem(
            key="costGuard.expiresAt",
            wrong="lies before tandem was written",
            value=f"{guard.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            allowed="a moment to come",
            fix=set_to("costGuard.expiresAt", "MOMENT"),
        )


def alerts_reach_someone(settings: Settings) -> Iterator[Problem]:
    """A budget that tells nobody is no budget."""
    guard = settings.cost_guard
    if guard.monthly_budget_usd and not guard.alert_emails:
        yield Problem(
            key="costGuard.monthlyBudgetUsd",
            wrong="nobody would hear of it",
            value=guard.monthly_budget_usd,
            allowed="together with costGuard.alertEmails",
            fix=set_to("costGuard.alertEmails[0]", "ADDRESS"),
        )


def cap_buys_a_first_token(settings: Settings) -> Iterator[Problem]:
    """A cap that is spent before the first host serves buys nothing."""
    cap = settings.cost_guard.max_usd
    types = (name for group in settings.groups.values() for name in group.fleet.instance_types)
    if cap is None or any(name not in INSTANCE_TYPES for name in types):
        return
    per_hour = costs.max_usd_per_hour(settings)
    least = lifetime.usd_at_most(settings, SHORTEST_LIFE)
    if cap < least:
        yield Problem(
            key="costGuard.maxUsd",
            wrong=f"is spent in less than {SHORTEST_LIFE / timedelta(minutes=1):.0f} minutes at "
            f"${per_hour:.2f} an hour, before a first token",
            value=cap,
            allowed=f"from ${least:.2f}",
            fix=f"{set_to('costGuard.maxUsd', math.ceil(least))}, or lower fleet.maxHosts or choose cheaper types",
        )


def business_hours_are_a_span(settings: Settings) -> Iterator[Problem]:
    """Start before stop, on the same day, at times that every day has."""
    hours = settings.cost_guard.business_hours
    if hours is not None and not hours.start < hours.stop:
        yield Problem(
            key="costGuard.businessHours.stop",
            wrong=f"is not after start ({hours.start})",
            value=hours.stop,
            allowed=f"a time of the same day after {hours.start}",
            fix=f"{set_to('costGuard.businessHours.start', hours.stop)} and "
            f"{set_to('costGuard.businessHours.stop', hours.start)}, or {removed('costGuard.businessHours')} for a "
            "stack that runs over night",
        )
    if hours is not None and (skipped := lifetime.skipped_on(hours, YEARS)):
        time, day = skipped
        yield Problem(
            key="costGuard.businessHours",
            wrong=f"on {day} the clock of {hours.time_zone} jumps over {time}, and the schedule would be skipped",
            value=time,
            allowed="times that every day has",
            fix="choose a time an hour later",
        )
