"""What NetworkPolicies let through, evaluated: nothing is sent.

No library on PyPI does it whole (kube-netpol 1.0.0 passes over ipBlock and matchExpressions), so it is done here, after
https://kubernetes.io/docs/concepts/services-networking/network-policies/.

Stands for: the network plugin that enforces policies.
Held by: nothing, nothing is sent; the rules are those of Kubernetes' documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, ip_network
from itertools import product
from typing import Literal

from pulumi_rehearsal.kubernetes.api import Object

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label by which the API server writes a namespace's name on it."""

Direction = Literal["Ingress", "Egress"]
RULES = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}


@dataclass(frozen=True)
class End:
    """One end of a connection: a pod, or addresses outside the cluster's policies.

    Attributes:
        name: for people.
        networks: its addresses. Pods have some, too: on EKS they are addresses of the VPC, and the network plugin
            compares them with ipBlocks.
        namespace: labels of a pod's namespace; None for what is no pod.
        labels: a pod's own.
    """

    name: str
    networks: tuple[IPv4Network, ...]
    namespace: Mapping[str, str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


def allows(
    policies: Iterable[Object], source: End, target: End, port: int, protocol: str = "TCP", *, partly: bool = False
) -> bool:
    """Whether a connection may leave its source and enter its target.

    Args:
        partly: whether it is enough when some of their addresses may.

    Raises:
        ValueError: a rule names its port by a name, which depends on the pods' containers and is not evaluated.
    """
    policies = list(policies)

    def one(source: End, target: End) -> bool:
        ways: list[tuple[Direction, End, End]] = [("Egress", source, target), ("Ingress", target, source)]
        return all(_open(policies, direction, end, other, port, protocol) for direction, end, other in ways)

    return (any if partly else all)(one(*pair) for pair in product(_each(source), _each(target)))


def _each(end: End) -> list[End]:
    return [replace(end, networks=(network,)) for network in end.networks]


def _isolating(policies: Iterable[Object], direction: Direction, end: End) -> Iterator[Object]:
    """The policies that deny an end all in one direction but what they list; none for what is no pod."""
    for policy in policies:
        spec = policy["spec"]
        types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
        if end.namespace is None or direction not in types:
            continue
        if end.namespace[NAMESPACE_NAME] == policy["metadata"]["namespace"] and selects(
            spec["podSelector"], end.labels
        ):
            yield policy


def selects(selector: Mapping[str, object], labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects what carries these labels; an empty one selects all."""
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}  # pyright: ignore[reportAssignmentType]
    expressions: Iterable[Object] = selector.get("matchExpressions") or []  # pyright: ignore[reportAssignmentType]
    return wanted.items() <= labels.items() and all(_holds(expression, labels) for expression in expressions)


def _open(policies: list[Object], direction: Direction, end: End, other: End, port: int, protocol: str) -> bool:
    found = list(_isolating(policies, direction, end))
    rules, peers = RULES[direction]
    return not found or any(
        _names_peer(rule.get(peers), other, policy["metadata"]["namespace"])
        and _names_port(rule.get("ports"), port, protocol)
        for policy in found
        for rule in policy["spec"].get(rules) or []
    )


def _names_peer(peers: list[Object] | None, other: End, namespace: str) -> bool:
    """A rule without peers is for all; a selector of pods alone means those of the policy's own namespace."""
    return not peers or any(_is_peer(peer, other, namespace) for peer in peers)


def _is_peer(peer: Object, other: End, namespace: str) -> bool:
    if block := peer.get("ipBlock"):
        return all(_within(block, network) for network in other.networks)
    if other.namespace is None:
        return False
    if "namespaceSelector" in peer:
        right_namespace = selects(peer["namespaceSelector"], other.namespace)
    else:
        right_namespace = other.namespace[NAMESPACE_NAME] == namespace
    return right_namespace and selects(peer.get("podSelector") or {}, other.labels)


def _within(block: Object, network: IPv4Network) -> bool:
    cidr = ip_network(block["cidr"])
    if not isinstance(cidr, IPv4Network) or not network.subnet_of(cidr):
        return False
    return not any(network.overlaps(ip_network(hole)) for hole in block.get("except") or [])


def _names_port(ports: list[Object] | None, port: int, protocol: str) -> bool:
    return not ports or any(_is_port(each, port, protocol) for each in ports)


def _is_port(each: Object, port: int, protocol: str) -> bool:
    first = each.get("port")
    if isinstance(first, str):
        raise ValueError(f"port {first!r} of a NetworkPolicy is a name; only numbers are evaluated: give the number")
    if each.get("protocol", "TCP") != protocol:
        return False
    return first is None or first <= port <= each.get("endPort", first)


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise ValueError(f"a selector has the operator {other!r}; In, NotIn, Exists and DoesNotExist are known")
