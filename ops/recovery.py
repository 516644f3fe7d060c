"""After a `pulumi up` that was killed: what it created and could not write down is removed, or taken into the state.

The engine writes down that it is about to create a resource, then creates it, then writes down that it did. Killed in
between, it leaves a resource in the account that the state does not know, and the next `up` makes it a second time or
fails on its name. The state's own list of pending operations says what was under way, not what came of it: that only
the account knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra.errors import UserError
from ops.aws import AwsError, is_gone
from ops.inventory import Inventory
from ops.kinds import KINDS, state_key
from ops.kinds.kind import Clients, Found
from ops.pulumi import Deployment

IDS_BY_INPUTS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "aws:eks/accessEntry:AccessEntry": lambda inputs: f"{inputs['clusterName']}:{inputs['principalArn']}",
    "aws:eks/addon:Addon": lambda inputs: f"{inputs['clusterName']}:{inputs['addonName']}",
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": lambda inputs: "#".join(
        (inputs["clusterName"], inputs["principalArn"], inputs["policyArn"])
    ),
}
"""Resources inside a cluster, which no listing of the account shows, and whose id follows from what they were to be."""

POD_IDENTITY = "aws:eks/podIdentityAssociation:PodIdentityAssociation"
"""The same, but AWS chooses its id; and it refuses a second one for the same service account."""

KUBERNETES = "kubernetes:"


@dataclass(frozen=True)
class Adoption:
    """A resource that goes into the state as the outcome of the operation that was under way.

    Attributes:
        reason: for people. Whether a resource inside a cluster exists, the refresh that follows finds out: it drops
            from the state what is not there.
    """

    resource: Found
    operation: Mapping[str, Any]
    reason: str = "created and not recorded; it holds data"

    @property
    def urn(self) -> str:
        return self.operation["resource"]["urn"]


@dataclass(frozen=True)
class Kept:
    """A resource that the state does not know and that is left alone, and why."""

    resource: Found
    reason: str


@dataclass(frozen=True)
class Plan:
    """What a recovery does.

    Attributes:
        remove: what the next `up` makes anew.
        adopt: what holds data, and what may be in a cluster.
        keep: what is not touched.
        pending: URN and kind of each operation that was under way; they are cleared from the state.
    """

    remove: Sequence[Found] = ()
    adopt: Sequence[Adoption] = ()
    keep: Sequence[Kept] = ()
    pending: Sequence[tuple[str, str]] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.remove or self.adopt or self.pending)


def pod_identities(deployment: Deployment, clients: Clients) -> dict[str, str]:
    """URN to the id of each pod identity that was under way and is there.

    Raises:
        botocore's errors.
    """
    found = {}
    for operation in deployment["deployment"].get("pending_operations") or []:
        resource = operation["resource"]
        if not _creates(operation, POD_IDENTITY):
            continue
        names = {key: resource["inputs"][key] for key in ("clusterName", "namespace", "serviceAccount")}
        try:
            associations = clients("eks").list_pod_identity_associations(**names)["associations"]
        except AwsError as error:
            if is_gone(error):  # the cluster, and all of them with it
                continue
            raise
        if associations:
            found[resource["urn"]] = associations[0]["associationId"]
    return found


def decide(deployment: Deployment, inventory: Inventory, pod_identities: Mapping[str, str] | None = None) -> Plan:
    """Compares the account with the state.

    Of the types that the program declares, what the state does not know is removed. What holds data is taken into the
    state instead when the operation that creates it was under way; without one it is older than this `up`, such as the
    model cache that a destroyed stack left on purpose, and stays.

    Args:
        pod_identities: those that were under way and are there.

    Raises:
        UserError: the inventory is not complete, so that nothing can be said to be unknown.
    """
    if inventory.unreadable:
        raise UserError(*inventory.unreadable)
    state = deployment["deployment"]
    operations = state.get("pending_operations") or []
    resources = state.get("resources") or []
    recorded = {state_key(resource) for resource in resources}
    names = {resource["urn"] for resource in resources}
    unknown = [resource for resource in inventory.resources if resource.key not in recorded]
    remove, keep = [], []
    data: dict[str, list[Found]] = {}
    for resource in unknown:
        kind = KINDS.get(resource.type)
        if kind is None:
            keep.append(Kept(resource, "tandem does not know this type; remove it by hand if nobody needs it"))
        elif not kind.program:
            continue  # made by AWS for something that the state does know, or by another command
        elif kind.holds_data:
            data.setdefault(resource.type, []).append(resource)
        else:
            remove.append(resource)
    adopt = []
    for type_, found in data.items():
        # A name that the state has already is being replaced: the resource that it has holds the data.
        creating = [one for one in operations if _creates(one, type_) and one["resource"]["urn"] not in names]
        by_age = sorted(found, key=lambda resource: resource.created.timestamp() if resource.created else 0)
        if len(creating) == 1:
            adopt.append(Adoption(by_age.pop(), creating[0]))
        keep += [Kept(resource, "it may hold data, and the state has no place for it") for resource in by_age]
    adopt += [
        Adoption(resource, operation, "in the cluster, if it was created: the refresh finds out")
        for operation in operations
        if operation["resource"]["urn"] not in names and (resource := _in_cluster(operation, pod_identities or {}))
    ]
    pending = [(operation["resource"]["urn"], operation["type"]) for operation in operations]
    return Plan(remove, adopt, keep, pending)


def _in_cluster(operation: Mapping[str, Any], pod_identities: Mapping[str, str]) -> Found | None:
    """What an operation was to create inside a cluster."""
    resource = operation["resource"]
    type_, inputs = resource["type"], resource.get("inputs") or {}
    if operation["type"] != "creating":
        return None
    if identify := IDS_BY_INPUTS.get(type_):
        return Found(type=type_, id=identify(inputs))
    if association := pod_identities.get(resource["urn"]):
        return Found(type=type_, id=association, facts={**inputs, "associationId": association})
    if not type_.startswith(KUBERNETES):
        return None
    head = inputs.get("metadata") or inputs  # a Helm release has its name and namespace at the top
    return Found(type=type_, id="/".join(filter(None, (head.get("namespace"), head["name"]))))


def _record(adoption: Adoption) -> dict[str, Any]:
    """The resource in the state. Outputs only where a refresh looks for the resource by them, and not by its id."""
    resource = {**adoption.operation["resource"], "id": adoption.resource.id}
    return resource | {"outputs": dict(adoption.resource.facts)} if resource["type"] == POD_IDENTITY else resource


def _creates(operation: Mapping[str, Any], type_: str) -> bool:
    return operation["type"] == "creating" and operation["resource"]["type"] == type_


def amended(deployment: Deployment, adopt: Sequence[Adoption]) -> Deployment:
    """The deployment with nothing pending, and with each adopted resource as its operation would have recorded it."""
    state = dict(deployment["deployment"])
    state.pop("pending_operations", None)
    state["resources"] = [
        *(state.get("resources") or []),
        *map(_record, adopt),
    ]
    return {**deployment, "deployment": state}
