"""Where replicas stand: over zones and nodes, the stages of a pipeline in one zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tandem.kubernetes.names import GROUP, HOST, ZONE

from .objects import Manifest

if TYPE_CHECKING:
    from .workload import InferenceService


def spread(service: InferenceService) -> list[Manifest]:
    """Of replicas over zones and nodes.

    Nodes join one by one: what is only wished for would put all replicas on the first of them. What must hold counts
    old and new pods of a rollout alike, or a new one could wait for ever for a node that is full of old ones. The wish
    counts new ones only, or they would crowd into what the old ones leave.

    A node may have as many more than another as it has of the fewest replicas. With a skew of 1 Karpenter would plan a
    node for each pod (`domainMinCount` in its topologygroup.go takes 0 for the emptiest host, since it can add one),
    and replace none on which two stand: their successor would be two nodes.
    """
    must = {HOST: service.spread_over, ZONE: service.spread_over_zones}
    skew = {HOST: max(1, -(-service.replicas // service.spread_over)), ZONE: 1}
    labels = {"labelSelector": {"matchLabels": service.entry_labels}}
    apart = {} if service.pipelined else {"matchLabelKeys": ["pod-template-hash"]}
    return [
        *(
            {"topologyKey": key, "maxSkew": skew[key], "whenUnsatisfiable": "DoNotSchedule", "minDomains": least}
            # A node that is being drained has none, and takes none.
            | {"nodeTaintsPolicy": "Honor", **labels}
            for key, least in must.items()
            if least > 1
        ),
        *(
            {"topologyKey": key, "maxSkew": skew[key], "whenUnsatisfiable": "ScheduleAnyway", **labels, **apart}
            for key, least in must.items()
            if key == ZONE or least > 1
        ),
    ]


def beside_its_leader(service: InferenceService) -> Manifest:
    """A worker in its leader's zone: what stages exchange for each token is neither slow nor paid for.

    Workers come as soon as their leader does, and have nothing to spread by. So they wait until it has a node: one that
    came first could stand where its leader must not.
    """
    leader = {"topologyKey": ZONE, "labelSelector": {"matchLabels": service.entry_labels}, "matchLabelKeys": [GROUP]}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [leader]}}
