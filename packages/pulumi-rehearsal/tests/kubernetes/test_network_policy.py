"""Each rule of NetworkPolicy, by a pair that it lets through and one that it does not."""

from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.network_policy import NAMESPACE_NAME, End, allows, selects


def pod(namespace: str, **labels: str) -> End:
    return End("pod", (IPv4Network("10.0.1.0/24"),), {NAMESPACE_NAME: namespace}, labels)


def outside(*networks: str) -> End:
    return End("outside", tuple(map(IPv4Network, networks)))


def policy(namespace: str = "inference", selector: Object | None = None, **spec: object) -> Object:
    return {"metadata": {"name": "x", "namespace": namespace}, "spec": {"podSelector": selector or {}, **spec}}


SERVER = pod("inference", app="vllm")
OTHER = pod("web", app="shop")
HOST = outside("10.0.2.7/32")
DENY = policy(policyTypes=["Ingress", "Egress"])


def into(*rules: Object) -> Object:
    return policy(policyTypes=["Ingress"], ingress=list(rules))


def out(*rules: Object) -> Object:
    return policy(policyTypes=["Egress"], egress=list(rules))


def reaches(policies: list[Object], source: End, target: End, port: int = 8080, protocol: str = "TCP") -> bool:
    return allows(policies, source, target, port, protocol)


def test_without_a_policy_all_may_talk() -> None:
    assert reaches([], OTHER, SERVER)


def test_a_policy_without_rules_denies_both_ways() -> None:
    assert not reaches([DENY], OTHER, SERVER)
    assert not reaches([DENY], SERVER, OTHER)


def test_a_policy_holds_for_the_pods_that_it_selects_in_its_namespace() -> None:
    assert reaches([policy(selector={"matchLabels": {"app": "batch"}})], OTHER, SERVER)
    assert reaches([policy("elsewhere")], OTHER, SERVER)
    assert not reaches([policy(selector={"matchLabels": {"app": "vllm"}})], OTHER, SERVER)


def test_without_policy_types_outgoing_is_denied_only_where_there_are_rules_for_it() -> None:
    assert reaches([policy()], SERVER, OTHER)
    assert not reaches([policy(egress=[])], SERVER, OTHER)
    assert not reaches([policy(egress=[])], OTHER, SERVER)


def test_both_ends_have_a_say() -> None:
    refuses = policy("web", policyTypes=["Egress"])
    assert reaches([into({})], OTHER, SERVER)
    assert not reaches([into({}), refuses], OTHER, SERVER)


def test_policies_add_up() -> None:
    assert reaches([DENY, into({"from": [{"namespaceSelector": {}}]})], OTHER, SERVER)


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        pytest.param({"podSelector": {}}, [False, True, False], id="pods of the policy's own namespace"),
        pytest.param({"namespaceSelector": {}}, [True, True, False], id="pods of all namespaces"),
        pytest.param(
            {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: "web"}}}, [True, False, False], id="one namespace"
        ),
        pytest.param(
            {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "vllm"}}},
            [False, True, False],
            id="both must hold",
        ),
        pytest.param({"ipBlock": {"cidr": "10.0.2.0/24"}}, [False, False, True], id="a block"),
        pytest.param({"ipBlock": {"cidr": "10.0.0.0/16"}}, [True, True, True], id="a block that pods are in"),
        pytest.param(
            {"ipBlock": {"cidr": "10.0.0.0/16", "except": ["10.0.1.128/25"]}},
            [False, False, True],
            id="a block with a hole",
        ),
        pytest.param({"ipBlock": {"cidr": "::/0"}}, [False, False, False], id="another family"),
    ],
)
def test_who_is_meant(peer: Object, allowed: list[bool]) -> None:
    sources = [OTHER, pod("inference", app="vllm"), HOST]
    assert [reaches([into({"from": [peer]})], source, SERVER) for source in sources] == allowed
    assert [reaches([out({"to": [peer]})], SERVER, target) for target in sources] == allowed


def test_addresses_count_one_by_one() -> None:
    two = outside("10.0.2.0/25", "10.0.3.0/25")
    first, second = ({"from": [{"ipBlock": {"cidr": f"10.0.{number}.0/24"}}]} for number in (2, 3))
    assert not reaches([into(first)], two, SERVER)
    assert allows([into(first)], two, SERVER, 8080, partly=True)
    assert reaches([into(first, second)], two, SERVER)


@pytest.mark.parametrize(
    ("ports", "allowed"),
    [
        ([], [True, True, True, True]),
        ([{"port": 8080}], [True, False, False, False]),
        ([{"port": 8080, "protocol": "UDP"}], [False, True, False, False]),
        ([{"protocol": "TCP"}], [True, False, True, True]),
        ([{"port": 8000, "endPort": 9000}], [True, False, True, False]),
        ([{"port": 1}, {"port": 9001}], [False, False, False, True]),
    ],
)
def test_which_ports_are_meant(ports: list[Object], allowed: list[bool]) -> None:
    tried = [(8080, "TCP"), (8080, "UDP"), (9000, "TCP"), (9001, "TCP")]
    assert [reaches([into({"ports": ports})], OTHER, SERVER, *one) for one in tried] == allowed


def test_a_port_by_name_is_no_guess() -> None:
    with pytest.raises(ValueError, match="port 'http' of a NetworkPolicy is a name"):
        reaches([into({"ports": [{"port": "http"}]})], OTHER, SERVER)


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ({"operator": "In", "values": ["a", "b"]}, [True, False, False]),
        ({"operator": "NotIn", "values": ["a", "b"]}, [False, True, True]),
        ({"operator": "Exists"}, [True, True, False]),
        ({"operator": "DoesNotExist"}, [False, False, True]),
    ],
)
def test_selectors_by_expression(expression: Object, selected: list[bool]) -> None:
    selector = {"matchExpressions": [{"key": "app", **expression}]}
    assert [selects(selector, labels) for labels in ({"app": "a"}, {"app": "c"}, {})] == selected


def test_an_unknown_operator_is_no_guess() -> None:
    with pytest.raises(ValueError, match="operator 'Gt'"):
        selects({"matchExpressions": [{"key": "app", "operator": "Gt"}]}, {})
