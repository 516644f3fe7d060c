"""Expired stacks go with all they have, found by tags; nothing else goes, however often and whenever it is cut off."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError
from typer.testing import CliRunner

from pulumi_rehearsal import engine
from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.scene import set_the_scene
from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import inventory
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.kinds.kind import Clients
from tandem.ops.lives import lives
from tandem.ops.reap import Plan, plan, reap
from tandem.ops.removal import Left
from tests.ops.account import REGION, Builder, Killed, at_once, id_of, killing, tags_of, watched

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAST = "2026-03-02T11:59:00"
COMING = "2026-03-02T12:01:00"


@pytest.fixture(scope="module")
def clients(moto_server: SimulatedAccount) -> Clients:
    """One account for all of these tests, each with stacks of its own."""
    moto_server.reset()
    return lambda service: moto_server.client(service, REGION)


@pytest.fixture
def stack() -> str:
    return f"t{uuid.uuid4().hex[:6]}"


def make(clients: Clients, stack: str, expires: str = PAST, ephemeral: bool = True) -> Builder:
    return Builder(clients, stack, f"tandem-{stack}", expires=expires, ephemeral=ephemeral).everything()


def planned(clients: Clients, stack: str) -> Plan:
    """The part of a plan that concerns one test's stacks."""
    found = plan(clients, NOW)
    return Plan(
        [expired for expired in found.expired if expired.life.stack.startswith(stack)],
        [item for item in found.untouched if stack in item.what],
    )


def run(clients: Clients, stack: str, found: Plan | None = None) -> list[Left]:
    """One run of the command's work."""
    expired = (found or planned(clients, stack)).expired
    return [item for one in expired for item in reap(clients, one, NOW, sleep=at_once, deadline_seconds=0)]


def left_of(clients: Clients, stack: str) -> list[tuple[str, str]]:
    return [resource.key for resource in inventory.find(clients, stack).resources]


def test_an_expired_stack_goes_and_all_others_stay(clients: Clients, stack: str) -> None:
    gone = make(clients, stack)
    staying = {
        f"{stack}-runs": make(clients, f"{stack}-runs", expires=COMING),
        f"{stack}-prod": make(clients, f"{stack}-prod", ephemeral=False),
    }
    unscheduled = Builder(clients, f"{stack}-new", f"tandem-{stack}-new")
    unscheduled.network()
    foreign = Builder(clients, stack, f"tandem-{stack}-copy", tags_of(stack, "other"), expires=PAST, ephemeral=True)
    foreign.everything()
    found = planned(clients, stack)
    assert [(one.life.stack, sorted(item.key for item in one.resources)) for one in found.expired] == [
        (stack, sorted(gone.made))
    ]
    assert [(item.what.removeprefix(f"stack {stack}"), item.why) for item in found.untouched] == [
        (
            f"-new ({unscheduled.stack_id})",
            "nothing in the account says when it ends; `pulumi destroy`, or `tandem ephemeral down`, removes it",
        ),
        (
            f"-prod ({staying[f'{stack}-prod'].stack_id})",
            "expired at 2026-03-02 11:59Z and is not ephemeral: its hosts have stopped, its data stays until "
            "`pulumi destroy`",
        ),
        (f"-runs ({staying[f'{stack}-runs'].stack_id})", "runs until 2026-03-02 12:01Z"),
    ]
    assert run(clients, stack, found) == []
    assert left_of(clients, stack) == []
    for name, builder in staying.items():
        assert sorted(left_of(clients, name)) == sorted(builder.made)
    assert sorted(left_of(clients, f"{stack}-new")) == sorted(unscheduled.made)
    assert clients("iam").get_role(RoleName=f"tandem-{stack}-copy-host")["Role"]
    assert clients("ec2").describe_vpcs(VpcIds=[foreign.vpc])["Vpcs"]


def test_a_plan_changes_nothing(clients: Clients, stack: str) -> None:
    make(clients, stack)
    calls: list[str] = []
    plan(watched(clients, lambda _service, operation: calls.append(operation)), NOW)
    assert calls
    assert {call.split("_")[0] for call in calls} <= {"describe", "get", "list"}


def test_what_hangs_on_an_expired_stack_without_its_tags_is_left_and_named(clients: Clients, stack: str) -> None:
    dev = make(clients, stack)
    by_hand = clients("ec2").create_subnet(VpcId=dev.vpc, CidrBlock="10.9.99.0/24")["Subnet"]["SubnetId"]
    queue = clients("sqs").create_queue(QueueName=stack, tags=dev.tag_map)["QueueUrl"]
    (expired,) = planned(clients, stack).expired
    assert {(item.what.split()[1].rpartition(":")[2], item.why) for item in expired.untouched} >= {
        (by_hand, f"is in {dev.vpc}, the network of {stack}"),
        (stack, "tandem does not know how to remove this type"),
    }
    left = {item.resource.type: item.reason.split(":")[0] for item in run(clients, stack)}
    assert left == {types.VPC: "DependencyViolation", "sqs": "tandem does not know how to remove this type"}
    assert (types.PARAMETER, f"/tandem/{stack}/{dev.stack_id}") in left_of(clients, stack), (
        "what tells its end goes last"
    )
    clients("ec2").delete_subnet(SubnetId=by_hand)
    clients("sqs").delete_queue(QueueUrl=queue)
    assert run(clients, stack) == []
    assert left_of(clients, stack) == []


