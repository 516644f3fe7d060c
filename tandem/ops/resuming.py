"""Goes on where an `up` was killed: state and account are put in step before the engine works on the stack again."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tandem import type_tokens as types
from tandem.errors import Problem
from tandem.kubernetes.existing import taken
from tandem.ops import helm_releases, inventory, removal
from tandem.ops.aws import user_errors
from tandem.ops.inventory import Inventory
from tandem.ops.kinds import left_behind
from tandem.ops.kinds.kind import Clients
from tandem.ops.lives import of_parameters
from tandem.ops.pulumi import Deployment, Stack
from tandem.ops.recovery import Plan, amended, claimed, decide, pod_identities, under_way
from tandem.ops.rollout.cluster import kubectl as kubectl_of_stack
from tandem.ops.whose import refuse_elsewhere, stack_id

Told = Callable[[str], None]
SETTLE_SECONDS = 10
"""From the last thing that a killed `pulumi` wrote down until what it had asked AWS for is there to be seen."""


def look(clients: Clients, stack: str, deployment: Deployment) -> Plan:
    """What has to be done; nothing is changed.

    Raises:
        UserError: AWS does not tell all, or was asked about another account or region than the state's.
    """
    with user_errors(stack):
        refuse_elsewhere(deployment, stack, clients)
        identities = pod_identities(deployment, clients)
        left = list(left_behind.log_groups(clients, stack))
        strangers = _others(clients, stack, deployment)
    found = inventory.find(clients, stack, under_way(deployment))
    others = {life.id for life in of_parameters(found.resources)} - {stack_id(deployment)}
    plan = decide(deployment, found, identities, [] if others else left, strangers)
    return replace(plan, helm=_helm(clients, stack, deployment, found))


def _others(clients: Clients, stack: str, deployment: Deployment) -> dict[str, Problem]:
    """What `up` was killed at before it had seen whose a name is; nodes come first, by which the cluster is found."""
    if not (names := claimed(deployment)):
        return {}
    with ExitStack() as up:
        kubectl = kubectl_of_stack(clients, stack, stack_id(deployment), clients("eks").meta.region_name, up)
        found = {urn: taken(kubectl, kind, name, stack) for urn, (kind, name) in names.items()}
    return {urn: problem for urn, problem in found.items() if problem}


def _helm(clients: Clients, stack: str, deployment: Deployment, found: Inventory) -> helm_releases.Releases:
    own = stack_id(deployment)
    clusters = [one for one in found.resources if one.type == types.CLUSTER and one.stack_id == own]
    with user_errors(stack):
        return helm_releases.look(clients, stack, own, deployment, clusters) if own else helm_releases.Releases()


def carry_out(clients: Clients, engine: Stack, deployment: Deployment, plan: Plan, told: Told) -> None:
    """Does it; safe to interrupt, and to run again.

    Raises:
        UserError: something could not be removed, or `pulumi` refused.
    """
    if plan.is_empty:
        return
    # Before the state is written: an interrupted removal finds its way again, from the account alone.
    left = removal.remove(clients, [*plan.remove, *plan.sweep], report=removal.reporting(told))
    removal.refuse_left(left, "the next `up` or `destroy` would fail on it, or make it twice", "`tandem recover`")
    if plan.helm.stuck:
        with user_errors(engine.name):
            helm_releases.mend(clients, engine.name, stack_id(deployment) or "", plan.helm.stuck)
    if plan.pending:
        engine.replace(amended(deployment, plan.adopt))
    if plan.unsure:
        engine.refresh(plan.unsure)


def resume(clients: Clients, engine: Stack, told: Told, sleep: Callable[[float], None] = time.sleep) -> None:
    """What `tandem recover --yes` does, where the last command was killed while it made something; else nothing.

    Raises:
        UserError: that command still works on the stack, or as `carry_out`.
    """
    state = engine.export()["deployment"]
    if not state.get("pending_operations"):
        return
    told(f"{engine.name}: the last command was killed in the middle: looking for what it had under way")
    # The stack itself, of which nothing is read: refused while that command still works, which has then lost nothing.
    engine.refresh([state["resources"][0]["urn"]])
    sleep(_unsettled_seconds(state, datetime.now(UTC)))
    deployment = engine.export()
    carry_out(clients, engine, deployment, look(clients, engine.name, deployment), told)


def _unsettled_seconds(state: Mapping[str, Any], now: datetime) -> float:
    """How long to wait yet; nothing where the state does not say when it was written."""
    try:
        written = datetime.fromisoformat(state["manifest"]["time"])
    except (KeyError, ValueError):
        return 0
    return min(SETTLE_SECONDS, max(0, SETTLE_SECONDS - (now - written).total_seconds()))
