"""Scenes where something is somebody else's, or does not say whose it is: boto3 sees the same after as before."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import jmespath
import pytest
from typer.testing import CliRunner, Result

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import type_tokens as types
from tandem.ops import inventory, options
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.kinds.kind import Clients
from tests.ops.account import REGION, Builder

PAST, COMING = "2020-01-01T00:00:00", "2100-01-01T00:00:00"
TWICE = "two lives of this name"


class World:
    """An account with a backend: `pulumi` on PATH is a double, whose state is a file and whose calls are a log."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clients: Clients = aws_clients(REGION)

    def stack(self, name: str, label: str, *, ephemeral: bool = True, expires: str | None = COMING) -> Builder:
        """Network, storage, roles, fleet and load balancer of one life."""
        made = Builder(self.clients, name, f"tandem-{name}-{label}", ephemeral=ephemeral, expires=expires)
        made.network()
        made.support()
        made.serving()
        return made

    def state(self, of: Builder | None, pending: list[dict[str, Any]] | None = None) -> None:
        own = {
            "urn": "urn:pulumi:dev::tandem::tandem:index:StackIdentity$random:index/randomId:RandomId::id",
            "type": "random:index/randomId:RandomId",
            "outputs": {"hex": of.stack_id if of else ""},
        }
        name = f"/tandem/{of.stack}/{of.stack_id}" if of else ""
        arn = f"arn:aws:ssm:{REGION}:123456789012:parameter{name}"
        urn = "urn:pulumi:dev::tandem::parameter"
        holder = {"urn": urn, "type": types.PARAMETER, "id": name, "outputs": {"arn": arn}}
        found = {"resources": [own, holder] if of else [], "pending_operations": pending or []}
        (self.directory / "state.json").write_text(json.dumps({"version": 3, "deployment": found}))

    def file(self, stack: str, *, ephemeral: bool = True) -> None:
        text = f"config:\n  tandem:region: {REGION}\n  tandem:ephemeral: {str(ephemeral).lower()}\n"
        guard = "  tandem:costGuard:\n    expiresAfter: 4h\n" if ephemeral else ""
        (self.directory / f"Pulumi.{stack}.yaml").write_text(text + guard)

    def seen(self) -> dict[str, Any]:
        """What boto3 lists, whoever it belongs to."""
        return {
            f"{service}.{operation}": _listed(self.clients(service), operation, path)
            for service, operation, path in LISTS
        }

    def log(self) -> str:
        path = self.directory / "log"
        return path.read_text() if path.exists() else ""


LISTS = (
    ("ec2", "describe_vpcs", "Vpcs[].VpcId"),
    ("ec2", "describe_subnets", "Subnets[].SubnetId"),
    ("ec2", "describe_security_groups", "SecurityGroups[].GroupId"),
    ("ec2", "describe_security_group_rules", "SecurityGroupRules[].SecurityGroupRuleId"),
    ("ec2", "describe_instances", "Reservations[].Instances[].[InstanceId, State.Name]"),
    ("ec2", "describe_nat_gateways", "NatGateways[].[NatGatewayId, State]"),
    ("efs", "describe_file_systems", "FileSystems[].FileSystemId"),
    ("elbv2", "describe_load_balancers", "LoadBalancers[].LoadBalancerArn"),
    ("elbv2", "describe_target_groups", "TargetGroups[].TargetGroupArn"),
    ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups[].[AutoScalingGroupName, MinSize, MaxSize]"),
    ("iam", "list_roles", "Roles[].RoleName"),
    ("s3", "list_buckets", "Buckets[].Name"),
    ("secretsmanager", "list_secrets", "SecretList[].[ARN, DeletedDate]"),
    ("ssm", "describe_parameters", "Parameters[].Name"),
    ("sns", "list_topics", "Topics[].TopicArn"),
    ("logs", "describe_log_groups", "logGroups[].logGroupName"),
    ("scheduler", "list_schedules", "Schedules[].[GroupName, Name]"),
    ("wafv2", "list_web_acls", "WebACLs[].Id"),
    ("acm", "list_certificates", "CertificateSummaryList[].CertificateArn"),
)


