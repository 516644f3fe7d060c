"""The table of resource types: one row each, one file per family."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jmespath

from tandem import type_tokens as types
from tandem.ops.kinds import gateway, identity, kubernetes, messaging, network, observing, serving, storage
from tandem.ops.kinds.kind import Clients, Found, ResourceType, Scope
from tandem.tags import GATEWAY_TAG, MAIN_MODEL, MODEL_TAG, batch_name

FAMILIES = (network, serving, kubernetes, storage, messaging, observing, identity, gateway)

KINDS: Mapping[str, ResourceType] = {row.type: row for family in FAMILIES for row in family.ROWS}
"""All rows, by Pulumi's type token."""

STAYING = frozenset({"ecs:task-definition"})
"""Types, as the tagging API names them, that have no row: AWS takes nothing for them, and knows no right to remove one
alone, so that nobody here has it (a version of the gateway, which does nothing while no service runs it).
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html"""


def ours(clients: Clients, stack: str, type_: str, stack_id: str | None = None) -> list[Found]:
    """A stack's resources of one type, by their tags.

    Args:
        stack_id: only of this life, and what carries no id; None for all of the name.
    """
    found = KINDS[type_].find(Scope(clients, stack))
    return [one for one in found if stack_id is None or one.stack_id in ("", stack_id)]


def cluster_of(clients: Clients, stack: str, stack_id: str | None = None) -> Found | None:
    """The cluster in which a stack's pods are: its own, or that of somebody else in which it has nodes."""
    if own := ours(clients, stack, types.CLUSTER, stack_id):
        return own[0]
    groups = ours(clients, stack, types.NODE_GROUP, stack_id)
    return kubernetes.cluster_named(clients("eks"), groups[0].facts["clusterName"]) if groups else None


def hosts_groups(clients: Clients, stack: str, stack_id: str | None = None) -> dict[str, Found]:
    """The groups of hosts that serve, each by its model, the main one's first where it is there."""
    found = [one for one in ours(clients, stack, types.GROUP, stack_id) if not is_for_batches(one)]
    by_model = {one.tags.get(MODEL_TAG, MAIN_MODEL): one for one in found}
    return dict(sorted(by_model.items(), key=lambda one: (one[0] != MAIN_MODEL, one[0])))


def servers_targets(clients: Clients, stack: str, stack_id: str | None = None) -> list[Found]:
    """The target groups of models: where servers register, and not copies of a gateway."""
    return [one for one in ours(clients, stack, types.TARGET_GROUP, stack_id) if GATEWAY_TAG not in one.tags]


def gateway_targets(clients: Clients, stack: str, stack_id: str | None = None) -> list[Found]:
    """Where copies of the gateway for teams register; empty without one."""
    return [one for one in ours(clients, stack, types.TARGET_GROUP, stack_id) if GATEWAY_TAG in one.tags]


def is_for_batches(found: Found) -> bool:
    """Whether a group or a bucket is that of `tandem batch`."""
    return found.name.startswith(batch_name(found.stack) + "-")


def state_key(resource: Mapping[str, Any]) -> tuple[str, str]:
    """Type and id of a resource of an exported state, as `Found.key` has them."""
    kind = KINDS.get(resource["type"])
    return resource["type"], jmespath.search(kind.state_id if kind else "id", resource) or ""
