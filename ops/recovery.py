"""After a `pulumi up` that was killed: what it created and could not write down is removed, or taken into the state.

The engine writes down that it is about to create a resource, then creates it, then writes down that it did. Killed in
between, it leaves a resource in the account that the state does not know, and the next `up` makes it a second time or
fails on its name. The state's own list of pending operations says what was under way, not what came of it: that only
the account knows.
"""

from __future__ import annotations

import re
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

RANDOM_ID, IDENTITY = "random:index/randomId:RandomId", "tandem:index:StackIdentity$"
"""What keeps the id of a stack's life in its state."""

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

    @property
    def unsure(self) -> list[str]:
        """URNs of what the state then holds, and AWS or the cluster may not: a refresh finds out and drops it."""
        return [adoption.urn for adoption in self.adopt] + [urn for urn, kind in self.pending if kind == "deleting"]


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


def under_way(deployment: Deployment) -> set[str]:
    """Types of what was being created: of these not even a second-old one may be missed."""
    operations = deployment["deployment"].get("pending_operations") or []
    return {operation["resource"]["type"] for operation in operations if operation["type"] == "creating"}


def decide(deployment: Deployment, inventory: Inventory, pod_identities: Mapping[str, str] | None = None) -> Plan:
    """Compares the account with the state.

    What the state does not know is removed only if it carries the state's own id, and if one of its type was being
    created as it is described. What holds data is taken into the state instead. All else stays, with the reason: of
    another life, of a former `up`, or more than was under way.

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
    own = stack_id(deployment)
    recorded = {state_key(resource) for resource in resources}
    unknown = [resource for resource in inventory.resources if resource.key not in recorded]
    keep = [kept for resource in unknown if (kept := _kept(resource, own))]
    mine = [resource for resource in unknown if _may_be_taken(resource, own)]
    # A name that the state has already is being replaced: the resource that it has holds the data.
    names = {resource["urn"] for resource in resources}
    remove, adopt = [], []
    for type_ in dict.fromkeys(resource.type for resource in mine):
        made = [one for one in operations if _creates(one, type_)]
        of_type = [resource for resource in mine if resource.type == type_]
        found = [resource for resource in of_type if any(_describes(one["resource"], resource) for one in made)]
        keep += [Kept(resource, NOT_UNDER_WAY) for resource in of_type if resource not in found]
        new = [one for one in made if one["resource"]["urn"] not in names]
        if KINDS[type_].holds_data and len(new) == 1 and found:
            newest = max(found, key=lambda resource: resource.created.timestamp() if resource.created else 0)
            adopt.append(Adoption(newest, new[0]))
            keep += [Kept(one, "it may hold data, and the state has no place for it") for one in found if one != newest]
        elif KINDS[type_].holds_data:
            keep += [Kept(one, "it may hold data, and the state has no place for it") for one in found]
        elif len(found) > len(made):
            keep += [Kept(one, f"{len(found)} look like the {len(made)} under way: nobody can tell") for one in found]
        else:
            remove += found
    adopt += [
        Adoption(resource, operation, "in the cluster, if it was created: the refresh finds out")
        for operation in operations
        if operation["resource"]["urn"] not in names and (resource := _in_cluster(operation, pod_identities or {}))
    ]
    pending = [(operation["resource"]["urn"], operation["type"]) for operation in operations]
    return Plan(remove, adopt, keep, pending)


NOT_UNDER_WAY = "it carries this state's id and was not under way; remove it by hand if nobody needs it"


def stack_id(deployment: Deployment) -> str | None:
    """The id of the life that a state tells of; None for an empty state, or one from before stacks had ids."""
    for resource in deployment["deployment"].get("resources") or []:
        if resource["type"] == RANDOM_ID and IDENTITY in resource["urn"]:
            return resource["outputs"]["hex"]
    return None


def _may_be_taken(resource: Found, own: str | None) -> bool:
    kind = KINDS.get(resource.type)
    # What the program does not declare is made by AWS for something that the state does know, or by another command.
    return own is not None and resource.stack_id == own and kind is not None and kind.program


def _kept(resource: Found, own: str | None) -> Kept | None:
    """What no recovery touches; None for what may have been under way, and for what belongs to what the state has."""
    if not resource.stack_id:
        return Kept(resource, "it carries no id: of a stack from before, or of somebody else")
    if resource.stack_id != own:
        return Kept(resource, f"it belongs to another life of the stack ({resource.stack_id})")
    if resource.type not in KINDS:
        return Kept(resource, "tandem does not know this type; remove it by hand if nobody needs it")
    return None


def _describes(resource: Mapping[str, Any], found: Found) -> bool:
    """Whether an operation could have made it: of the name that it was to have, where it has one."""
    inputs = resource.get("inputs") or {}
    named = inputs.get("name") or inputs.get("bucket") or (inputs.get("tags") or {}).get("Name")
    texts = (text for text in found.facts.values() if isinstance(text, str))
    # A topic's id is its ARN, a queue's its URL; either ends in the name.
    known = {found.id, re.split("[:/]", found.id)[-1], found.name, found.tags.get("Name"), *texts}
    return not isinstance(named, str) or named in known


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
