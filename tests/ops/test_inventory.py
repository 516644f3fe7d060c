"""What is ours is found, by every type's own row, and nothing else is ever named."""

from __future__ import annotations

import uuid

import pytest
from botocore.exceptions import ClientError

from pulumi_rehearsal.moto import SimulatedAccount
from tandem import type_tokens as types
from tandem.ops.inventory import find
from tandem.ops.kinds import KINDS, state_key
from tandem.ops.kinds.kind import Clients
from tests.ops.account import REGION, Builder, tags_of, watched


@pytest.fixture(scope="module")
def clients(moto_server: SimulatedAccount) -> Clients:
    """One account for all of these tests, each with a stack of its own: emptying it takes moto seconds."""
    moto_server.reset()
    return lambda service: moto_server.client(service, REGION)


@pytest.fixture
def stack() -> str:
    return f"t{uuid.uuid4().hex[:6]}"


@pytest.fixture(scope="module")
def crowded(clients: Clients) -> tuple[Clients, Builder, Builder]:
    """Two stacks of ours among look-alikes: the same names under other tags, our tag keys with other values."""
    dev = Builder(clients, "dev", "tandem-dev").everything()
    prod = Builder(clients, "prod", "tandem-prod").everything()
    Builder(clients, "dev", "tandem-dev-copy", tags_of("dev", project="someone-elses")).everything()
    Builder(clients, "dev", "tandem-dev-bare", {"Name": "tandem-dev", "stack": "dev"}).everything()
    return clients, dev, prod


def test_the_account_of_these_tests_has_every_type_of_the_table(crowded: tuple[Clients, Builder, Builder]) -> None:
    _clients, dev, _prod = crowded
    assert {type_ for type_, _id in dev.made} == set(KINDS)


def test_all_of_a_stack_is_found_and_nothing_else(crowded: tuple[Clients, Builder, Builder]) -> None:
    clients, dev, _prod = crowded
    found = find(clients, "dev")
    assert found.unreadable == []
    assert sorted(resource.key for resource in found.resources) == sorted(dev.made)
    unread = [one.key for one in found.resources if not one.name or one.name.startswith("https:")]
    assert unread == [], "people read names"


def test_all_is_found_without_the_tagging_api_which_learns_late(crowded: tuple[Clients, Builder, Builder]) -> None:
    """Of each type that may be asked for exactly: what was made a second ago would stay, and cost, unseen."""
    clients, dev, _prod = crowded

    def knows_nothing_yet(service: str, _operation: str) -> None:
        if service == "resourcegroupstaggingapi":
            raise ClientError({"Error": {"Code": "Late", "Message": ""}}, "get_resources")  # pyright: ignore[reportArgumentType]

    found = find(watched(clients, knows_nothing_yet), "dev", exact=KINDS)
    assert [problem.key for problem in found.unreadable] == ["tag:GetResources"]
    assert sorted(resource.key for resource in found.resources) == sorted(dev.made)


def test_without_a_stack_all_of_the_project_is_found(crowded: tuple[Clients, Builder, Builder]) -> None:
    clients, dev, prod = crowded
    found = find(clients, None).resources
    assert sorted(one.key for one in found if one.stack in ("dev", "prod")) == sorted(dev.made + prod.made)
    assert {one.tags["tandem:project"] for one in found if one.tags} == {"tandem"}


def test_an_unknown_stack_has_nothing(crowded: tuple[Clients, Builder, Builder]) -> None:
    clients, _dev, _prod = crowded
    assert find(clients, "de").resources == []


def test_what_is_known_of_a_resource(crowded: tuple[Clients, Builder, Builder]) -> None:
    clients, dev, _prod = crowded
    found = {resource.key: resource for resource in find(clients, "dev").resources}
    nat = next(resource for resource in found.values() if resource.type == types.NAT_GATEWAY)
    assert nat.created is not None
    assert nat.created.tzinfo is not None
    role = found[types.ROLE, "tandem-dev-host"]
    assert (role.name, role.arn) == ("tandem-dev-host", dev.role_arn)
    assert role.tags == dev.tag_map
    [policy] = [resource for resource in found.values() if resource.type == types.ROLE_POLICY]
    assert policy.parent == role
    assert policy.stack == "dev"
    [rule] = [resource for resource in found.values() if resource.type == types.LISTENER_RULE]
    assert rule.parent is not None
    assert rule.parent.type == types.LISTENER
    assert rule.parent.parent is not None
    assert rule.parent.parent.name == "tandem-dev"


