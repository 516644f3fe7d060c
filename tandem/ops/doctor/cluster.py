"""What a cluster needs besides GPUs: zones, a Kubernetes version in support, the commands that reach it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from tandem.catalog.cluster_zones import NO_CLUSTERS
from tandem.ops.doctor.capacity import set_zones
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, ok, warning

SOON_DAYS = 60

COMMANDS = {
    "aws": (
        "`pulumi up` logs in to the cluster",
        "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
    ),
    "kubectl": ("`pulumi up` sees whether servers start", "https://kubernetes.io/docs/tasks/tools/"),
}
"""What each is for, and where to have it from."""


def commands_are_there(_examination: Examination) -> Iterator[Finding]:
    """A kubeconfig holds a command, no credential."""
    for command, (purpose, source) in COMMANDS.items():
        if path := shutil.which(command):
            yield ok(f"with `{command}` {purpose}", value=path)
        else:
            yield error(
                f"there is no `{command}`, with which {purpose}",
                value="not on PATH",
                needed=f"`{command}`",
                fix=source,
            )


def zones_take_clusters(examination: Examination) -> Iterator[Finding]:
    """Each account has its own names for zones, and EKS refuses some of the zones behind them."""
    settings = examination.settings
    if settings.cluster.existing:
        return
    found = examination.clients("ec2").describe_availability_zones()["AvailabilityZones"]
    refused = {zone["ZoneName"]: zone["ZoneId"] for zone in found if zone["ZoneId"] in NO_CLUSTERS}
    wrong = [zone for zone in settings.zones if zone in refused]
    if wrong:
        others = sorted({zone["ZoneName"] for zone in found if zone["State"] == "available"} - {*refused})
        yield error(
            "EKS makes no control plane in this zone: `up` would end with UnsupportedAvailabilityZoneException",
            value=", ".join(f"{zone}, which is {refused[zone]} in this account" for zone in wrong),
            needed=f"two to four of {', '.join(others)}",
            fix=set_zones(
                settings, list(dict.fromkeys([*(one for one in settings.zones if one not in wrong), *others]))[:2]
            ),
        )
    else:
        yield ok("EKS takes the zones", value=", ".join(settings.zones))


def kubernetes_is_supported(examination: Examination) -> Iterator[Finding]:
    """EKS has the pinned version, in standard support. Clusters ask for no extended support, which costs six times as
    much: at its end AWS upgrades them (https://docs.aws.amazon.com/eks/latest/userguide/disable-extended-support.html).
    """
    version = examination.pins.kubernetes.version
    found = examination.clients("eks").describe_cluster_versions(clusterVersions=[version])["clusterVersions"]
    status = found[0]["versionStatus"] if found else "UNSUPPORTED"
    newer = "`tandem pin --kubernetes --to VERSION`, the next one; docs/kubernetes.md"
    if status == "UNSUPPORTED":
        yield error(
            f"EKS has no Kubernetes {version} in {examination.region}",
            value=version,
            needed="a version in standard support: `aws eks describe-cluster-versions`",
            fix=newer,
        )
        return
    ends = found[0]["endOfStandardSupportDate"].date()
    if status == "EXTENDED_SUPPORT":
        yield error(
            f"standard support of Kubernetes {version} has ended: AWS upgrades a cluster by itself, since it asks "
            "for no extended support, and makes none with this version",
            value=f"ended on {ends}",
            needed="a version in standard support",
            fix=newer,
        )
    elif (left := (ends - examination.now.date()).days) < SOON_DAYS:
        yield warning(
            f"standard support of Kubernetes {version} ends in {left} days; AWS then upgrades the control plane "
            "by itself, and leaves nodes and add-ons behind",
            value=f"until {ends}",
            needed=f"a newer version, {SOON_DAYS} days before",
            fix=newer,
        )
    else:
        yield ok(
            f"Kubernetes {version} is in standard support; AWS then upgrades the control plane by itself",
            value=f"until {ends}",
        )
