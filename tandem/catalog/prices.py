"""List prices by region, in US dollars: of instance types, and of what a stack has beside them.

The figures are in prices.json, each region's with the day on which they were read and where; `tandem pin --prices`
reads them anew from AWS's price list. A bill also carries traffic and taxes, which nobody knows in advance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

HOME = "us-east-1"
"""The region whose prices are all known."""
HOURS_PER_MONTH = 730
PATH = Path(__file__).with_name("prices.json")
PINNED_BY = "`tandem pin --prices --region {region}` asks AWS"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the parts of a stack cost beside its instances.

    Attributes:
        load_balancer_hour: an Application Load Balancer before capacity units ($0.008 each in us-east-1).
        web_acl_month, web_acl_rule_month: a web ACL, and each of its rules.
        nat_gateway_gb: each GB through a NAT gateway, either way.
        interface_endpoint_hour: in each zone.
        ebs_*_gib_month: by volume type, without the IOPS and throughput that some types sell apart.
        ebs_iops_month: each IOPS of an io1 or io2 volume, up to 32,000.
        snapshot_gib_month: of the blocks that a snapshot holds, which AWS does not tell: its volume's size is the most.
        efs_read_gb, efs_write_gb: with Elastic throughput.
        logs_gb: each GB that CloudWatch Logs takes in: the hosts' logs and the flow logs.
        metric_month: each figure of one's own in CloudWatch, up to 10,000 of them.
        metric_request: each call that reports figures.
        composite_alarm_month: each alarm of alarms, beside these.
        dashboard_month: a dashboard of CloudWatch; the first three of an account are free.
        alarm_metric_month: each metric that an alarm looks at, by the minute or less often.
        fast_alarm_metric_month: likewise, every ten seconds.
        health_check_month: a Route 53 health check of an address in AWS ($0.50) over HTTPS ($1.00).
        prometheus_sample: each that Amazon Managed Prometheus takes, of the first two billion a month; what rules and
            panels then ask for is $0.10 for each billion (https://aws.amazon.com/prometheus/pricing/).
        grafana_editor_month: each who signs in to Amazon Managed Grafana and may change it; one who only looks is $5
            (https://aws.amazon.com/grafana/pricing/).
        fargate_vcpu_hour, fargate_gib_hour: of a task on Fargate, by processor and by GiB of memory.
        database_*_hour: PostgreSQL of RDS in one zone, of db.t4g.small, db.t4g.medium and db.m7g.large; one with a
            standby in another zone is two.
        database_gib_month: its gp3 storage, likewise. database_backup_gib_month: of snapshots.
        cache_hour: cache.t4g.micro with Valkey.
        eks_cluster_hour: in standard support of its Kubernetes version; clusters ask for no other.
    """

    load_balancer_hour: float
    public_ipv4_hour: float
    web_acl_month: float
    web_acl_rule_month: float
    nat_gateway_hour: float
    nat_gateway_gb: float
    interface_endpoint_hour: float
    ebs_gp3_gib_month: float
    ebs_gp2_gib_month: float
    ebs_io1_gib_month: float
    ebs_io2_gib_month: float
    ebs_st1_gib_month: float
    ebs_sc1_gib_month: float
    ebs_standard_gib_month: float
    ebs_iops_month: float
    snapshot_gib_month: float
    efs_gb_month: float
    efs_infrequent_gb_month: float
    efs_read_gb: float
    efs_write_gb: float
    efs_provisioned_mibps_month: float
    logs_gb: float
    logs_stored_gb_month: float
    s3_gb_month: float
    secret_month: float
    key_month: float
    metric_month: float
    metric_request: float
    alarm_metric_month: float
    fast_alarm_metric_month: float
    composite_alarm_month: float
    dashboard_month: float
    health_check_month: float
    prometheus_sample: float
    grafana_editor_month: float
    fargate_vcpu_hour: float
    fargate_gib_hour: float
    database_small_hour: float
    database_medium_hour: float
    database_large_hour: float
    database_gib_month: float
    database_backup_gib_month: float
    cache_hour: float
    eks_cluster_hour: float


@dataclass(frozen=True)
class Listed:
    """One region's prices of one kind, by name, as they were read."""

    read_on: date
    source: str
    usd: Mapping[str, float]


def load(path: Path = PATH) -> dict[str, dict[str, Listed]]:
    """Kind (`on_demand`, `reserved`, `parts`) to region to its prices."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return {
        kind: {
            region: Listed(date.fromisoformat(found["read_on"]), found["source"], found["usd"])
            for region, found in regions.items()
        }
        for kind, regions in document.items()
    }


_LISTED = load()
ON_DEMAND: Mapping[str, Listed] = _LISTED["on_demand"]
"""Region to US dollars an hour of an instance type: Linux, shared tenancy."""
RESERVED: Mapping[str, Listed] = _LISTED["reserved"]
"""The same, reserved for a year without upfront payment, standard class; newer types are not sold so."""
PARTS: Mapping[str, Listed] = _LISTED["parts"]

DEAREST = max(usd / ON_DEMAND[HOME].usd[name] for listed in ON_DEMAND.values() for name, usd in listed.usd.items())
"""The most that any region asks for a type, as a multiple of us-east-1's price."""


IN_BLOCKS = {"p5e.48xlarge": "p5en.48xlarge"}
"""Types that AWS sells in Capacity Blocks alone, at a price of the day, and that its price list lacks
(https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-capacity-blocks.html); each with the listed type of the same
GPUs, as which it is counted."""


def on_demand(instance_type: str, region: str) -> float:
    """US dollars an hour; where the region's price is not known, us-east-1's times the dearest surcharge known.

    Raises:
        KeyError: not even us-east-1's is known.
    """
    counted_as = IN_BLOCKS.get(instance_type, instance_type)
    listed = ON_DEMAND.get(region)
    known = listed.usd.get(counted_as) if listed else None
    return known if known is not None else ON_DEMAND[HOME].usd[counted_as] * DEAREST


@cache
def parts(region: str) -> Parts:
    """The region's prices; us-east-1's where they are not known."""
    listed = PARTS.get(region)
    return Parts(**{**PARTS[HOME].usd, **(listed.usd if listed else {})})


def source(region: str, instance_types: Iterable[str]) -> str:
    """Where the prices of a stack are from, and which of them are not its region's."""
    listed = ON_DEMAND.get(region)
    known = set(listed.usd) if listed else set()
    blocks = {name: IN_BLOCKS[name] for name in instance_types if name in IN_BLOCKS}
    unknown = [name for name in instance_types if blocks.get(name, name) not in known]
    found = [f"list prices of {region} of {listed.read_on}"] if listed else []
    found += [f"{name}, of which Capacity Blocks have prices of the day, as {other}" for name, other in blocks.items()]
    if unknown:
        found.append(
            f"{', '.join(unknown)} not known in {region} and counted at {DEAREST:.2f} times us-east-1's price, the "
            f"dearest known ({PINNED_BY.format(region=region)})"
        )
    found.append(_source_of_parts(region))
    return "; ".join(found)


def _source_of_parts(region: str) -> str:
    own, home = PARTS.get(region), PARTS[HOME]
    if own is None:
        return f"all else at us-east-1's prices of {home.read_on}"
    rest = [name for name in home.usd if name not in own.usd]
    whose = f", of us-east-1 {', '.join(rest)}" if rest else ""
    return f"all else of {own.read_on}{whose}"


SYSTEM_NODE_VCPUS = {"m6i.large": 2, "m7i.large": 2, "m7i.xlarge": 4}
"""Nodes of the cluster's controllers."""