def test_what_aws_makes_for_itself_is_not_named(crowded: tuple[Clients, Builder, Builder]) -> None:
    """A VPC's default security group, main route table and own route; a load balancer's default rule."""
    clients, dev, _prod = crowded
    ec2 = clients("ec2")
    vpc = [{"Name": "vpc-id", "Values": [dev.vpc]}]
    ids = {resource.id for resource in find(clients, "dev").resources}
    assert len(ec2.describe_security_groups(Filters=vpc)["SecurityGroups"]) == 3
    assert (
        len([group for group in ec2.describe_security_groups(Filters=vpc)["SecurityGroups"] if group["GroupId"] in ids])
        == 2
    )
    assert len(ec2.describe_route_tables(Filters=vpc)["RouteTables"]) == 2
    assert len([resource for resource in find(clients, "dev").resources if resource.type == types.ROUTE]) == 1


def test_the_default_groups_and_tables_stay_unnamed_even_when_they_carry_our_tags(clients: Clients, stack: str) -> None:
    """`up` tags the default security group, which nobody can delete."""
    dev = Builder(clients, stack, f"tandem-{stack}")
    dev.network()
    ec2, vpc = clients("ec2"), [{"Name": "vpc-id", "Values": [dev.vpc]}]
    [default] = [
        group["GroupId"]
        for group in ec2.describe_security_groups(Filters=vpc)["SecurityGroups"]
        if group["GroupName"] == "default"
    ]
    [main] = [
        table["RouteTableId"]
        for table in ec2.describe_route_tables(Filters=vpc)["RouteTables"]
        if any(association["Main"] for association in table["Associations"])
    ]
    ec2.create_tags(Resources=[default, main], Tags=dev.tags)
    assert sorted(resource.key for resource in find(clients, stack).resources) == sorted(dev.made)


def test_a_type_without_a_row_is_named_by_the_tagging_api(clients: Clients, stack: str) -> None:
    sqs = clients("sqs")
    url = sqs.create_queue(QueueName=f"forgotten-{stack}", tags=tags_of(stack))["QueueUrl"]
    sqs.create_queue(QueueName=f"not-ours-{stack}", tags=tags_of(stack, project="other"))
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    [found] = find(clients, stack).resources
    assert (found.type, found.id, found.name, found.tags) == ("sqs", arn, f"forgotten-{stack}", tags_of(stack))


def test_a_log_group_with_a_name_of_its_own_is_found(clients: Clients, stack: str) -> None:
    clients("logs").create_log_group(logGroupName=f"/by/hand/{stack}", tags=tags_of(stack))
    clients("logs").create_log_group(logGroupName=f"/tandem/{stack}/of-nobody", tags={"a": "b"})
    assert [resource.key for resource in find(clients, stack).resources] == [(types.LOG_GROUP, f"/by/hand/{stack}")]


def test_all_pages_are_read(clients: Clients, stack: str) -> None:
    for number in range(60):
        clients("logs").create_log_group(logGroupName=f"/tandem/{stack}/{number}", tags=tags_of(stack))
    pages: list[str] = []
    found = find(watched(clients, lambda _service, operation: pages.append(operation)), stack).resources
    assert len(found) == 60


def test_a_type_that_aws_does_not_list_is_said_and_the_others_are_found(clients: Clients, stack: str) -> None:
    Builder(clients, stack, f"tandem-{stack}").network()

    def denied(service: str, operation: str) -> None:
        if service == "budgets":
            denial = {"Error": {"Code": "AccessDeniedException", "Message": "not you"}}
            raise ClientError(denial, operation)  # pyright: ignore[reportArgumentType]

    found = find(watched(clients, denied), stack)
    assert [(problem.key, problem.wrong) for problem in found.unreadable] == [
        (types.BUDGET, "these credentials may not do describe_budgets")
    ]
    assert {resource.type for resource in found.resources} >= {types.VPC, types.SUBNET}


def test_a_secret_that_is_already_scheduled_for_deletion_is_not_named(clients: Clients, stack: str) -> None:
    arn = clients("secretsmanager").create_secret(
        Name=stack, SecretString="{}", Tags=Builder(clients, stack, "x").tags
    )["ARN"]
    assert [resource.id for resource in find(clients, stack).resources] == [arn]
    clients("secretsmanager").delete_secret(SecretId=arn, RecoveryWindowInDays=7)
    assert find(clients, stack).resources == []


@pytest.mark.parametrize(
    ("resource", "key"),
    [
        ({"type": types.VPC, "id": "vpc-1", "outputs": {}}, (types.VPC, "vpc-1")),
        (
            {
                "type": types.ROUTE,
                "id": "r-rtb-11080289494",
                "outputs": {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"},
            },
            (types.ROUTE, "rtb-1_0.0.0.0/0"),
        ),
        ({"type": "pulumi:pulumi:Stack", "urn": "urn:x"}, ("pulumi:pulumi:Stack", "")),
    ],
)
def test_a_resource_of_the_state_has_the_key_by_which_it_is_found(resource: dict, key: tuple[str, str]) -> None:
    assert state_key(resource) == key


def test_every_row_waits_only_for_types_that_have_a_row() -> None:
    assert {other for kind in KINDS.values() for other in (*kind.after, *filter(None, [kind.parent]))} <= set(KINDS)