@pytest.mark.long
def test_killed_after_each_call_in_turn_and_run_again_it_leaves_nothing(clients: Clients, stack: str) -> None:
    """Every run plans anew from the account; the first dies after one call, and each after as many as got it on."""
    make(clients, stack)
    kills, calls, before = 0, 1, []
    while found := left_of(clients, stack):
        calls = calls + 1 if found == before else 1
        before = found
        assert planned(clients, stack).expired, f"nobody would ever remove {found}"
        try:
            assert run(killing(clients, after=calls), stack) == []
        except Killed:
            kills += 1
            assert kills < 100, found
    assert kills >= 35


def test_two_at_once_leave_nothing_and_see_no_error(clients: Clients, stack: str) -> None:
    make(clients, stack)
    start, results, errors = threading.Barrier(2), [], []

    def one() -> None:
        try:
            start.wait()
            results.append(run(clients, stack))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (errors, results) == ([], [[], []])
    assert left_of(clients, stack) == []


def test_a_stack_that_is_extended_after_the_plan_stays(clients: Clients, stack: str) -> None:
    dev = make(clients, stack)
    found = planned(clients, stack)
    clients("ssm").add_tags_to_resource(
        ResourceType="Parameter",
        ResourceId=f"/tandem/{stack}/{dev.stack_id}",
        Tags=[{"Key": "tandem:expires-at", "Value": f"{COMING}Z"}],
    )
    assert [item.reason for item in run(clients, stack, found)] == ["the stack was extended meanwhile"]
    assert sorted(left_of(clients, stack)) == sorted(dev.made)


def test_nothing_is_removed_while_something_cannot_be_listed(clients: Clients, stack: str) -> None:
    make(clients, stack)

    def denied(service: str, operation: str) -> None:
        if service == "efs":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)  # pyright: ignore[reportArgumentType]

    with pytest.raises(UserError, match="these credentials may not do describe_file_systems"):
        plan(watched(clients, denied), NOW)


def test_the_command_shows_then_removes_in_every_region_given(aws_account: AccountGaps, stack: str) -> None:
    for region in ("us-east-1", "eu-west-1"):
        Builder(aws_clients(region), stack, f"tandem-{stack}-{region}", expires=PAST, ephemeral=True).parameter()
    asked = ["reap", "--region", "us-east-1", "--region", "eu-west-1"]
    shown = CliRunner().invoke(app, asked, env={"COLUMNS": "250"})
    assert shown.exit_code == 1
    own = id_of(f"tandem-{stack}-us-east-1")
    assert f"us-east-1: stack {stack} ({own}) expired at 2026-03-02 11:59Z:\n  remove 1 " in shown.stdout
    assert f"eu-west-1: stack {stack} (" in shown.stdout
    assert "To remove them: the same command with --yes." in shown.stdout
    assert len(lives(aws_clients("eu-west-1"), stack)) == 1

    done = CliRunner().invoke(app, [*asked, "--yes"], env={"COLUMNS": "250"})
    assert done.exit_code == 0, done.output
    assert lives(aws_clients("us-east-1"), stack) == lives(aws_clients("eu-west-1"), stack) == []
    again = json.loads(CliRunner().invoke(app, [*asked, "--yes", "--json"]).stdout)
    assert again["regions"]["eu-west-1"] == {"expired": [], "untouched": [], "left": []}


@pytest.mark.engine
def test_a_stack_of_the_program_goes_though_its_state_is_lost(moto_server: SimulatedAccount) -> None:
    moto_server.reset()
    built = engine.ensure(lambda _line: None)
    with set_the_scene("dev", built, moto_server) as scene:
        assert scene.workspace.up().succeeded
        for path in (scene.workspace.directory / "state").rglob("*"):
            if path.is_file():
                path.unlink()
        early = plan(scene.clients, datetime.now(UTC))
        assert early.expired == []
        assert [item.what.partition(" (")[0] for item in early.untouched] == ["stack dev"]
        later = datetime.now(UTC) + timedelta(hours=4)
        (expired,) = plan(scene.clients, later).expired
        assert len(expired.resources) > 40
        assert reap(scene.clients, expired, later, sleep=at_once) == []
        assert inventory.find(scene.clients, None).resources == []


def test_the_example_workflow_runs_this_command() -> None:
    path = Path(__file__).parents[2] / "examples/reap.yml"
    steps: list[dict[str, Any]] = yaml.safe_load(path.read_text())["jobs"]["reap"]["steps"]
    command = steps[-1]["run"].partition("tandem ")[2].split()
    assert command[:2] == ["reap", "--yes"]
    result = CliRunner().invoke(app, [command[0], "--help"])
    assert all(word in result.stdout for word in command if word.startswith("--"))
