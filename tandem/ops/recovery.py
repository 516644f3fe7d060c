"""After a `pulumi up` that was killed: what it created and could not write down is removed, or taken into the state.

The engine writes down that it is about to create a resource, then creates it, then writes down that it did. Killed in
between, it leaves a resource in the account that the state does not know, and the next `up` makes it a second time or
fails on its name. The state's own list of pending operations says what was under way, not what came of it: that only
the account knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from tandem import type_tokens as types
from tandem.errors import Problem, UserError
from tandem.kubernetes.names import OF_STACK
from tandem.ops.aws import unless_gone
from tandem.ops.helm_releases import Releases
from tandem.ops.inventory import Inventory
from tandem.ops.kinds import KINDS, state_key
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.pulumi import Deployment
from tandem.ops.whose import stack_id

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
KARPENTERS = "kubernetes:karpenter.k8s.aws/"
KARPENTERS_CLUSTER_TAG = "eks:eks-cluster-name"
"""On all that Karpenter makes: its role may make nothing without."""
ARNS = ("arn", "accessEntryArn", "associationArn")
"""Outputs of the program's resources that are their own ARN."""


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
        sweep: what AWS or the cluster left for this stack, which nothing uses and nobody makes anew.
        helm: releases of the cluster that are pending, and where they could not be looked at, why.
        pending: URN and kind of each operation that was under way; they are cleared from the state.
    """

    remove: Sequence[Found] = ()
    adopt: Sequence[Adoption] = ()
    keep: Sequence[Kept] = ()
    sweep: Sequence[Found] = ()
    helm: Releases = field(default_factory=Releases)
    pending: Sequence[tuple[str, str]] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.remove or self.adopt or self.sweep or self.helm.stuck or self.pending)

    @property
    def unsure(self) -> list[str]:
        """URNs of what the state then holds, and AWS or the cluster may not: a refresh finds out and drops it."""
        deleted = [urn for urn, kind in self.pending if kind == "deleting"]
        return [*dict.fromkeys([*(one.urn for one in self.adopt), *deleted, *self.helm.known])]


def pod_identities(deployment: Deployment, clients: Clients) -> dict[str, str]:
    """URN to the id of each pod identity that was under way and is there; in a cluster of somebody else's one for
    these pods may lend another role, and is not the stack's.

    Raises:
        botocore's errors.
    """
    found = {}
    for operation in deployment["deployment"].get("pending_operations") or []:
        resource = operation["resource"]
        if not _creates(operation, POD_IDENTITY):
            continue
        inputs, eks = resource["inputs"], clients("eks")
        names = {key: inputs[key] for key in ("clusterName", "namespace", "serviceAccount")}
        with unless_gone():  # the cluster, and all of them with it
            for one in eks.list_pod_identity_associations(**names)["associations"]:
                told = {"clusterName": inputs["clusterName"], "associationId": one["associationId"]}
                if eks.describe_pod_identity_association(**told)["association"]["roleArn"] == inputs["roleArn"]:
                    found[resource["urn"]] = one["associationId"]
    return found


def claimed(deployment: Deployment) -> dict[str, tuple[str, str]]:
    """URN to kind and name of what was being created of the names that a cluster of somebody else's has once."""
    operations = deployment["deployment"].get("pending_operations") or []
    made = (operation["resource"] for operation in operations if operation["type"] == "creating")
    return {
        resource["urn"]: (resource["inputs"]["kind"], resource["inputs"]["metadata"]["name"])
        for resource in made
        if resource["type"].startswith(KUBERNETES)
        and OF_STACK in resource.get("inputs", {}).get("metadata", {}).get("labels", {})
    }


def under_way(deployment: Deployment) -> set[str]:
    """Types of what was being created: of these not even a second-old one may be missed."""
    operations = deployment["deployment"].get("pending_operations") or []
    return {operation["resource"]["type"] for operation in operations if operation["type"] == "creating"}


