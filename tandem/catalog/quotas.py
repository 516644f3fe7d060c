"""Service quotas that a stack runs into. GPU hosts are counted in vCPUs; on demand and spot are apart.

Source: "On-Demand Instance quotas" and "Spot Instance quotas" in the EC2 User Guide, read 2026-11-21. A new account can
have 0 of all of them.
"""

from __future__ import annotations

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


G_ON_DEMAND = Quota(service="ec2", code="L-DB2E81BA", name="Running On-Demand G and VT instances")
G_SPOT = Quota(service="ec2", code="L-3819A6DF", name="All G and VT Spot Instance Requests")
P_ON_DEMAND = Quota(service="ec2", code="L-417A185B", name="Running On-Demand P instances")
P_SPOT = Quota(service="ec2", code="L-7212CCBC", name="All P4, P3 and P2 Spot Instance Requests")
P5_SPOT = Quota(service="ec2", code="L-C4BD4855", name="All P5 Spot Instance Requests")
STANDARD_ON_DEMAND = Quota(
    service="ec2", code="L-1216C47A", name="Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances"
)
VPCS = Quota(service="vpc", code="L-F678F1CE", name="VPCs per Region")
ELASTIC_IPS = Quota(service="ec2", code="L-0263D0A3", name="EC2-VPC Elastic IPs")


def vcpu_quota(instance_type: str, purchase: Purchase) -> Quota | None:
    """The quota against which an instance's vCPUs count; None where that is neither a GPU's nor a controller's."""
    if instance_type.startswith(("g", "vt")):
        return G_ON_DEMAND if purchase == "on demand" else G_SPOT
    if instance_type.startswith("p"):
        spot = P5_SPOT if instance_type.startswith("p5") else P_SPOT
        return P_ON_DEMAND if purchase == "on demand" else spot
    if instance_type.startswith(tuple("acdhimrtz")) and purchase == "on demand":
        return STANDARD_ON_DEMAND
    return None
