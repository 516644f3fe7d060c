"""Ephemeral stacks: their files, how long they live, the wait for a token; and the whole life on the real engine."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from pulumi_rehearsal import engine
from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.account import account_gaps
from rehearsal.scene import set_the_scene
from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import ephemeral, inventory, options
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.ephemeral import draft, extended, life, wait_for_token
from tandem.ops.kinds import KINDS
from tandem.ops.kinds.kind import Scope
from tandem.ops.lives import lives
from tandem.ops.status import Status, Unknown
from tests.ops.test_status import FLEET, STATUS

DEV = options.PROJECT / "Pulumi.dev.yaml"


def written(tmp_path: Path, **config: Any) -> Path:
    path = tmp_path / "Pulumi.own.yaml"
    path.write_text(yaml.safe_dump({"config": {f"tandem:{key}": value for key, value in config.items()}}))
    return path


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_file_is_devs_with_a_life_and_a_cap_of_its_own() -> None:
    made = draft(DEV, "90m", 12.5)
    before = yaml.safe_load(DEV.read_text())["config"]
    expected = {**before, "tandem:costGuard": {"expiresAfter": "90m", "maxUsd": 12.5, "idleAfter": "60m"}}
    assert made.config == {**expected, "tandem:loadBalancer": {"deletionProtection": False}}
    assert (made.settings.ephemeral, life(made.settings)) == (True, timedelta(minutes=90))
    assert yaml.safe_load(made.text("why"))["config"] == made.config


def test_what_belongs_to_one_stack_alone_is_left_behind_and_said(tmp_path: Path) -> None:
    source = written(
        tmp_path,
        region="us-east-1",
        ephemeral=False,
        loadBalancer={"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC", "deletionProtection": True},
        costGuard={"expiresAt": "2027-01-01T00:00:00Z"},
    )
    made = draft(source, "4h", 30)
    assert made.config["tandem:loadBalancer"] == {"deletionProtection": False}
    assert made.settings.ephemeral
    assert made.dropped == (
        [
            "loadBalancer.domainName: llm.example.com",
            "loadBalancer.hostedZoneId: Z0123456789ABC",
            "costGuard.expiresAt: 2027-01-01T00:00:00Z",
        ]
    )


def test_secrets_are_left_for_the_engine_to_copy(tmp_path: Path) -> None:
    source = written(tmp_path, region="us-east-1", huggingFaceToken={"secure": "v1:x"})
    assert "v1:" not in draft(source, "4h", 30).text("why")


def test_another_model_comes_without_the_old_ones_parsers() -> None:
    made = draft(DEV, "4h", 30, model="Qwen/Qwen3-4B")
    assert made.config["tandem:inference"] == {"model": "Qwen/Qwen3-4B", "maxModelLen": 32768}


def test_a_model_that_does_not_fit_is_refused_before_anything_is_written() -> None:
    with pytest.raises(UserError, match="inference"):
        draft(DEV, "4h", 30, model="Qwen/Qwen3-32B")


def test_another_region_comes_without_the_old_ones_zones(tmp_path: Path) -> None:
    source = written(tmp_path, region="us-east-1", network={"zones": ["us-east-1a", "us-east-1b"]})
    made = draft(source, "4h", 30, region="eu-west-1")
    assert made.settings.zones == ("eu-west-1a", "eu-west-1b")


@pytest.mark.parametrize(("ttl", "usd", "key"), [("5m", 30, "costGuard.expiresAfter"), ("4h", 1, "costGuard.maxUsd")])
def test_a_life_that_makes_no_token_is_refused(ttl: str, usd: float, key: str) -> None:
    with pytest.raises(UserError) as refused:
        draft(DEV, ttl, usd)
    assert [problem.key for problem in refused.value.problems] == [key]


def test_names_are_random_and_fit() -> None:
    names = {ephemeral.random_name() for _ in range(200)}
    assert len(names) > 195
    assert all(len(name) == 10 and name.startswith("eph-") for name in names)


# -- longer ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "Pulumi.eph-1.yaml"
    path.write_text("encryptionsalt: v1:salt\n" + draft(DEV, "4h", 40).text("made"))
    return path


def test_a_longer_life_counts_from_the_first_up_and_keeps_the_rest_of_the_file(own: Path) -> None:
    made = extended(own, "5h", None)
    assert life(made.settings) == timedelta(hours=5)
    own.write_text(made.text("extended"))
    document = yaml.safe_load(own.read_text())
    assert document["encryptionsalt"] == "v1:salt"
    assert document["config"]["tandem:costGuard"] == {"expiresAfter": "5h", "maxUsd": 40, "idleAfter": "60m"}
    assert extended(own, "5h", None).config == made.config, "asked again, it is the same"


@pytest.mark.parametrize(
    ("ttl", "usd", "key"),
    [("3h", None, "--ttl"), ("9h", None, ""), (None, 60.0, "--ttl"), (None, 20.0, "--max-usd")],
    ids=["shorter", "up to the cap", "a cap that does not bind", "a smaller cap"],
)
def test_what_would_not_live_longer_is_refused(own: Path, ttl: str | None, usd: float | None, key: str) -> None:
    if not key:
        assert life(extended(own, ttl, usd).settings) == timedelta(hours=6, minutes=29), "the cap ends it then"
        return
    with pytest.raises(UserError) as refused:
        extended(own, ttl, usd)
    (problem,) = refused.value.problems
    assert problem.key == key
    assert "4.0 h from its first `up`" in problem.allowed


def test_a_stack_that_is_not_ephemeral_is_not_touched() -> None:
    with pytest.raises(UserError, match="is not an ephemeral stack"):
        extended(options.PROJECT / "Pulumi.prod.yaml", "5h", None)
    result = CliRunner().invoke(app, ["ephemeral", "down", "prod", "--yes"])
    assert "is not an ephemeral stack" in str(result.exception)


# -- the first token ---------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wait(self, look: Callable[[], Status], deadline: float) -> tuple[Status | None, int]:
        told: list[Status] = []
        found = wait_for_token(
            look, told.append, deadline_seconds=deadline, clock=lambda: self.now, sleep=self.sleep, poll_seconds=20
        )
        return found, len(told)


NONE_YET = replace(STATUS, last_token=Unknown("none yet"))


def test_the_wait_ends_with_the_first_token() -> None:
    clock = Clock()
    found, told = clock.wait(lambda: STATUS if clock.now >= 60 else NONE_YET, deadline=600)
    assert (found, told, clock.now) == (STATUS, 3, 60)


def test_the_wait_ends_at_its_deadline() -> None:
    clock = Clock()
    assert clock.wait(lambda: NONE_YET, deadline=100) == (None, 6)
    assert clock.now <= 100


def test_the_wait_ends_when_the_fleet_was_stopped() -> None:
    stopped = replace(NONE_YET, servers=replace(FLEET, minimum=0, desired=0, maximum=0))
    assert Clock().wait(lambda: stopped, deadline=600) == (None, 1)


# -- the commands ------------------------------------------------------------------------------------------------------


def test_an_unknown_stack_is_said() -> None:
    for command in (["extend", "eph-none", "--ttl", "5h"], ["up", "--name", "eph-none"]):
        result = CliRunner().invoke(app, ["ephemeral", *command])
        assert "there is no file of this stack here" in str(result.exception)


def played_pulumi(directory: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> Callable[[], list[str]]:
    """A project in a directory, and a `pulumi` that has an empty state and does nothing; returns what tells its calls.

    Stands for: the `pulumi` command.
    Held by: tests/ops/test_ephemeral.py::test_the_whole_life_of_an_ephemeral_stack

    Args:
        lines: of its shell script, before it has done nothing.
    """
    noted = 'echo "$@" >> "$(dirname "$0")/log"'
    state = """[ "$2" = export ] && echo '{"version": 3, "deployment": {}}' && exit"""
    double = directory / "pulumi"
    double.write_text("\n".join(["#!/bin/sh", noted, state, *lines, ""]))
    double.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(options, "PROJECT", directory)
    return lambda: (directory / "log").read_text().splitlines()


@pytest.mark.usefixtures("aws_account")
@pytest.mark.parametrize("by_hand", [True, False])
def test_only_a_file_that_up_made_goes_with_its_stack(
    by_hand: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text(("# Ours.\n" if by_hand else "# Made by `tandem ephemeral up` from dev.\n") + DEV.read_text())
    log = played_pulumi(tmp_path, monkeypatch, "exit 0")
    result = CliRunner().invoke(app, ["ephemeral", "down", "dev", "--yes"])
    assert "dev is gone." in result.output, result.exception
    assert file.exists() is by_hand
    (removed,) = [line for line in log() if line.startswith("stack rm")]
    assert ("--preserve-config" in removed) is by_hand


@pytest.mark.usefixtures("aws_account")
def test_a_failed_up_leaves_a_file_by_which_it_can_be_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(DEV.read_text())
    unknown = '[ "$2" = --show-name ] && echo "error: no stack named x found" >&2 && exit 255'
    log = played_pulumi(tmp_path, monkeypatch, unknown, '[ "$1" != up ]')
    first = CliRunner().invoke(app, ["ephemeral", "up", "--no-wait"])
    assert "`pulumi up --yes` failed" in str(first.exception)
    (file,) = tmp_path.glob("Pulumi.eph-*.yaml")
    name = file.name.split(".")[1]
    before = file.read_text()
    again = CliRunner().invoke(app, ["ephemeral", "up", "--no-wait", "--name", name])
    assert "`pulumi up --yes` failed" in str(again.exception)
    assert file.read_text() == before
    assert (
        log()
        == [
            f"stack --show-name --stack {name} --non-interactive",
            f"stack init {name} --no-select --non-interactive",
            f"stack export --stack {name} --non-interactive",
            f"up --yes --skip-preview --stack {name} --non-interactive",
        ]
        * 2
    )


@pytest.fixture
def workshop(moto_server: SimulatedAccount, monkeypatch: pytest.MonkeyPatch) -> Iterator[AccountGaps]:
    """A copy of the project with the real engine, in an empty simulated account."""
    moto_server.reset()
    built = engine.ensure(lambda _line: None)
    with account_gaps(moto_server.url) as gaps, set_the_scene("dev", built, moto_server) as scene:
        for name, value in {**scene.workspace.environment, "AWS_ENDPOINT_URL": gaps.url}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(options, "PROJECT", scene.workspace.directory)
        scene.workspace.set_secrets({"tandem:huggingFaceToken": "hf_" + "x" * 34})
        yield gaps


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["ephemeral", *arguments], env={"COLUMNS": "250"})
    assert result.exit_code == 0, result.output + str(result.exception)
    return result


@pytest.mark.engine
@pytest.mark.long
def test_the_whole_life_of_an_ephemeral_stack(workshop: AccountGaps) -> None:
    made = json.loads(run("up", "--ttl", "2h", "--max-usd", "40", "--no-wait", "--json").stdout)
    name, clients = made["stack"], aws_clients("us-east-1")
    assert made["url"].startswith("https://")
    first = datetime.fromisoformat(made["expiresAt"])
    assert timedelta(minutes=110) < first - datetime.now(UTC) < timedelta(minutes=120)
    secrets = [found.name for found in KINDS[types.SECRET].find(Scope(clients, name))]
    assert any("hugging-face" in secret for secret in secrets), secrets
    (row,) = json.loads(run("list", "--json").stdout)["stacks"]
    assert (row["stack"], row["region"], row["hosts"]) == (name, "us-east-1", 1)

    # It expires: what the schedule does, done by hand.
    (group,) = KINDS[types.GROUP].find(Scope(clients, name))
    clients("autoscaling").update_auto_scaling_group(
        AutoScalingGroupName=group.id, MinSize=0, MaxSize=0, DesiredCapacity=0
    )
    later = json.loads(run("extend", name, "--ttl", "3h", "--json").stdout)
    assert datetime.fromisoformat(later["expiresAt"]) - first == timedelta(hours=1)
    (group,) = KINDS[types.GROUP].find(Scope(clients, name))
    assert (group.facts["DesiredCapacity"], group.facts["MaxSize"]) == (1, 1)

    by_hand = clients("ec2").create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    shown = run("down", name).stdout
    assert "1 FileSystem" in shown
    assert "Nothing was changed." in shown
    assert len(lives(clients, name)) == 1
    assert run("down", name, "--yes").stdout.endswith(f"{name} is gone.\n")
    assert inventory.find(clients, name).resources == []
    assert clients("ec2").describe_volumes(VolumeIds=[by_hand])["Volumes"]
    assert not options.stack_file(name).exists()
    assert run("down", name, "--yes", "--region", "us-east-1", "--by-tags").stdout.endswith(f"{name} is gone.\n")
    assert json.loads(run("list", "--json").stdout) == {"stacks": [], "notUp": []}