def decide(
    deployment: Deployment,
    inventory: Inventory,
    pod_identities: Mapping[str, str] | None = None,
    left_by_name: Sequence[Found] = (),
    others: Mapping[str, Problem] | None = None,
) -> Plan:
    """Compares the account with the state.

    What the state does not know is removed only if it carries the state's own id, and if one of its type was being
    created as it is described. What holds data is taken into the state instead. All else stays, with the reason: of
    another life, of a former `up`, or more than was under way.

    Args:
        pod_identities: those that were under way and are there.
        left_by_name: what only a name of this stack's tells of, and no other life holds the name.
        others: by URN, what was under way in a cluster and is somebody else's.

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
    arns, clusters = _arns(resources), _clusters_of_karpenter(recorded)
    unknown = [
        one
        for one in (*inventory.resources, *left_by_name)
        if one.key not in recorded and one.arn not in arns and one.tags.get(KARPENTERS_CLUSTER_TAG) not in clusters
    ]
    sweep = [one for one in unknown if one.left_by and (one in left_by_name or one.stack_id == own)]
    unknown = [one for one in unknown if one not in sweep and not (one.parent and one.parent.left_by)]
    keep = [kept for resource in unknown if (kept := _kept(resource, own))]
    mine = [resource for resource in unknown if _may_be_taken(resource, own)]
    # A name that the state has already is being replaced: the resource that it has holds the data.
    taken = {resource["urn"] for resource in resources}
    parts = [_outcome(made, found, taken) for made, found in _pairs(operations, mine)]
    in_cluster = [
        Adoption(resource, operation, "in the cluster, if it was created: the refresh finds out")
        for operation in operations
        if operation["resource"]["urn"] not in {*taken, *(others or {})}
        and (resource := _in_cluster(operation, pod_identities or {}))
    ]
    keep += [
        Kept(resource, f"{problem.wrong}: it is {problem.value}")
        for operation in operations
        if (problem := (others or {}).get(operation["resource"]["urn"])) and (resource := _in_cluster(operation, {}))
    ]
    return Plan(
        remove=[one for part in parts for one in part.remove],
        adopt=[one for part in parts for one in part.adopt] + in_cluster,
        keep=keep + [one for part in parts for one in part.keep],
        sweep=sweep,
        pending=[(operation["resource"]["urn"], operation["type"]) for operation in operations],
    )


def _arns(resources: Sequence[Mapping[str, Any]]) -> set[str]:
    """By which the state knows what the inventory names by its ARN alone, having no row of its type: an add-on."""
    outputs = (resource.get("outputs") or {} for resource in resources)
    return {arn for one in outputs for key in ARNS if isinstance(arn := one.get(key), str) and arn}


def _clusters_of_karpenter(recorded: Set[tuple[str, str]]) -> set[str]:
    """Where it is at work and ends by itself what it made: profiles, templates, spot requests."""
    at_work = any(type_.startswith(KARPENTERS) for type_, _ in recorded)
    return {id_ for type_, id_ in recorded if at_work and type_ == types.CLUSTER}


def _outcome(made: Sequence[Mapping[str, Any]], found: Sequence[Found], taken: Set[str]) -> Plan:
    """What is done with what may have come of some operations; `taken` are the URNs that the state has already."""
    if not made:
        return Plan(keep=[Kept(one, NOT_UNDER_WAY) for one in found])
    if found and KINDS[found[0].type].holds_data:
        newest = max(found, key=lambda one: one.created.timestamp() if one.created else 0)
        new = [one for one in made if one["resource"]["urn"] not in taken]
        adopt = [Adoption(newest, one) for one in new if len(new) == 1]
        left = [one for one in found if not adopt or one != newest]
        return Plan(adopt=adopt, keep=[Kept(one, NO_PLACE) for one in left])
    if len(found) > len(made):
        why = f"{len(found)} look like the {len(made)} under way: nobody can tell"
        return Plan(keep=[Kept(one, why) for one in found])
    return Plan(remove=found)


NO_PLACE = "it may hold data, and the state has no place for it"
NOT_UNDER_WAY = "it carries this state's id and was not under way; remove it by hand if nobody needs it"


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


def _pairs(
    operations: Sequence[Mapping[str, Any]], found: Sequence[Found]
) -> Iterator[tuple[list[Mapping[str, Any]], list[Found]]]:
    """What was under way, with what may have come of it: each name by itself, of each type what has none, and the rest.

    AWS gives a name once, so two of a type are told apart by theirs. Of those without, such as routes, one is as good
    as another: `up` makes them anew.
    """
    creating = [one for one in operations if one["type"] == "creating"]
    left = list(found)
    # Those with names first: what they describe is not taken for what another operation made.
    for type_, name in sorted(dict.fromkeys(map(_described, creating)), key=lambda key: key[1] is None):
        paired = [one for one in left if one.type == type_ and name in (None, *_names(one))]
        left = [one for one in left if one not in paired]
        yield [one for one in creating if _described(one) == (type_, name)], paired
    yield [], left


def _described(operation: Mapping[str, Any]) -> tuple[str, str | None]:
    """Type and name of what an operation was to make; no name where AWS or the engine gives it none."""
    resource = operation["resource"]
    inputs = resource.get("inputs") or {}
    named = inputs.get("name") or inputs.get("bucket") or (inputs.get("tags") or {}).get("Name")
    return resource["type"], named if isinstance(named, str) else None


def _names(found: Found) -> set[str | None]:
    """Under which it may have been made. A topic's id is its ARN, a queue's its URL; either ends in the name."""
    texts = (text for text in found.facts.values() if isinstance(text, str))
    return {found.id, re.split("[:/]", found.id)[-1], found.name, found.tags.get("Name"), *texts}


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
