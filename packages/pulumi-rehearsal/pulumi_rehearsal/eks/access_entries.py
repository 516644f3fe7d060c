"""EKS's access entries and the access policies of each."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.eks.exceptions import (
    InvalidParameterException,
    InvalidRequestException,
    ResourceInUseException,
)
from moto.eks.models import Cluster
from moto.eks.responses import EKSResponse

from pulumi_rehearsal.eks.part import Part, born, cluster_of, entries, found_in, given_to, iam_of, only

PRINCIPAL = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):(role|user)/(?:.+/)?([^/]+)")
NO_PRINCIPAL = "The specified principalArn is invalid: invalid principal."
"""https://github.com/terraform-aws-modules/terraform-aws-eks/issues/2969"""
ENTRY_TAKEN = "The specified access entry resource is already in use on this cluster."
"""https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3293"""
NO_ENTRY = (
    "The specified principalArn could not be found. You can view your available access entries with "
    "'list-access-entries'."
)
"""https://github.com/terraform-aws-modules/terraform-aws-eks/issues/3024"""
NO_API = "The cluster's authentication mode must be set to one of [API, API_AND_CONFIG_MAP] to perform this operation."
"""https://docs.aws.amazon.com/eks/latest/userguide/setting-up-access-entries.html"""
RESERVED_GROUP = "The kubernetes group name {} is invalid, it cannot start with system:"
"""https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html; the words are not AWS's."""
NOT_FOR_NODES = "A user name, groups and access policies are for access entries of type STANDARD only"
"""The same source; the words are not AWS's."""


def _entry(request: EKSResponse) -> Part:
    return found_in(entries(cluster_of(request)), given_to(request)["principalArn"], NO_ENTRY)


def _check_principal(request: EKSResponse, arn: str) -> None:
    """EKS looks for it in IAM; of another account nothing is known here."""
    named = PRINCIPAL.fullmatch(arn)
    if named and named[1] != request.current_account:
        return
    there = {"role": iam_of(request).roles, "user": iam_of(request).users}[named[2]].values() if named else ()
    if not any(one.arn == arn for one in there):
        raise InvalidParameterException(message=NO_PRINCIPAL)


def _check_names(kind: str, given: Mapping[str, Any]) -> None:
    groups = given.get("kubernetesGroups") or []
    if kind != "STANDARD" and (groups or given.get("username")):
        raise InvalidRequestException(message=NOT_FOR_NODES)
    for group in groups:
        if group.startswith("system:"):
            raise InvalidParameterException(message=RESERVED_GROUP.format(group))


def has_entries(cluster: Cluster) -> bool:
    """By its authentication mode."""
    return "API" in vars(cluster).get("mode", "CONFIG_MAP").split("_AND_")


def enter(cluster: Cluster, principal: str, kind: str, given: Mapping[str, Any]) -> Part:
    _, _, _, _, account, name = principal.split(":")
    what, _, short = name.partition("/")
    session = f"arn:aws:sts::{account}:assumed-role/{short.rpartition('/')[2]}/{{{{SessionName}}}}"
    entries(cluster)[principal] = entry = {
        "principalArn": principal,
        "kubernetesGroups": list(given.get("kubernetesGroups") or []),
        "username": given.get("username") or (session if what == "role" else principal),
        "type": kind,
        **born(cluster, "access-entry", f"{what}/{account}/{short}/{uuid.uuid4()}", given),
    }
    vars(cluster).setdefault("policies", {})[principal] = {}
    return entry


def create_access_entry(self: EKSResponse) -> ActionResult:
    cluster, given = cluster_of(self), given_to(self)
    kind, principal = given.get("type") or "STANDARD", given["principalArn"]
    if not has_entries(cluster):
        raise InvalidRequestException(message=NO_API, clusterName=cluster.name)
    if principal in entries(cluster):
        raise ResourceInUseException(message=ENTRY_TAKEN, clusterName=cluster.name)
    _check_principal(self, principal)
    _check_names(kind, given)
    return ActionResult({"accessEntry": enter(cluster, principal, kind, given)})


def describe_access_entry(self: EKSResponse) -> ActionResult:
    return ActionResult({"accessEntry": _entry(self)})


def list_access_entries(self: EKSResponse) -> ActionResult:
    return ActionResult({"accessEntries": sorted(entries(cluster_of(self)))})


def update_access_entry(self: EKSResponse) -> ActionResult:
    entry, given = _entry(self), given_to(self)
    _check_names(entry["type"], given)
    entry |= {**only(given, "kubernetesGroups", "username"), "modifiedAt": datetime.now(UTC)}
    return ActionResult({"accessEntry": entry})


def delete_access_entry(self: EKSResponse) -> ActionResult:
    del entries(cluster_of(self))[_entry(self)["principalArn"]]
    return EmptyResult()


def _policies(request: EKSResponse) -> dict[str, Part]:
    """Access policies of an entry, by ARN."""
    return vars(cluster_of(request))["policies"][_entry(request)["principalArn"]]


def associate_access_policy(self: EKSResponse) -> ActionResult:
    given, now = given_to(self), datetime.now(UTC)
    if _entry(self)["type"] != "STANDARD":
        raise InvalidRequestException(message=NOT_FOR_NODES)
    policy = {**only(given, "policyArn", "accessScope"), "associatedAt": now, "modifiedAt": now}
    _policies(self)[given["policyArn"]] = policy
    return ActionResult({**only(given, "clusterName", "principalArn"), "associatedAccessPolicy": policy})


def disassociate_access_policy(self: EKSResponse) -> ActionResult:
    arn = given_to(self)["policyArn"]
    found_in(_policies(self), arn, "The specified policyArn is not associated with this access entry.")
    del _policies(self)[arn]
    return EmptyResult()


def list_associated_access_policies(self: EKSResponse) -> ActionResult:
    found = {**only(given_to(self), "clusterName", "principalArn")}
    return ActionResult({**found, "associatedAccessPolicies": [*_policies(self).values()]})
