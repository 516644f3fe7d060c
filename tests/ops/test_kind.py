"""One row of the table of what is ours."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pulumi_rehearsal.moto import ACCOUNT_ID
from tandem import type_tokens as types
from tandem.ops.kinds import KINDS, cluster_of, gateway_targets, hosts_groups, servers_targets, serving
from tandem.ops.kinds.kind import Clients, Item, Scope
from tests.ops.account import Builder

TOPIC = KINDS["aws:sns/topic:Topic"]
CLIENT = SimpleNamespace(meta=SimpleNamespace(region_name="us-east-1"))
TAGS = {"tandem:project": "tandem", "tandem:stack": "dev"}


def tags_of(code: str) -> Any:
    def tags(_client: Any, item: Item) -> dict[str, str]:
        if item["TopicArn"].endswith("gone"):
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "ListTagsForResource")
        return TAGS

    return tags


def find(code: str) -> list[str]:
    arns = [f"arn:aws:sns:us-east-1:123456789012:{name}" for name in ("gone", "stays")]
    kind = replace(TOPIC, listing=lambda *_: ({"TopicArn": arn} for arn in arns), tags=tags_of(code))
    return [found.id.rsplit(":", 1)[1] for found in kind.find(Scope(lambda _service: CLIENT, "dev"))]


def test_what_went_since_it_was_listed_is_left_out() -> None:
    assert find("ResourceNotFound") == ["stays"]


def test_what_may_not_be_read_is_not_taken_for_gone() -> None:
    with pytest.raises(ClientError):
        find("AccessDenied")


def test_a_budget_is_ours_by_its_own_tags(clients: Clients) -> None:
    """Another state of the name counts the same cost: what a budget counts does not say whose it is."""
    budgets = clients("budgets")
    for name in ("tandem-dev-1", "tandem-dev-2"):
        budget = {"BudgetName": name, "BudgetType": "COST", "TimeUnit": "MONTHLY"}
        filters = {"TagKeyValue": ["user:tandem:stack$dev"]}
        limit = {"BudgetLimit": {"Amount": "1", "Unit": "USD"}, "CostFilters": filters}
        budgets.create_budget(AccountId=ACCOUNT_ID, Budget={**budget, **limit})
    arn = f"arn:aws:budgets::{ACCOUNT_ID}:budget/tandem-dev-2"
    tags = [{"Key": key, "Value": value} for key, value in {**TAGS, "more": "x"}.items()]
    budgets.tag_resource(ResourceARN=arn, ResourceTags=tags)
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["more"])
    (found,) = KINDS[types.BUDGET].find(Scope(clients, "dev"))
    assert (found.name, found.tags) == ("tandem-dev-2", TAGS)


def test_zones_are_listed_from_a_name_on(clients: Clients) -> None:
    """https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html, whose example this is."""
    route53 = clients("route53")
    for name in ("ns.example.com", "example.com", "example.net", "a.example.com", "another.com"):
        route53.create_hosted_zone(Name=name, CallerReference=name)

    def names(start: str) -> list[str]:
        return [zone["Name"] for zone in route53.list_hosted_zones_by_name(DNSName=start)["HostedZones"]]

    assert names("example.com") == ["example.com.", "a.example.com.", "ns.example.com.", "example.net."]
    assert names("b.example.com") == ["ns.example.com.", "example.net."]


def listing(monkeypatch: pytest.MonkeyPatch, type_: str, **tags_by_name: dict[str, str]) -> Clients:
    """The stack has these of one type, in this order; names are said with _ for -."""
    items = [{"Name": name.replace("_", "-"), "own": tags} for name, tags in tags_by_name.items()]
    row = replace(
        KINDS[type_], listing=lambda *_: items, id="Name", name="Name", tags=lambda _, item: TAGS | item["own"]
    )
    monkeypatch.setitem(KINDS, type_, row)
    return lambda _service: CLIENT


def test_the_groups_that_serve_are_known_by_their_model_the_main_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollout goes through them in this order; that of `tandem batch` serves nobody."""
    clients = listing(
        monkeypatch,
        types.GROUP,
        tandem_dev_z={"tandem:model": "z", "tandem:stack-id": "one"},
        tandem_dev_batch_1={"tandem:model": "batch"},
        tandem_dev_hosts={},
        tandem_dev_a={"tandem:model": "a", "tandem:stack-id": "other"},
    )
    assert list(hosts_groups(clients, "dev")) == ["main", "a", "z"]
    assert [one.name for one in hosts_groups(clients, "dev", "one").values()] == ["tandem-dev-hosts", "tandem-dev-z"]


