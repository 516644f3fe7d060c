"""Where clusters are reached: DescribeCluster tells of API servers that run here, which moto only makes up.

Stands for: the endpoint and the certificate authority of EKS clusters.
Held by: tests/aws/test_eks_parts.py::test_a_cluster_is_reached_where_the_account_is_told
"""

from __future__ import annotations

import json
from typing import Any

from moto.eks.models import Cluster

_told: dict[str, dict[str, str]] = {}


def tell(request: Any, _full_url: str, _headers: Any) -> tuple[int, dict[str, str], str]:
    """Takes `{"name", "endpoint", "data"}` of a cluster that is made later."""
    told = json.loads(request.data)
    _told[told.pop("name")] = told
    return 200, {}, "{}"


def lead(cluster: Cluster) -> None:
    """Leads a new cluster to the API server that its name was told."""
    if told := _told.get(cluster.name):
        cluster.endpoint, cluster.certificate_authority = told["endpoint"], {"data": told["data"]}
