"""EKS's pod identity associations."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.eks.exceptions import InvalidParameterException, InvalidRequestException, ResourceInUseException
from moto.eks.responses import EKSResponse

from pulumi_rehearsal.eks.part import Part, associations, born, cluster_of, found_in, given_to, iam_of, only

NO_ROLE = "Role provided in the request does not exist."
"""https://github.com/hashicorp/terraform-provider-aws/pull/34717"""
NO_TRUST = "Trust policy of the role provided is invalid."
"""https://github.com/hashicorp/terraform-provider-aws/issues/41483"""
OWNED = "The association {} is owned by an add-on, and is changed with it"
"""https://docs.aws.amazon.com/eks/latest/userguide/add-ons-iam.html; the words are not AWS's."""


def _association(request: EKSResponse) -> Part:
    id = given_to(request)["associationId"]
    return found_in(associations(cluster_of(request)), id, f"Association not found: {id}")


def _check_role(request: EKSResponse, arn: str) -> None:
    role = next((role for role in iam_of(request).roles.values() if role.arn == arn), None)
    if role is None:
        raise InvalidParameterException(message=NO_ROLE)
    statements = json.loads(role.assume_role_policy_document)["Statement"]
    trusted = [one.get("Principal", {}).get("Service", []) for one in statements if one["Effect"] == "Allow"]
    if not any("pods.eks.amazonaws.com" in ([one] if isinstance(one, str) else one) for one in trusted):
        raise InvalidParameterException(message=NO_TRUST)


def associate(request: EKSResponse, given: Mapping[str, Any]) -> Part:
    cluster = cluster_of(request)
    place = given["namespace"], given["serviceAccount"]
    for id, one in associations(cluster).items():
        if (one["namespace"], one["serviceAccount"]) == place:
            raise ResourceInUseException(message=f"Association already exists: {id}", clusterName=cluster.name)
    _check_role(request, given["roleArn"])
    id = "a-" + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(17))
    associations(cluster)[id] = made = {
        **only(given, "namespace", "serviceAccount", "roleArn", "targetRoleArn", "policy"),
        "disableSessionTags": bool(given.get("disableSessionTags")),
        "associationId": id,
        **born(cluster, "podidentityassociation", id, given),
    }
    return made


def create_pod_identity_association(self: EKSResponse) -> ActionResult:
    return ActionResult({"association": associate(self, given_to(self))})


def describe_pod_identity_association(self: EKSResponse) -> ActionResult:
    return ActionResult({"association": _association(self)})


def list_pod_identity_associations(self: EKSResponse) -> ActionResult:
    wanted = only(given_to(self), "namespace", "serviceAccount")
    shown = ("clusterName", "namespace", "serviceAccount", "associationArn", "associationId", "ownerArn")
    found = [one for one in associations(cluster_of(self)).values() if wanted.items() <= one.items()]
    return ActionResult({"associations": [only(one, *shown) for one in found]})


def _own(association: Part) -> Part:
    """One that no add-on owns."""
    if "ownerArn" in association:
        raise InvalidRequestException(message=OWNED.format(association["associationId"]))
    return association


def update_pod_identity_association(self: EKSResponse) -> ActionResult:
    association, given = _own(_association(self)), given_to(self)
    if role := given.get("roleArn"):
        _check_role(self, role)
    association |= only(given, "roleArn", "targetRoleArn", "disableSessionTags", "policy")
    association["modifiedAt"] = datetime.now(UTC)
    return ActionResult({"association": association})


def delete_pod_identity_association(self: EKSResponse) -> ActionResult:
    association = _own(_association(self))
    return ActionResult({"association": associations(cluster_of(self)).pop(association["associationId"])})