def test_servers_and_copies_of_the_gateway_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"servers": {}, "copies": {"tandem:gateway": "true"}, "others": {"tandem:stack-id": "other"}}
    clients = listing(monkeypatch, types.TARGET_GROUP, **told)
    assert [one.name for one in servers_targets(clients, "dev")] == ["servers", "others"]
    assert [one.name for one in servers_targets(clients, "dev", "one")] == ["servers"]
    assert [one.name for one in gateway_targets(clients, "dev", "one")] == ["copies"]


def test_of_an_account_with_many_load_balancers_400_are_listed_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The most that AWS gives; unasked it gives fewer, and each further call waits for the one before."""
    asked: list[dict[str, Any]] = []

    def paginate(**call: Any) -> list[dict[str, Any]]:
        asked.append(call)
        return [{"LoadBalancers": [{"VpcId": "vpc-ours"}, {"VpcId": "vpc-theirs"}]}]

    monkeypatch.setattr(serving, "networks", lambda *_: {"vpc-ours": {}})
    elb = SimpleNamespace(can_paginate=lambda _: True, get_paginator=lambda _: SimpleNamespace(paginate=paginate))
    row = serving._in_our_networks("describe_load_balancers", "LoadBalancers")
    assert [*row(elb, Scope(lambda _service: CLIENT, "dev"))] == [{"VpcId": "vpc-ours"}]
    assert asked == [{"PaginationConfig": {"PageSize": 400}}]


def test_pods_in_somebody_elses_cluster_are_found_by_the_stacks_nodes(clients: Clients) -> None:
    eks, role = clients("eks"), f"arn:aws:iam::{ACCOUNT_ID}:role/cluster"
    eks.create_cluster(name="theirs", roleArn=role, resourcesVpcConfig={"subnetIds": []}, tags={"team": "platform"})
    assert cluster_of(clients, "dev") is None
    eks.create_nodegroup(clusterName="theirs", nodegroupName="ours", nodeRole=role, subnets=[], tags=TAGS)
    found = cluster_of(clients, "dev")
    assert found is not None
    assert (found.type, found.id, found.name) == (types.CLUSTER, "theirs", "theirs")
    assert (found.arn, found.tags) == (found.facts["arn"], {"team": "platform"})
    assert found.facts["status"] == "ACTIVE"


ZONES = ("com", "example.com", "x.example.com", "y.x.example.com", "example-2.com", "ample.com", "example.net")


@pytest.mark.parametrize(
    ("host_name", "expected"),
    [
        ("x.example.com", ["com", "example.com", "x.example.com"]),
        ("*.example.com", ["com", "example.com", "x.example.com"]),
        ("*.x.example.com", ["com", "example.com", "x.example.com", "y.x.example.com"]),
        ("example.net", ["example.net"]),
        ("*.example.org", []),
    ],
)
def test_a_name_may_be_in_its_own_zone_and_those_above(clients: Clients, host_name: str, expected: list[str]) -> None:
    """And a wildcard's name in any zone one label below."""
    route53 = clients("route53")
    ids = {
        route53.create_hosted_zone(Name=name, CallerReference=name)["HostedZone"]["Id"].rpartition("/")[2]: name
        for name in ZONES
    }
    assert sorted(ids[zone] for zone in serving._zones(route53, host_name)) == sorted(expected)


def test_the_tagging_api_names_what_it_names_on_aws(clients: Clients) -> None:
    """WAF as a whole only: https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html
    takes service names and types, and of these WAF's find nothing."""
    tagging = clients("resourcegroupstaggingapi")
    Builder(clients, "dev", "tandem-dev-one").everything()

    def found(*types: str) -> list[str]:
        listed = tagging.get_resources(ResourceTypeFilters=list(types))["ResourceTagMappingList"]
        return [item["ResourceARN"].split(":")[5].partition("/")[0] for item in listed]

    assert found("eks:cluster") == ["cluster"]
    assert found("wafv2") == ["regional"]
    assert found("wafv2:regional", "wafv2:regional/webacl") == []
