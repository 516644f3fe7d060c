"""What a resource costs a month if nobody touches it: its region's list prices, from the description that AWS gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from tandem import type_tokens as types
from tandem.catalog import prices
from tandem.catalog.prices import HOURS_PER_MONTH, Parts
from tandem.costs import CACHE_NODE, COPY_GIB, COPY_VCPUS, database_hour
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Clients, Found, Scope

_GB = 1e9

Facts = Mapping[str, Any]


def usd_per_month(found: Found, clients: Clients, now: datetime) -> float | None:
    """US dollars a month at rest, without traffic and requests; None where nobody can say.

    Raises:
        botocore's errors: a bucket's size is a question of its own.
    """
    region = Scope(clients, None).region
    if found.type == types.BUCKET:
        return _bucket(found, clients, now)
    if found.type == types.INSTANCE:
        return _instance(found.facts, region)
    if found.type in _BY_TYPE:
        return _BY_TYPE[found.type](found.facts, prices.parts(region))
    return 0.0 if found.type in KINDS else None


def _volume(facts: Facts, part: Parts) -> float | None:
    per_gib = getattr(part, f"ebs_{facts.get('VolumeType')}_gib_month", None)
    if per_gib is None:
        return None
    iops = facts.get("Iops") or 0 if facts["VolumeType"] in ("io1", "io2") else 0
    return facts["Size"] * per_gib + iops * part.ebs_iops_month


def _instance(facts: Facts, region: str) -> float | None:
    if facts["State"]["Name"] in ("stopped", "stopping", "shutting-down"):
        return 0.0
    try:
        return prices.on_demand(facts["InstanceType"], region) * HOURS_PER_MONTH
    except KeyError:
        return None


def _address(_facts: Facts, part: Parts) -> float:
    return part.public_ipv4_hour * HOURS_PER_MONTH


def _interface(facts: Facts, part: Parts) -> float:
    """An elastic address is a resource of its own."""
    association = facts.get("Association") or {}
    return _address(facts, part) if association.get("PublicIp") and not association.get("AllocationId") else 0.0


def _load_balancer(facts: Facts, part: Parts) -> float:
    addresses = len(facts.get("AvailabilityZones", ())) if facts.get("Scheme") != "internal" else 0
    return part.load_balancer_hour * HOURS_PER_MONTH + addresses * _address(facts, part)


def _endpoint(facts: Facts, part: Parts) -> float:
    if facts.get("VpcEndpointType") != "Interface":
        return 0.0
    return len(facts.get("SubnetIds", ())) * part.interface_endpoint_hour * HOURS_PER_MONTH


def _file_system(facts: Facts, part: Parts) -> float:
    size = facts.get("SizeInBytes") or {}
    infrequent = size.get("ValueInIA") or 0
    standard = size.get("ValueInStandard")
    standard = size.get("Value", 0) - infrequent if standard is None else standard
    provisioned = facts.get("ProvisionedThroughputInMibps") or 0
    return (
        standard / _GB * part.efs_gb_month
        + infrequent / _GB * part.efs_infrequent_gb_month
        + provisioned * part.efs_provisioned_mibps_month
    )


def _database(facts: Facts, part: Parts) -> float | None:
    size = database_hour(facts["DBInstanceClass"], part)
    if size is None:
        return None
    databases = 1 + bool(facts.get("MultiAZ"))
    return databases * (size * HOURS_PER_MONTH + facts.get("AllocatedStorage", 0) * part.database_gib_month)


def _cache(facts: Facts, part: Parts) -> float | None:
    if facts.get("CacheNodeType") != CACHE_NODE:
        return None
    return len(facts.get("MemberClusters", ())) * part.cache_hour * HOURS_PER_MONTH


def _copies(facts: Facts, part: Parts) -> float:
    """As many as are wanted."""
    copy = COPY_VCPUS * part.fargate_vcpu_hour + COPY_GIB * part.fargate_gib_hour
    return facts.get("desiredCount", 0) * copy * HOURS_PER_MONTH


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
    return newest["Average"] / _GB * prices.parts(Scope(clients, None).region).s3_gb_month


_BY_TYPE: Mapping[str, Callable[[Facts, Parts], float | None]] = {
    types.VOLUME: _volume,
    types.SNAPSHOT: lambda facts, part: facts.get("VolumeSize", 0) * part.snapshot_gib_month,
    types.NETWORK_INTERFACE: _interface,
    types.ADDRESS: _address,
    types.NAT_GATEWAY: lambda _facts, part: part.nat_gateway_hour * HOURS_PER_MONTH,
    types.LOAD_BALANCER: _load_balancer,
    types.ENDPOINT: _endpoint,
    types.FILE_SYSTEM: _file_system,
    types.HEALTH_CHECK: lambda _facts, part: part.health_check_month,
    types.CLUSTER: lambda _facts, part: part.eks_cluster_hour * HOURS_PER_MONTH,
    types.KEY: lambda _facts, part: part.key_month,
    types.WEB_ACL: lambda _facts, part: part.web_acl_month + part.web_acl_rule_month,
    types.PROMETHEUS: lambda _facts, _part: None,  # $0.03 a GB, and AWS does not tell how many
    types.DATABASE: _database,
    types.DATABASE_SNAPSHOT: lambda facts, part: facts.get("AllocatedStorage", 0) * part.database_backup_gib_month,
    types.CACHE: _cache,
    types.SERVICE: _copies,
    types.SECRET: lambda _facts, part: part.secret_month,
    types.LOG_GROUP: lambda facts, part: facts.get("storedBytes", 0) / _GB * part.logs_stored_gb_month,
}
"""Types with a row that cost something. An image costs what its snapshots do, and those are listed."""
