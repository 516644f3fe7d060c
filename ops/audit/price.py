"""What a resource costs a month if nobody touches it: list prices of us-east-1, from the description that AWS gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from infra.catalog import prices
from infra.catalog.instances import INSTANCE_TYPES
from infra.catalog.prices import HOURS_PER_MONTH
from ops.kinds import KINDS, types
from ops.kinds.kind import Clients, Found

_GB = 1e9
ADDRESS_PER_MONTH = prices.PUBLIC_IPV4_PER_HOUR * HOURS_PER_MONTH

Facts = Mapping[str, Any]


def usd_per_month(found: Found, clients: Clients, now: datetime) -> float | None:
    """US dollars a month at rest, without traffic and requests; None where nobody can say.

    Raises:
        botocore's errors: a bucket's size is a question of its own.
    """
    if found.type == types.BUCKET:
        return _bucket(found, clients, now)
    if found.type in _BY_TYPE:
        return _BY_TYPE[found.type](found.facts)
    return 0.0 if found.type in KINDS else None


def _volume(facts: Facts) -> float | None:
    per_gib = prices.EBS_PER_GIB_MONTH.get(facts.get("VolumeType", ""))
    if per_gib is None:
        return None
    iops = facts.get("Iops") or 0 if facts["VolumeType"] in ("io1", "io2") else 0
    return facts["Size"] * per_gib + iops * prices.EBS_PROVISIONED_IOPS_MONTH


def _instance(facts: Facts) -> float | None:
    if facts["State"]["Name"] in ("stopped", "stopping", "shutting-down"):
        return 0.0
    name = facts["InstanceType"]
    known = INSTANCE_TYPES.get(name)
    usd = known.usd_per_hour if known else prices.SYSTEM_NODE_PER_HOUR.get(name)
    return usd * HOURS_PER_MONTH if usd else None


def _interface(facts: Facts) -> float:
    """An elastic address is a resource of its own."""
    association = facts.get("Association") or {}
    return ADDRESS_PER_MONTH if association.get("PublicIp") and not association.get("AllocationId") else 0.0


def _load_balancer(facts: Facts) -> float:
    addresses = len(facts.get("AvailabilityZones", ())) if facts.get("Scheme") != "internal" else 0
    return prices.LOAD_BALANCER_PER_HOUR * HOURS_PER_MONTH + addresses * ADDRESS_PER_MONTH


def _endpoint(facts: Facts) -> float:
    if facts.get("VpcEndpointType") != "Interface":
        return 0.0
    zones = len(facts.get("SubnetIds", ()))
    return zones * prices.INTERFACE_ENDPOINT_PER_HOUR_AND_ZONE * HOURS_PER_MONTH


def _file_system(facts: Facts) -> float:
    size = facts.get("SizeInBytes") or {}
    infrequent = size.get("ValueInIA") or 0
    standard = size.get("ValueInStandard")
    standard = size.get("Value", 0) - infrequent if standard is None else standard
    provisioned = facts.get("ProvisionedThroughputInMibps") or 0
    return (
        standard / _GB * prices.EFS_STANDARD_PER_GB_MONTH
        + infrequent / _GB * prices.EFS_INFREQUENT_PER_GB_MONTH
        + provisioned * prices.EFS_PROVISIONED_PER_MIBPS_HOUR * HOURS_PER_MONTH
    )


def _bucket(found: Found, clients: Clients, now: datetime) -> float | None:
    """S3 tells a bucket's size once a day, to CloudWatch; None for a bucket of today."""
    points = clients("cloudwatch").get_metric_statistics(
        Namespace="AWS/S3",
        MetricName="BucketSizeBytes",
        Dimensions=[{"Name": "BucketName", "Value": found.id}, {"Name": "StorageType", "Value": "StandardStorage"}],
        StartTime=now - timedelta(days=3),
        EndTime=now,
        Period=24 * 3600,
        Statistics=["Average"],
    )["Datapoints"]
    if not points:
        return None
    newest = max(points, key=lambda point: point["Timestamp"])
    return newest["Average"] / _GB * prices.S3_STANDARD_PER_GB_MONTH


_BY_TYPE: Mapping[str, Callable[[Facts], float | None]] = {
    types.VOLUME: _volume,
    types.SNAPSHOT: lambda facts: facts.get("VolumeSize", 0) * prices.SNAPSHOT_PER_GIB_MONTH,
    types.INSTANCE: _instance,
    types.NETWORK_INTERFACE: _interface,
    types.ADDRESS: lambda _facts: ADDRESS_PER_MONTH,
    types.NAT_GATEWAY: lambda _facts: prices.NAT_GATEWAY_PER_HOUR * HOURS_PER_MONTH,
    types.LOAD_BALANCER: _load_balancer,
    types.ENDPOINT: _endpoint,
    types.FILE_SYSTEM: _file_system,
    types.HEALTH_CHECK: lambda _facts: prices.HEALTH_CHECK_PER_MONTH,
    types.CLUSTER: lambda _facts: prices.EKS_CLUSTER_PER_HOUR * HOURS_PER_MONTH,
    types.KEY: lambda _facts: prices.CUSTOMER_KEY_PER_MONTH,
    types.WEB_ACL: lambda _facts: prices.WEB_ACL_PER_HOUR * HOURS_PER_MONTH,
    types.SECRET: lambda _facts: prices.SECRET_PER_MONTH,
    types.LOG_GROUP: lambda facts: facts.get("storedBytes", 0) / _GB * prices.LOGS_STORED_PER_GB_MONTH,
}
"""Types with a row that cost something. An image costs what its snapshots do, and those are listed."""
