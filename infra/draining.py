"""How long nodes take to be empty, and what that asks of their provisioner."""

from __future__ import annotations

from infra import capacity
from infra.settings.schema import Settings
from infra.timing import LEAST_DRAIN_SECONDS


def drain_seconds(settings: Settings) -> int:
    """What a drain may take where a disruption budget lets one server go at a time: each has left, and its successor
    serves, before the next one goes. Afterwards Karpenter ends pods against their budget
    (pkg/controllers/node/termination/terminator in sigs.k8s.io/karpenter v1.14.0), a pod's grace before the end."""
    servers = max(one.replicas for one in capacity.node_types(settings))
    grace = settings.timeouts.termination_grace_seconds
    return max(LEAST_DRAIN_SECONDS, servers * (grace + settings.fleet.launch_timeout_seconds) + grace)


def replaced_at_once(settings: Settings) -> int:
    """Karpenter's nodes that are replaced at a time, each after its successor has come: one a pool.

    A pool's limit does not count the node that goes, so that a full pool has a node more meanwhile (SimulateScheduling
    in pkg/controllers/disruption/helpers.go, Create in pkg/controllers/provisioning/provisioner.go, ibid.). A Capacity
    Block has no node more.
    """
    if settings.fleet.capacity_block is not None:
        return 0
    base = settings.fleet.on_demand_base
    return (base > 0) + (settings.max_group_size > base)