def _listed(client: Any, operation: str, path: str) -> list[str]:
    arguments = {"Scope": "REGIONAL"} if operation == "list_web_acls" else {}
    pages = (
        client.get_paginator(operation).paginate(**arguments)
        if client.can_paginate(operation)
        else [getattr(client, operation)(**arguments)]
    )
    return sorted(map(str, (item for page in pages for item in jmespath.search(path, page) or ())))


@pytest.fixture
def world(aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    del aws_account
    double = tmp_path / "pulumi"
    double.write_text(
        dedent(
            f"""\
            #!{sys.executable}
            import pathlib, shutil, sys
            here = pathlib.Path(__file__).parent
            with (here / "log").open("a") as log:
                print(*sys.argv[1:], file=log)
            match sys.argv[1:]:
                case ["config", "get", *_]:
                    print("{REGION}")
                case ["stack", "export", *_]:
                    print((here / "state.json").read_text())
                case ["stack", "import", "--file", file, *_]:
                    shutil.copy(file, here / "state.json")
                case ["stack", "--show-name", *_] if not (here / "state.json").exists():
                    sys.exit("error: no stack named x found")
            """
        )
    )
    double.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(options, "PROJECT", tmp_path)
    return World(tmp_path)


def run(*command: str) -> Result:
    return CliRunner().invoke(app, list(command), env={"COLUMNS": "250"})


def pending(*types_: str) -> list[dict[str, Any]]:
    return [{"type": "creating", "resource": {"urn": f"urn:{one}", "type": one, "inputs": {}}} for one in types_]


EVERY = (
    types.VPC,
    types.GROUP,
    types.LOAD_BALANCER,
    types.FILE_SYSTEM,
    types.SECRET,
    types.ROLE,
    types.TOPIC,
)
Scene = Callable[[World], tuple[tuple[str, ...], str]]
"""Prepares an account; returns the command, and what it has to say."""


def empty_state(world: World) -> tuple[tuple[str, ...], str]:
    world.stack("dev", "theirs")
    world.state(None)
    return ("recover", "dev", "--yes"), "it belongs to another life of the stack"


def empty_state_with_all_of_it_under_way(world: World) -> tuple[tuple[str, ...], str]:
    world.stack("dev", "theirs")
    world.state(None, pending(*EVERY))
    return ("recover", "dev", "--yes"), "it belongs to another life of the stack"


def foreign_ids_of_what_was_under_way(world: World) -> tuple[tuple[str, ...], str]:
    theirs = world.stack("dev", "theirs")
    world.state(Builder(world.clients, "dev", "own"), pending(*EVERY))
    return ("recover", "dev", "--yes"), f"it belongs to another life of the stack ({theirs.stack_id})"


def own_and_nothing_under_way(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("dev", "own"))
    return ("recover", "dev", "--yes"), "was not under way"


def forged_group(world: World) -> tuple[tuple[str, ...], str]:
    prod = world.stack("prod", "own", ephemeral=False, expires=None)
    world.clients("scheduler").delete_schedule_group(Name=prod.name)  # one without an expiry has none
    forged = Builder(world.clients, "prod", "forged", {**prod.tag_map, "tandem:ephemeral": "true"}, expires=PAST)
    forged.schedules()
    return ("reap", "--yes", "--region", REGION), "nothing has expired"


def forged_parameter_of_production(world: World) -> tuple[tuple[str, ...], str]:
    prod = world.stack("prod", "own", ephemeral=False, expires=None)
    name = f"/tandem/prod/{prod.stack_id}"
    marks = {"tandem:ephemeral": "true", "tandem:expires-at": f"{PAST}Z"}
    world.clients("ssm").add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=_tags(marks))
    return ("reap", "--yes", "--region", REGION), "and not all of it is ephemeral"


def forged_parameter_of_a_running_stack(world: World) -> tuple[tuple[str, ...], str]:
    dev = world.stack("dev", "own")
    tags = _tags({**dev.tag_map, "tandem:expires-at": f"{PAST}Z"})
    world.clients("ssm").put_parameter(Name="/tandem/dev/forged", Type="String", Value="x", Tags=tags)
    return ("reap", "--yes", "--region", REGION), "runs until 2100"


def production_with_an_expiry(world: World) -> tuple[tuple[str, ...], str]:
    world.stack("prod", "own", ephemeral=False, expires=PAST)
    return ("reap", "--yes", "--region", REGION), "is not ephemeral"


