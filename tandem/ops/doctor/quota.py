"""Whether the account has the right to the hosts: service quotas, with what is already in use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any

from tandem.catalog import prices, quotas
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.quotas import Purchase, Quota, vcpu_quota
from tandem.costs import hosts_by_purchase, hosts_while_replaced
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, Severity, error, ok
from tandem.ops.kinds.kind import tag_map
from tandem.platforms import platform_of
from tandem.settings import Settings
from tandem.settings.schema import BatchSettings
from tandem.tags import PROJECT, PROJECT_TAG, STACK_TAG


def quota_is_enough(examination: Examination) -> Iterator[Finding]:
    """vCPUs by family and purchase: for the start, for the maximum, and for hosts more while hosts are replaced."""
    groups = [
        group  # those in a Capacity Block do not count against these quotas
        for group in examination.settings.groups.values()
        if group.max_group_size and not group.fleet.capacity_block
    ]
    in_use = _vcpus_in_use(examination) if groups else {}
    purchases: tuple[Purchase, ...] = ("on demand", "spot")
    for purchase in purchases:
        needed: dict[Quota, list[list[Need]]] = defaultdict(list)
        for group in groups:
            sizes: dict[Quota, list[int]] = defaultdict(list)
            for name in group.fleet.instance_types:
                if quota := vcpu_quota(name, purchase):
                    sizes[quota].append(INSTANCE_TYPES[name].vcpus)
            for quota, vcpus in sizes.items():
                needed[quota].append(_needs(group, purchase, vcpus, examination.settings.batch))
        for quota, of_groups in needed.items():
            needs = _together(of_groups)
            if any(need for _, _, need in needs):
                yield _vcpus_are_enough(examination, quota, needs, in_use.get(quota, 0))


def controllers_quota_is_enough(examination: Examination) -> Iterator[Finding]:
    """vCPUs of the nodes on which a cluster's controllers run; a new account has 5, by default."""
    settings, quota = examination.settings, quotas.STANDARD_ON_DEMAND
    cluster = settings.cluster
    if cluster.existing:
        return
    # An update of their node group starts others first.
    nodes = cluster.system_nodes + 2 * len(settings.zones)
    vcpus = prices.SYSTEM_NODE_VCPUS[cluster.system_instance_type]
    needs: list[Need] = [
        ("error", "the controllers' nodes", cluster.system_nodes * vcpus),
        ("warning", "the controllers' nodes while they are replaced", nodes * vcpus),
    ]
    yield _vcpus_are_enough(examination, quota, needs, _vcpus_in_use(examination)[quota])


def _needs(settings: Settings, purchase: Purchase, vcpus: list[int], batch: BatchSettings | None) -> list[Need]:
    """One group's of one quota. The start counts with the smallest type, everything later with the largest.

    Args:
        batch: of the stack; its machines are of the main model's types.
    """
    hosts = partial(hosts_by_purchase, settings)
    needs: list[Need] = [
        ("error", "the hosts that `up` starts", hosts(platform_of(settings).hosts_at_first)[purchase] * min(vcpus)),
        ("warning", "the group at its maximum", hosts(settings.max_group_size)[purchase] * max(vcpus)),
        ("warning", "the group while hosts are replaced", hosts_while_replaced(settings)[purchase] * max(vcpus)),
    ]
    if batch and purchase == ("spot" if batch.spot else "on demand"):
        beside = hosts(settings.max_group_size)[purchase] + (batch.max_hosts if settings.batch else 0)
        needs.append(("warning", "the group at its maximum with a batch beside it", beside * max(vcpus)))
    return needs


Need = tuple[Severity, str, int]
"""How bad it is when it is not met, what for, and how many vCPUs; the worst comes first."""


def _together(groups: list[list[Need]]) -> list[Need]:
    """Of all groups what each need takes. All models may change at once: they have one image."""
    found: dict[tuple[Severity, str], int] = defaultdict(int)
    for severity, what, need in chain(*groups):
        found[severity, what] += need
    return [(severity, what, need) for (severity, what), need in found.items()]


def _vcpus_are_enough(examination: Examination, quota: Quota, needs: list[Need], used: int) -> Finding:
    """The first need that a quota does not meet beside what others use; the remedy asks for the largest."""
    most = max(need for _, _, need in needs)
    value = _quota_value(examination, quota)
    what, there = f"{quota.name} ({quota.code})", f"{value:g} vCPUs, {used} in use by others"
    for severity, reason, need in needs:
        if need > value - used:
            return Finding(
                severity=severity,
                what=f"{what} is too small for {reason}",
                value=there,
                needed=f"{used + need} vCPUs",
                fix=_raise_quota(examination, quota, used + most),
            )
    return ok(f"{what} is enough", value=there)


