"""EKS's add-ons."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml
from moto.core.responses import ActionResult
from moto.eks.exceptions import InvalidParameterException, ResourceInUseException
from moto.eks.models import Cluster
from moto.eks.responses import EKSResponse

from pulumi_rehearsal.eks.part import Part, addons, associations, born, cluster_of, found_in, given_to, only, update
from pulumi_rehearsal.eks.pod_identities import associate

ADDON_NAMESPACE = "kube-system"
VERSION = re.compile(r"v(\d+\.\d+)\.\d+-eksbuild\.\d+")
UNSUPPORTED = "Addon version specified is not supported"
"""https://github.com/hashicorp/terraform-provider-aws/issues/33385; of kube-proxy, whose versions are Kubernetes':
https://github.com/awslabs/cdk-eks-blueprints/pull/1101. Of the others no list of versions is here."""
NOT_JSON = "ConfigurationValue provided in request is not supported: it is neither JSON nor YAML of an object"
"""That it is refused: https://docs.aws.amazon.com/eks/latest/APIReference/API_CreateAddon.html; the words are not
AWS's."""


def _addon(request: EKSResponse) -> Part:
    return found_in(addons(cluster_of(request)), given_to(request)["addonName"], "Addon not found")


def _check_addon(cluster: Cluster, given: Mapping[str, Any]) -> None:
    if version := given.get("addonVersion"):
        fits = VERSION.fullmatch(version)
        if not fits or (given["addonName"] == "kube-proxy" and fits[1] != cluster.version):
            raise InvalidParameterException(message=UNSUPPORTED, addonName=given["addonName"])
    try:
        values = yaml.safe_load(given.get("configurationValues") or "{}")
    except yaml.YAMLError:
        values = None
    if not isinstance(values, dict):
        raise InvalidParameterException(message=NOT_JSON, addonName=given["addonName"])


def _lend(request: EKSResponse, addon: Part) -> None:
    """Replaces the associations that an add-on owns with those that the request names."""
    cluster, given = cluster_of(request), given_to(request)
    wanted = given.get("podIdentityAssociations")
    if wanted is None:
        return
    _take_back(cluster, addon)
    for one in wanted:
        made = associate(request, {**one, "namespace": ADDON_NAMESPACE})
        made["ownerArn"] = addon["addonArn"]
        addon["podIdentityAssociations"].append(made["associationArn"])


def _take_back(cluster: Cluster, addon: Part) -> None:
    for id, one in [*associations(cluster).items()]:
        if one.get("ownerArn") == addon["addonArn"]:
            del associations(cluster)[id]
    addon["podIdentityAssociations"] = []


def create_addon(self: EKSResponse) -> ActionResult:
    cluster, given = cluster_of(self), given_to(self)
    name = given["addonName"]
    if name in addons(cluster):
        raise ResourceInUseException(message="Addon already exists.", clusterName=cluster.name, addonName=name)
    _check_addon(cluster, given)
    default = f"v{cluster.version if name == 'kube-proxy' else '1.0'}.0-eksbuild.1"
    addon = {
        **only(given, "addonName", "serviceAccountRoleArn", "configurationValues"),
        **born(cluster, "addon", f"{name}/{uuid.uuid4()}", given),
        "addonVersion": given.get("addonVersion") or default,
        "status": "ACTIVE",
        "health": {"issues": []},
        "podIdentityAssociations": [],
    }
    _lend(self, addon)
    addons(cluster)[name] = addon
    return ActionResult({"addon": addon})


def describe_addon(self: EKSResponse) -> ActionResult:
    return ActionResult({"addon": _addon(self)})


def list_addons(self: EKSResponse) -> ActionResult:
    return ActionResult({"addons": sorted(addons(cluster_of(self)))})


def update_addon(self: EKSResponse) -> ActionResult:
    addon, given = _addon(self), given_to(self)
    _check_addon(cluster_of(self), given)
    _lend(self, addon)
    addon |= only(given, "addonVersion", "serviceAccountRoleArn", "configurationValues")
    addon["modifiedAt"] = datetime.now(UTC)
    return ActionResult({"update": update("AddonUpdate")})


def delete_addon(self: EKSResponse) -> ActionResult:
    """With `preserve` its software stays in the cluster, of which nothing is here."""
    addon, cluster = _addon(self), cluster_of(self)
    _take_back(cluster, addon)
    return ActionResult({"addon": {**addons(cluster).pop(addon["addonName"]), "status": "DELETING"}})
