"""What add-ons, access entries and pod identity associations of a cluster have in common."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.eks.exceptions import ResourceNotFoundException
from moto.eks.models import Cluster
from moto.eks.responses import EKSResponse
from moto.iam.models import IAMBackend, iam_backends

Part = dict[str, Any]
"""In the form of EKS's answers."""
ARNS = {"addon": "addonArn", "access-entry": "accessEntryArn", "podidentityassociation": "associationArn"}
"""How ARNs name each kind, and where an answer has its ARN."""


def given_to(request: EKSResponse) -> Mapping[str, Any]:
    """The parameters by the names of AWS's model; moto's EKS has them by those of the wire."""
    request.parse_parameters(request.normalized_request)
    return request.params


def cluster_of(request: EKSResponse) -> Cluster:
    given = given_to(request)
    return request.eks_backend.describe_cluster(given.get("clusterName") or given["name"])


def parts_of(cluster: Cluster, kind: str) -> dict[str, Part]:
    """Of one kind, by what they are told apart by."""
    return vars(cluster).setdefault("parts", {}).setdefault(kind, {})


def addons(cluster: Cluster) -> dict[str, Part]:
    """By name."""
    return parts_of(cluster, "addon")


def entries(cluster: Cluster) -> dict[str, Part]:
    """By principal."""
    return parts_of(cluster, "access-entry")


def associations(cluster: Cluster) -> dict[str, Part]:
    """By id."""
    return parts_of(cluster, "podidentityassociation")


def only(given: Mapping[str, Any], *names: str) -> Part:
    return {name: given[name] for name in names if given.get(name) is not None}


def born(cluster: Cluster, kind: str, name: str, given: Mapping[str, Any]) -> Part:
    """What each part has: an ARN, tags, times."""
    arn, now = f"{cluster.arn.replace(':cluster/', f':{kind}/')}/{name}", datetime.now(UTC)
    tags = dict(given.get("tags") or {})
    return {"clusterName": cluster.name, ARNS[kind]: arn, "tags": tags, "createdAt": now, "modifiedAt": now}


def found_in(parts: Mapping[str, Part], name: str, words: str) -> Part:
    if name not in parts:
        raise ResourceNotFoundException(message=words)
    return parts[name]


def iam_of(request: EKSResponse) -> IAMBackend:
    return iam_backends[request.current_account][request.partition]


def update(kind: str) -> Part:
    """One that is done."""
    shared = {"status": "Successful", "params": [], "errors": [], "createdAt": datetime.now(UTC)}
    return {"id": str(uuid.uuid4()), "type": kind, **shared}