def missing_tag_on_one(world: World) -> tuple[tuple[str, ...], str]:
    dev = world.stack("dev", "own", expires=PAST)
    world.clients("ec2").delete_tags(Resources=[dev.vpc], Tags=[{"Key": "tandem:ephemeral"}])
    return (
        "reap",
        "--yes",
        "--region",
        REGION,
    ), f"{types.VPC} {dev.vpc} does not carry tandem:ephemeral: true"


def missing_id_on_one(world: World) -> tuple[tuple[str, ...], str]:
    dev = world.stack("dev", "own", expires=PAST)
    world.clients("ec2").delete_tags(Resources=[dev.vpc], Tags=[{"Key": "tandem:stack-id"}])
    return (
        "reap",
        "--yes",
        "--region",
        REGION,
    ), f"{types.VPC} {dev.vpc} carries the name of dev and no tandem:stack-id"


def missing_file(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("prod", "own", ephemeral=False))
    return ("ephemeral", "down", "prod", "--yes", "--region", REGION), "there is no file of this stack here"


def missing_file_by_tags(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("prod", "own", ephemeral=False))
    return ("ephemeral", "down", "prod", "--yes", "--by-tags", "--region", REGION), "does not carry tandem:ephemeral"


def a_file_that_says_more_than_the_account(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("prod", "own", ephemeral=False))
    world.file("prod")
    return ("ephemeral", "down", "prod", "--yes"), "so nothing of prod is removed"


def missing_tag_and_down(world: World) -> tuple[tuple[str, ...], str]:
    dev = world.stack("dev", "own")
    world.state(dev)
    world.file("dev")
    world.clients("ec2").delete_tags(Resources=[dev.vpc], Tags=[{"Key": "tandem:ephemeral"}])
    return ("ephemeral", "down", "dev", "--yes"), "so nothing of dev is removed"


def two_states_and_no_word_which(world: World) -> tuple[tuple[str, ...], str]:
    world.stack("dev", "own")
    world.stack("dev", "theirs")
    return ("ephemeral", "down", "dev", "--yes", "--by-tags", "--region", REGION), TWICE


def empty_state_and_down(world: World) -> tuple[tuple[str, ...], str]:
    world.stack("dev", "theirs")
    world.state(None)
    world.file("dev")
    return ("ephemeral", "down", "dev", "--yes"), "no state here tells of the life"


def another_region_and_down(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("dev", "own"))
    world.file("dev")
    return ("ephemeral", "down", "dev", "--yes", "--region", "eu-west-1"), f"allowed: 123456789012 in {REGION}"


def another_account_and_down(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("dev", "own"))
    world.file("dev")
    state = (world.directory / "state.json").read_text()
    (world.directory / "state.json").write_text(state.replace(":123456789012:", ":210987654321:"))
    return ("ephemeral", "down", "dev", "--yes"), f"allowed: 210987654321 in {REGION}"


def another_region_and_recover(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("dev", "own"), pending(*EVERY))
    return ("recover", "dev", "--yes", "--region", "eu-west-1"), f"allowed: 123456789012 in {REGION}"


def another_account_and_recover(world: World) -> tuple[tuple[str, ...], str]:
    world.state(world.stack("dev", "own"), pending(*EVERY))
    state = (world.directory / "state.json").read_text()
    (world.directory / "state.json").write_text(state.replace(":123456789012:", ":210987654321:"))
    return ("recover", "dev", "--yes"), f"allowed: 210987654321 in {REGION}"


def another_region_and_recover_before_anything_was_made(world: World) -> tuple[tuple[str, ...], str]:
    """Killed while it made what holds the name: the state tells of a region only."""
    own = world.stack("dev", "own")
    world.state(own, pending(types.PARAMETER))
    state = json.loads((world.directory / "state.json").read_text())
    provider = {"urn": "urn:provider", "type": "pulumi:providers:aws", "inputs": {"region": REGION}}
    state["deployment"]["resources"][1:] = [provider]
    (world.directory / "state.json").write_text(json.dumps(state))
    return ("recover", "dev", "--yes", "--region", "eu-west-1"), f"allowed: its account in {REGION}"