def network_quotas_are_enough(examination: Examination) -> Iterator[Finding]:
    """A VPC, and an address for each NAT gateway; both quotas are 5 by default."""
    settings, ec2 = examination.settings, examination.clients("ec2")
    nats = len(settings.nat_zones)
    vpcs = ec2.get_paginator("describe_vpcs").paginate().search("Vpcs[]")
    counts = [
        (quotas.VPCS, settings.network.existing is None, sum(not _is_ours(examination, vpc) for vpc in vpcs)),
        (
            quotas.ELASTIC_IPS,
            nats,
            sum(not _is_ours(examination, address) for address in ec2.describe_addresses()["Addresses"]),
        ),
    ]
    for quota, need, used in counts:
        if not need:
            continue
        value = _quota_value(examination, quota)
        if used + need > value:
            yield error(
                f"{quota.name} ({quota.code}) is too small",
                value=f"{value:g}, {used} in use by others",
                needed=f"{used + need}",
                fix=_raise_quota(examination, quota, used + need),
            )
        else:
            yield ok(f"{quota.name} is enough", value=f"{value:g}, {used} in use by others")


def _is_ours(examination: Examination, item: dict[str, Any]) -> bool:
    tags = tag_map(item.get("Tags"))
    return tags.get(PROJECT_TAG) == PROJECT and tags.get(STACK_TAG) == examination.stack


def _quota_value(examination: Examination, quota: Quota) -> float:
    client = examination.clients("service-quotas")
    return client.get_service_quota(ServiceCode=quota.service, QuotaCode=quota.code)["Quota"]["Value"]


def _raise_quota(examination: Examination, quota: Quota, value: int) -> str:
    """The command that asks for more, unless a request is open already."""
    region = examination.region
    asked = (
        examination.clients("service-quotas")
        .list_requested_service_quota_change_history_by_quota(ServiceCode=quota.service, QuotaCode=quota.code)
        .get("RequestedQuotas", [])
    )
    for request in asked:
        if request["Status"] in ("PENDING", "CASE_OPENED") and request["DesiredValue"] >= value:
            return (
                f"wait: a request for {request['DesiredValue']:g} is {request['Status'].lower().replace('_', ' ')}, "
                f"https://{region}.console.aws.amazon.com/servicequotas/home/requests"
            )
    return (
        f"`aws service-quotas request-service-quota-increase --region {region} --service-code {quota.service} "
        f"--quota-code {quota.code} --desired-value {value}`"
    )


def _vcpus_in_use(examination: Examination) -> dict[Quota, int]:
    """vCPUs of running instances that are not this stack's, by the quota against which they count."""
    pages = (
        examination.clients("ec2")
        .get_paginator("describe_instances")
        .paginate(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
    )
    used: dict[Quota, int] = defaultdict(int)
    for instance in pages.search("Reservations[].Instances[]"):
        lifecycle = instance.get("InstanceLifecycle")
        quota = vcpu_quota(instance["InstanceType"], "spot" if lifecycle == "spot" else "on demand")
        if quota is None or lifecycle == "capacity-block" or _is_ours(examination, instance):
            continue
        used[quota] += _vcpus(instance)
    for vcpus, quota in _kept_from_others(examination):
        used[quota] += vcpus
    return used


def _kept_from_others(examination: Examination) -> Iterator[tuple[int, Quota]]:
    """vCPUs that a reservation of the account holds for others and nobody uses: they count as if they ran, those of one
    that is shared in the account that owns it, and those that this stack's hosts take are its need already
    (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-capacity-reservations.html)."""
    groups = examination.settings.groups.values()
    named = {id for group in groups for id in group.fleet.reservation_ids}
    account = examination.home("sts").get_caller_identity()["Account"]
    pages = examination.clients("ec2").get_paginator("describe_capacity_reservations")
    for one in pages.paginate().search("CapacityReservations[]"):
        quota, known = vcpu_quota(one["InstanceType"], "on demand"), INSTANCE_TYPES.get(one["InstanceType"])
        if quota is None or known is None or one["State"] != "active" or one["CapacityReservationId"] in named:
            continue
        if one.get("ReservationType", "default") != "default" or one.get("OwnerId", account) != account:
            continue
        if one.get("InstanceMatchCriteria") == "open" and any(_takes(group, one) for group in groups):
            continue
        yield one["AvailableInstanceCount"] * known.vcpus, quota


def _takes(group: Settings, reservation: dict[str, Any]) -> bool:
    """Whether hosts of a group that names none would start in an open one."""
    fleet = group.fleet
    fits = reservation["InstanceType"] in fleet.instance_types and reservation["AvailabilityZone"] in group.zones
    return fits and not fleet.reservation_ids


def _vcpus(instance: dict[str, Any]) -> int:
    known = INSTANCE_TYPES.get(instance["InstanceType"])
    options = instance.get("CpuOptions") or {}
    return known.vcpus if known else options.get("CoreCount", 0) * options.get("ThreadsPerCore", 2)
