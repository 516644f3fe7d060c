"""The list of all checks, and the examination of one stack by them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from types import MappingProxyType

from tandem.ops.aws import AwsError, problem_of
from tandem.ops.doctor import (
    address,
    balancer,
    billing,
    capacity,
    clients,
    cluster,
    existing_cluster,
    identity,
    lines,
    machine,
    network,
    on_demand_reservations,
    price,
    quota,
    reservation,
    settings,
)
from tandem.ops.doctor.examination import Check, Examination
from tandem.ops.doctor.finding import Finding, from_problem, unknown, worst
from tandem.rules import in_words_of
from tandem.tags import MAIN_MODEL

CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "settings": settings.settings_hold,
        "pins": settings.versions_are_pinned,
        "expiry": settings.has_time_left,
        "cluster commands": cluster.commands_are_there,
        "credentials": identity.credentials_work,
        "region": identity.region_is_enabled,
        "stack's name": identity.name_is_free_or_own,
        "permissions": identity.may_do_what_up_does,
        "zones": capacity.zones_exist,
        "existing network": network.existing_network_fits,
        "instance types": capacity.types_are_offered,
        "GPU quota": quota.quota_is_enough,
        "controllers' quota": quota.controllers_quota_is_enough,
        "network quota": quota.network_quotas_are_enough,
        "Capacity Block": reservation.capacity_block_is_ours,
        "capacity reservations": on_demand_reservations.reservations_hold_the_hosts,
        "cluster zones": cluster.zones_take_clusters,
        "Kubernetes": cluster.kubernetes_is_supported,
        "existing cluster": existing_cluster.existing_cluster_fits,
        "machine image": machine.machine_image_is_there,
        "model": machine.model_can_be_read,
        "secrets": machine.secrets_are_there,
        "clients": clients.documents_hold,
        "load balancer": balancer.former_may_go,
        "place of lines": lines.place_of_lines_is_there,
        "name": address.name_has_an_owner,
        "hosted zone": address.zone_is_delegated,
        "certificate": address.certificate_is_valid,
        "price": price.price_is_known,
        "budget's tag": billing.tag_is_activated,
        "spot role": billing.spot_role_is_there,
        "spot price": price.spot_is_to_be_had,
        "spot placement": price.spot_score_is_fair,
    }
)
"""All checks by name, in the order in which they are reported."""

ONLY_ON = {
    "cluster commands": "eks",
    "controllers' quota": "eks",
    "cluster zones": "eks",
    "Kubernetes": "eks",
    "existing cluster": "eks",
}
"""Checks of one platform; stacks on another are not asked."""

OF_GROUPS = (
    "instance types",
    "Capacity Block",
    "capacity reservations",
    "machine image",
    "spot price",
    "spot placement",
)
"""Checks of each group of machines by itself."""

OFFLINE = ("settings", "pins", "expiry", "cluster commands", "name")
"""Those that need neither AWS nor any other network."""

FIRST = ("credentials", "region")
"""What all other calls to AWS depend on: while these fail, nothing else is asked, and one cause is named once."""

_WORKERS = 8
DEADLINE_SECONDS = 60
"""A healthy account answers in seconds; one call may hang for its own time and its repetitions."""


def examine(examination: Examination, deadline_seconds: float = DEADLINE_SECONDS) -> list[Finding]:
    """Runs all checks, those of AWS side by side, and returns their findings in the order of CHECKS.

    Args:
        deadline_seconds: for those side by side; a check without an answer by then is reported as not looked at.
    """
    found: dict[str, list[Finding]] = {name: run_check(name, examination) for name in OFFLINE}
    for name in FIRST:
        found[name] = run_check(name, examination)
        if worst(found[name]) == "error":
            break
    else:
        found |= _side_by_side([name for name in CHECKS if name not in found], examination, deadline_seconds)
    return [finding for name in CHECKS for finding in found.get(name, ())]


def _side_by_side(names: list[str], examination: Examination, deadline_seconds: float) -> dict[str, list[Finding]]:
    pool = ThreadPoolExecutor(_WORKERS)
    checks = {name: pool.submit(run_check, name, examination) for name in names}
    wait(checks.values(), timeout=deadline_seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    late = _too_late(deadline_seconds)
    return {
        name: check.result() if check.done() and not check.cancelled() else [late.of(name)]
        for name, check in checks.items()
    }


def _too_late(deadline_seconds: float) -> Finding:
    return unknown(
        f"no answer within {deadline_seconds:.0f} s",
        needed="an answer of AWS",
        fix="check the network and HTTPS_PROXY, then run the doctor again",
    )


def run_check(name: str, examination: Examination) -> list[Finding]:
    """What one check of CHECKS finds; nothing where it is not of the stack's platform."""
    if ONLY_ON.get(name, examination.settings.platform) != examination.settings.platform:
        return []
    settings, found = examination.settings, list[Finding]()
    for model, own in settings.groups.items() if name in OF_GROUPS else [(MAIN_MODEL, settings)]:
        for finding in _findings(CHECKS[name], replace(examination, settings=own)):
            told = replace(finding.of(name), fix=in_words_of(settings, model, finding.fix))
            found += [] if told in found else [told]
    return found


def _findings(check: Check, examination: Examination) -> Iterator[Finding]:
    """A check that AWS refuses an answer has not found anything wrong; it could not look."""
    try:
        yield from check(examination)
    except AwsError as error:
        yield from_problem(problem_of(error, "not checked"), "unknown")