def state_from_before_and_down(world: World) -> tuple[tuple[str, ...], str]:
    world.stack("dev", "theirs")
    vpc = {"urn": "urn:v", "type": types.VPC, "id": "vpc-1"}
    (world.directory / "state.json").write_text(json.dumps({"deployment": {"resources": [vpc]}}))
    world.file("dev")
    return ("ephemeral", "down", "dev", "--yes"), "its state is from before stacks had an id"


def region_remove_of_what_is_protected(world: World) -> tuple[tuple[str, ...], str]:
    prod = world.stack("prod", "own", ephemeral=False, expires=None)
    world.state(prod)
    world.file("prod", ephemeral=False)
    state = json.loads((world.directory / "state.json").read_text())
    cache = {"urn": "urn:pulumi:prod::tandem::aws:efs/fileSystem:FileSystem::cache", "type": "x", "protect": True}
    state["deployment"]["resources"].append(cache)
    (world.directory / "state.json").write_text(json.dumps(state))
    return ("region", "remove", "prod", "--yes"), "`pulumi state unprotect --all --stack prod`"


def region_remove_of_another_states(world: World) -> tuple[tuple[str, ...], str]:
    world.stack("dev", "theirs")
    world.file("dev")
    return ("region", "remove", "dev", "--yes"), "Pulumi's backend does not know this stack"


UNTOUCHED: Mapping[str, Scene] = {
    scene.__name__: scene
    for scene in (
        empty_state,
        empty_state_with_all_of_it_under_way,
        foreign_ids_of_what_was_under_way,
        own_and_nothing_under_way,
        forged_group,
        forged_parameter_of_production,
        forged_parameter_of_a_running_stack,
        production_with_an_expiry,
        missing_tag_on_one,
        missing_id_on_one,
        missing_file,
        missing_file_by_tags,
        a_file_that_says_more_than_the_account,
        missing_tag_and_down,
        two_states_and_no_word_which,
        empty_state_and_down,
        another_region_and_down,
        another_account_and_down,
        another_region_and_recover,
        another_account_and_recover,
        another_region_and_recover_before_anything_was_made,
        state_from_before_and_down,
        region_remove_of_what_is_protected,
        region_remove_of_another_states,
    )
}


@pytest.mark.parametrize("command", ["status", "audit", "doctor"])
@pytest.mark.parametrize("state", ["own", "empty", "none"])
def test_looking_tells_this_states_from_another_lifes(world: World, command: str, state: str) -> None:
    """Two lives of one name: with its own state, one that has made nothing, and where no state can be asked."""
    own, theirs = (world.stack("dev", label, expires=when) for label, when in (("own", COMING), ("theirs", PAST)))
    world.file("dev")
    if state == "none":
        (world.directory / "pulumi").write_text("#!/bin/sh\necho 'error: no credentials' >&2; exit 255\n")
    else:
        world.state(own if state == "own" else None)
    before = world.seen()
    found = json.loads(run(*LOOKS[command]).stdout)
    assert world.seen() == before
    ids = {own.stack_id, theirs.stack_id}
    match command:
        case "status" if state == "none":
            assert "two lives of this name" in found["servers"]["unknown"]
            assert set(found["otherLives"]) == ids
        case "status":
            assert set(found["otherLives"]) == ids - ({own.stack_id} if state == "own" else set())
            assert found["servers"].get("name") == (own.name if state == "own" else None)
            assert found["expiresAt"] == (f"{COMING}Z" if state == "own" else "never")
        case "audit":
            left = {one["stackId"] for one in found["regions"][REGION]["leftovers"]}
            others = {one["why"] for one in found["regions"][REGION]["ofOtherLives"]}
            assert left - {""} == {"own": {own.stack_id}, "empty": set(), "none": ids}[state]
            foreign = {"own": {theirs.stack_id}, "empty": ids, "none": set()}[state]
            assert others == {f"belongs to another life {id} of the name dev" for id in foreign}
        case _:
            (said,) = [one for one in found["findings"] if one["check"] == "stack's name"]
            assert said["severity"] == {"own": "error", "empty": "error", "none": "unknown"}[state]
            taken = "the name is taken in this account and region by another state"
            assert (taken in said["what"]) is (state != "none")
            assert (theirs.stack_id in said["value"], own.stack_id in said["value"]) == (True, state != "own")


