"""AWS's price list: what a region asks, from the query API (`pricing:GetProducts`), the same for every account.

Names of products and usage types are those of the list itself:
https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tandem.catalog import prices
from tandem.catalog.instances import INSTANCE_TYPES

Product = Mapping[str, Any]
SOURCE = "AWS's price list (pricing:GetProducts)"
_WORKERS = 8
_SHARED_LINUX = {"operatingSystem": "Linux", "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used"}
_A_YEAR_WITHOUT_UPFRONT = {
    "LeaseContractLength": "1yr",
    "OfferingClass": "standard",
    "PurchaseOption": "No Upfront",
}


def products(pricing: Any, service: str, region: str, attributes: Mapping[str, str]) -> Iterator[Product]:
    """What the list has of a service in a region.

    Args:
        pricing: client of us-east-1, one of the few regions that tell prices.

    Raises:
        botocore's errors.
    """
    wanted = {**attributes, "regionCode": region}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    pages = pricing.get_paginator("get_products").paginate(ServiceCode=service, Filters=filters)
    for text in pages.search("PriceList[]"):
        yield json.loads(text)


def usd(product: Product, kind: str = "OnDemand", term: Mapping[str, str] | None = None) -> list[float]:
    """Its prices in US dollars, without those that are 0, such as free tiers.

    Args:
        kind: `OnDemand` or `Reserved`.
        term: attributes that the terms of payment must have.
    """
    return [
        price
        for found in product["terms"].get(kind, {}).values()
        if (term or {}).items() <= found.get("termAttributes", {}).items()
        for dimension in found["priceDimensions"].values()
        if (price := float(dimension["pricePerUnit"].get("USD", 0)))
    ]


def _instances(pricing: Any, region: str, instance_type: str) -> list[Product]:
    """Not those that a Capacity Block sells, which are on the list as well."""
    found = products(pricing, "AmazonEC2", region, {**_SHARED_LINUX, "instanceType": instance_type})
    return [one for one in found if one["product"]["attributes"].get("marketoption", "OnDemand") == "OnDemand"]


def on_demand(pricing: Any, region: str, instance_type: str) -> float | None:
    """US dollars an hour: Linux, shared tenancy; None where the list has none.

    Raises:
        botocore's errors.
    """
    return min((price for one in _instances(pricing, region, instance_type) for price in usd(one)), default=None)


def reserved(pricing: Any, region: str, instance_type: str) -> float | None:
    """US dollars an hour of a standard reservation for a year, nothing paid upfront; None where the list has none.

    Raises:
        botocore's errors.
    """
    return _yearly(_instances(pricing, region, instance_type))


def _yearly(listed: list[Product]) -> float | None:
    return min((price for one in listed for price in usd(one, "Reserved", _A_YEAR_WITHOUT_UPFRONT)), default=None)


# -- the catalog -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A part of a stack as the list names it.

    Attributes:
        usage: its usage type, before which most regions put a prefix of their own (`EU-`).
    """

    service: str
    usage: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def is_it(self, product: Product) -> bool:
        found = product["product"]["attributes"].get("usagetype", "")
        return not self.usage or found == self.usage or found.endswith(f"-{self.usage}")


def _volume(name: str) -> Part:
    return Part("AmazonEC2", attributes={"productFamily": "Storage", "volumeApiName": name})


_POSTGRES = {"databaseEngine": "PostgreSQL", "deploymentOption": "Single-AZ"}


def _database(instance_class: str) -> Part:
    return Part("AmazonRDS", f"InstanceUsage:{instance_class}", _POSTGRES)


