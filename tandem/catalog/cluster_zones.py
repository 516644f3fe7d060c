"""Zones in which AWS makes no EKS control plane, by their ids: a zone's name differs between accounts."""

from __future__ import annotations

NO_CLUSTERS = ("cac1-az3", "use1-az3", "usw1-az2")
"""https://docs.aws.amazon.com/eks/latest/userguide/network-reqs.html ("Subnet requirements for clusters"); nodes may be
there, in subnets that the control plane is not given, which the program does not do."""
