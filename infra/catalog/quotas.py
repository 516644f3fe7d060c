"""Service quotas that a stack runs into. GPU hosts are counted in vCPUs; on demand and spot are apart.

Source: the Service Quotas console, "Running On-Demand ... instances" and "All ... Spot Instance Requests".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Purchase = Literal["on demand", "spot"]


@dataclass(frozen=True, kw_only=True)
class Quota:
    """One quota of an account in a region.

    Attributes:
        service: Service Quotas' name of the service.
        code: what AWS calls it; the same in every account and region.
    """

    service: str
    code: str
    name: str


VCPUS: dict[tuple[str, Purchase], Quota] = {
    ("G and VT", "on demand"): Quota(
        service="ec2", code="L-DB2E81BA", name="Running On-Demand G and VT instances (vCPUs)"
    ),
    ("G and VT", "spot"): Quota(service="ec2", code="L-3819A6DF", name="All G and VT Spot Instance Requests (vCPUs)"),
    ("P", "on demand"): Quota(service="ec2", code="L-417A185B", name="Running On-Demand P instances (vCPUs)"),
    ("P", "spot"): Quota(service="ec2", code="L-7212CCBC", name="All P Spot Instance Requests (vCPUs)"),
}
VPCS = Quota(service="vpc", code="L-F678F1CE", name="VPCs per Region")
ELASTIC_IPS = Quota(service="ec2", code="L-0263D0A3", name="EC2-VPC Elastic IPs")


def family(instance_type: str) -> str | None:
    """The family by which quotas count a type (`g6e.12xlarge` is G and VT); None for types without GPUs."""
    letters = re.match(r"[a-z]+", instance_type)
    return {"g": "G and VT", "gr": "G and VT", "vt": "G and VT", "p": "P"}.get(letters[0] if letters else "")