PARTS: Mapping[str, Part] = {
    "load_balancer_hour": Part("AWSELB", "LoadBalancerUsage", {"operation": "LoadBalancing:Application"}),
    "public_ipv4_hour": Part("AmazonVPC", "PublicIPv4:InUseAddress"),
    "web_acl_month": Part("awswaf", "WebACLV2"),
    "web_acl_rule_month": Part("awswaf", "RuleV2"),
    "nat_gateway_hour": Part("AmazonEC2", "NatGateway-Hours", {"operation": "NatGateway"}),
    "nat_gateway_gb": Part("AmazonEC2", "NatGateway-Bytes", {"operation": "NatGateway"}),
    "interface_endpoint_hour": Part("AmazonVPC", "VpcEndpoint-Hours"),
    "ebs_gp3_gib_month": _volume("gp3"),
    "ebs_gp2_gib_month": _volume("gp2"),
    "ebs_io1_gib_month": _volume("io1"),
    "ebs_io2_gib_month": _volume("io2"),
    "ebs_st1_gib_month": _volume("st1"),
    "ebs_sc1_gib_month": _volume("sc1"),
    "ebs_standard_gib_month": _volume("standard"),
    "ebs_iops_month": Part("AmazonEC2", "EBS:VolumeP-IOPS.piops"),
    "snapshot_gib_month": Part("AmazonEC2", "EBS:SnapshotUsage"),
    "efs_gb_month": Part("AmazonEFS", "TimedStorage-ByteHrs", {"storageClass": "General Purpose"}),
    "efs_infrequent_gb_month": Part("AmazonEFS", "IATimedStorage-ET-ByteHrs"),
    "efs_read_gb": Part("AmazonEFS", "ETDataAccess-Bytes", {"accessType": "Read"}),
    "efs_write_gb": Part("AmazonEFS", "ETDataAccess-Bytes", {"accessType": "Write"}),
    "efs_provisioned_mibps_month": Part("AmazonEFS", attributes={"throughputClass": "Provisioned"}),
    "logs_gb": Part("AmazonCloudWatch", "DataProcessing-Bytes", {"operation": "PutLogEvents"}),
    "logs_stored_gb_month": Part("AmazonCloudWatch", "TimedStorage-ByteHrs"),
    "s3_gb_month": Part("AmazonS3", "TimedStorage-ByteHrs", {"volumeType": "Standard"}),
    "secret_month": Part("AWSSecretsManager", "AWSSecretsManager-Secret"),
    "key_month": Part("awskms", "KMS-Keys"),
    "metric_month": Part("AmazonCloudWatch", "CW:MetricMonitorUsage"),
    "metric_request": Part("AmazonCloudWatch", "CW:Requests"),
    "alarm_metric_month": Part("AmazonCloudWatch", "CW:AlarmMonitorUsage"),
    "fast_alarm_metric_month": Part("AmazonCloudWatch", "CW:HighResAlarmMonitorUsage"),
    "composite_alarm_month": Part("AmazonCloudWatch", "CW:CompositeAlarmMonitorUsage"),
    "fargate_vcpu_hour": Part("AmazonECS", "Fargate-vCPU-Hours:perCPU"),
    "fargate_gib_hour": Part("AmazonECS", "Fargate-GB-Hours"),
    "database_small_hour": _database("db.t4g.small"),
    "database_medium_hour": _database("db.t4g.medium"),
    "database_large_hour": _database("db.m7g.large"),
    "database_gib_month": Part("AmazonRDS", "RDS:GP3-Storage", _POSTGRES),
    "database_backup_gib_month": Part("AmazonRDS", "RDS:ChargedBackupUsage", {"databaseEngine": "PostgreSQL"}),
    "cache_hour": Part("AmazonElastiCache", "NodeUsage:cache.t4g.micro", {"cacheEngine": "Valkey"}),
    "eks_cluster_hour": Part("AmazonEKS", "AmazonEKS-Hours:perCluster"),
}
"""Of `prices.Parts`; what is not here is no region's (health checks, dashboards, samples of metrics, Grafana)."""


def part_price(pricing: Any, region: str, part: Part) -> float | None:
    """US dollars for one unit, the dearest tier; None where the list has no such part.

    Raises:
        botocore's errors.
    """
    found = products(pricing, part.service, region, part.attributes)
    return max((price for one in found if part.is_it(one) for price in usd(one)), default=None)


Region = Mapping[str, Mapping[str, float]]
"""Kind of price (`on_demand`, `reserved`, `parts`) to name to US dollars."""


def region_prices(pricing: Any, region: str) -> Region:
    """All that the catalog holds of a region, as the list has it now.

    Raises:
        botocore's errors.
    """
    types = sorted({*INSTANCE_TYPES, *prices.SYSTEM_NODE_VCPUS})
    with ThreadPoolExecutor(_WORKERS) as pool:
        parts = pool.map(lambda part: part_price(pricing, region, part), PARTS.values())
        instances = list(pool.map(lambda name: _instances(pricing, region, name), types))
        found = {"parts": dict(zip(PARTS, parts, strict=True)), "on_demand": {}, "reserved": {}}
    for name, listed in zip(types, instances, strict=True):
        found["on_demand"][name] = min((price for one in listed for price in usd(one)), default=None)
        found["reserved"][name] = _yearly(listed)
    return {kind: {name: price for name, price in named.items() if price} for kind, named in found.items()}


@dataclass(frozen=True)
class Change:
    """One price of the catalog and of the list; None where it is not there."""

    region: str
    kind: str
    name: str
    old: float | None
    new: float | None


def changes(region: str, found: Region) -> list[Change]:
    """Where the catalog differs from the list."""
    listed = {"on_demand": prices.ON_DEMAND, "reserved": prices.RESERVED, "parts": prices.PARTS}
    different = []
    for kind, by_region in listed.items():
        old = by_region[region].usd if region in by_region else {}
        names = [*found[kind], *(name for name in old if name not in found[kind])]
        different += [
            Change(region, kind, name, old.get(name), found[kind].get(name))
            for name in names
            if old.get(name) != found[kind].get(name)
        ]
    return different


def write(path: Path, region: str, found: Region, today: date) -> None:
    """Puts a region's prices into the catalog's file; those of us-east-1 that the list does not tell stay."""
    document = json.loads(path.read_text(encoding="utf-8"))
    for kind, usd_by_name in found.items():
        kept = document[kind].get(region, {}).get("usd", {}) if region == prices.HOME else {}
        if usd_by_name:
            named = {**kept, **usd_by_name}
            document[kind][region] = {"read_on": today.isoformat(), "source": SOURCE, "usd": named}
        document[kind] = dict(sorted(document[kind].items()))
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)
