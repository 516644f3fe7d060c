"""How long nodes take to be empty, and what that asks of their provisioner."""

from __future__ import annotations

from tandem import capacity
from tandem.settings.schema import Settings
from tandem.timing import LEAST_DRAIN_SECONDS


def drain_seconds(settings: Settings) -> int:
    """What a drain may take where a disruption budget lets one server go at a time: each has left, and its successor
    serves, before the next one goes. Afterwards Karpenter ends pods against their budget
    (pkg/controllers/node/termination/terminator in sigs.k8s.io/karpenter v1.14.0), a pod's grace before the end."""
    fewest = min(inference.tensor_parallel_size for inference, _ in settings.scaled.values())
    servers = max(one.servers(fewest) for one in capacity.node_types(settings))
    grace = settings.timeouts.termination_grace_seconds
    return max(LEAST_DRAIN_SECONDS, servers * (grace + settings.fleet.launch_timeout_seconds) + grace)