def test_what_is_left_of_a_life_that_is_over_is_left_over_whoever_made_it(world: World) -> None:
    gone = world.stack("dev", "gone")
    world.clients("ssm").delete_parameter(Name=f"/tandem/dev/{gone.stack_id}")
    world.state(None)
    result = run("audit", "dev", "--region", REGION, "--json")
    (region,) = json.loads(result.stdout)["regions"].values()
    assert region["ofOtherLives"] == []
    assert {one["stackId"] for one in region["leftovers"]} - {""} == {gone.stack_id}
    assert result.exit_code == 1


LOOKS = {
    "status": ("status", "dev", "--no-probe", "--json"),
    "audit": ("audit", "dev", "--region", REGION, "--json"),
    "doctor": ("doctor", "dev", "--json"),
}


def _tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


@pytest.mark.parametrize("name", UNTOUCHED)
def test_nothing_is_touched(world: World, name: str) -> None:
    command, says = UNTOUCHED[name](world)
    before = world.seen()
    assert len(before["ec2.describe_vpcs"]) >= 1
    result = run(*command)
    assert world.seen() == before
    assert not any(word in world.log() for word in ("destroy", "stack rm"))
    assert says in result.output + str(result.exception)


@pytest.mark.parametrize(
    "command",
    [
        ("ephemeral", "up", "--no-wait"),
        ("ephemeral", "up", "--no-wait", "--name", "eph-1"),
        ("ephemeral", "extend", "eph-1", "--ttl", "9h"),
        ("ephemeral", "down", "eph-1", "--yes"),
        ("region", "add", "eu-west-1", "--from", "eph-1", "--yes"),
        ("region", "remove", "eph-1", "--yes"),
    ],
    ids=" ".join,
)
def test_outside_of_a_project_no_stack_of_the_installed_one_is_changed(
    world: World, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.state(world.stack("eph-1", "own"))
    world.file("eph-1")
    monkeypatch.setattr(options, "HERE", None)
    before, files = world.seen(), sorted(world.directory.iterdir())
    result = run(*command)
    assert "a stack is changed in its project, and this directory is in none" in str(result.exception)
    assert (world.seen(), sorted(world.directory.iterdir()), world.log()) == (before, files, "")


def test_outside_of_a_project_a_life_goes_by_its_tags_and_the_installed_ones_file_stays(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.stack("eph-1", "own")
    world.file("eph-1")
    file = world.directory / "Pulumi.eph-1.yaml"
    file.write_text("# Made by `tandem ephemeral up` from dev.\n" + file.read_text())
    monkeypatch.setattr(options, "HERE", None)
    assert run("ephemeral", "down", "eph-1", "--yes", "--by-tags").exit_code == 0
    assert inventory.find(world.clients, "eph-1").resources == []
    assert file.exists()


@pytest.mark.parametrize("command", ["down", "down by tags", "reap"])
def test_of_two_states_of_one_name_one_goes_and_the_other_stays(world: World, command: str) -> None:
    own = world.stack("dev", "own", expires=PAST)
    theirs = world.stack("dev", "theirs")
    world.state(own)
    world.file("dev")
    result = {
        "down": lambda: run("ephemeral", "down", "dev", "--yes"),
        "down by tags": lambda: run("ephemeral", "down", "dev", "--yes", "--by-tags", "--stack-id", own.stack_id),
        "reap": lambda: run("reap", "--yes", "--region", REGION),
    }[command]()
    assert result.exit_code == 0, result.output + str(result.exception)
    assert theirs.stack_id in result.output
    left = inventory.find(world.clients, "dev").resources
    assert {one.stack_id for one in left} == {theirs.stack_id}
    assert sorted(one.key for one in left) == sorted(theirs.made)


def test_what_was_under_way_goes_and_the_other_states_same_stays(world: World) -> None:
    own, theirs = (Builder(world.clients, "dev", f"tandem-dev-{label}") for label in ("own", "theirs"))
    for one in (own, theirs):
        one.network()
    world.state(own, pending(types.ENDPOINT))
    result = run("recover", "dev", "--yes")
    assert result.exit_code == 0, result.output
    left = {one.key for one in inventory.find(world.clients, "dev").resources}
    assert {*own.made, *theirs.made} - left == {made for made in own.made if made[0] == types.ENDPOINT}
