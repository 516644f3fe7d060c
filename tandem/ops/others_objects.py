"""What others have put into a stack's cluster: `destroy` waits for some of it for ever, the rest goes with the cluster.

Looked at are objects of the controllers that a stack brings. The stack's own are known by their names, without a state;
what somebody has put into the servers' namespace goes with that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from tandem import type_tokens as types
from tandem.errors import Problem, UserError
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import BASE_POOL, BATCH_POOL, NAMESPACE, NODE_CLASS, POOL, RESERVED_POOL
from tandem.ops.kinds import ours
from tandem.ops.kinds.kind import Clients
from tandem.ops.rollout.cluster import of_stack

OWN = {"NodePool": {POOL, BASE_POOL, BATCH_POOL, RESERVED_POOL}, "EC2NodeClass": {NODE_CLASS}}
KEDAS = "KEDA alone takes its finalizer away"
HOLDS = {
    "nodepools.karpenter.sh": "its nodes end only while Karpenter runs",
    "nodeclaims.karpenter.sh": "its node ends only while Karpenter runs",
    "ec2nodeclasses.karpenter.k8s.aws": "Karpenter alone takes its finalizer away",
    "scaledobjects.keda.sh": KEDAS,
    "scaledjobs.keda.sh": KEDAS,
    "triggerauthentications.keda.sh": KEDAS,
    "clustertriggerauthentications.keda.sh": KEDAS,
    "cloudeventsources.eventing.keda.sh": KEDAS,
    "clustercloudeventsources.eventing.keda.sh": KEDAS,
}
"""Kinds whose definitions go with a release of the stack, and why that waits for each object of them. Karpenter's
further ones get no finalizer: https://github.com/kedacore/keda/tree/v2.20.1/controllers,
https://github.com/kubernetes-sigs/karpenter/blob/v1.14.0/pkg/controllers/nodeclaim/lifecycle/controller.go and
https://github.com/aws/karpenter-provider-aws/blob/v1.14.0/pkg/controllers/nodeclass/controller.go"""
GOES = ("leaderworkersets.leaderworkerset.x-k8s.io", "targetgroupbindings.elbv2.k8s.aws")
"""Kinds whose definitions Helm leaves."""
WRONG = "is not the stack's, and `destroy` would wait for it for ever: {why}"


def look(clients: Clients, stack: str, stack_id: str) -> tuple[Sequence[Problem], Sequence[Problem]]:
    """What keeps a `destroy` waiting, and what it takes along or could not be looked at.

    Raises:
        botocore's errors.
    """
    if not any(one.facts.get("status") == "ACTIVE" for one in ours(clients, stack, types.CLUSTER, stack_id)):
        return [], []
    try:
        with ExitStack() as up:
            return in_cluster(of_stack(clients, stack, stack_id, clients("eks").meta.region_name, up).kubectl)
    except UserError as error:
        return [], error.problems


def refuse(clients: Clients, stack: str, stack_id: str, told: Callable[[str], object]) -> None:
    """Raises a UserError where something would keep a `destroy` waiting; tells the rest.

    Raises:
        botocore's errors.
    """
    holds, rest = look(clients, stack, stack_id)
    for problem in rest:
        told(str(problem))
    if holds:
        raise UserError(*holds)


def in_cluster(kubectl: Kubectl) -> tuple[list[Problem], list[Problem]]:
    """As `look`, of one cluster.

    Raises:
        UserError: it does not answer.
    """
    served = kubectl.run("get", "customresourcedefinitions", "--output", "name")
    kinds = [one for one in (*HOLDS, *GOES) if f"/{one}\n" in served]
    if not kinds:
        return [], []
    found = kubectl.read(",".join(kinds), "--all-namespaces")
    others = [one for one in found if not _is_own(one)]
    holds = [_problem(one, WRONG.format(why=why)) for one in others if (why := HOLDS.get(_kind(one)))]
    goes = [_problem(one, "is not the stack's, and goes with its cluster") for one in others if _kind(one) in GOES]
    return holds, goes


def _is_own(found: dict[str, Any]) -> bool:
    """Of a NodePool's nodes the NodePool is judged."""
    metadata = found["metadata"]
    pooled = any(owner["kind"] == "NodePool" for owner in metadata.get("ownerReferences", ()))
    return pooled or metadata.get("namespace") == NAMESPACE or metadata["name"] in OWN.get(found["kind"], ())


def _kind(found: dict[str, Any]) -> str:
    """By the name of its definition."""
    plural = "es" if found["kind"].endswith("s") else "s"
    return f"{found['kind'].lower()}{plural}.{found['apiVersion'].partition('/')[0]}"


def _problem(found: dict[str, Any], wrong: str) -> Problem:
    name, namespace = found["metadata"]["name"], found["metadata"].get("namespace")
    where = f" --namespace {namespace}" if namespace else ""
    fix = f"ask whose it is; then `kubectl delete {_kind(found)} {name}{where}`, before a `destroy`"
    return Problem(key=f"{found['kind']} {'/'.join(filter(None, (namespace, name)))}", wrong=wrong, fix=fix)
