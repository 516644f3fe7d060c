"""Going on after a kill; with real engines and kills in tests/rehearsal/test_killed_commands.py."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tandem.errors import UserError
from tandem.ops.cli import app
from tandem.ops.kinds.kind import Clients
from tandem.ops.pulumi import Stack
from tandem.ops.resuming import resume
from tests.ops.account import Builder
from tests.ops.test_ephemeral import played_pulumi

ROOT = "urn:pulumi:dev::tandem::pulumi:pulumi:Stack::tandem-dev"


class Played:
    """`pulumi` on PATH, whose state is a file and whose calls are a log.

    Stands for: the `pulumi` command.
    Held by: tests/rehearsal/test_killed_commands.py::test_ephemeral_up_goes_on
    """

    def __init__(self, directory: Path, pending: Sequence[Any], written: datetime) -> None:
        self.directory = directory
        state = {
            "manifest": {"time": written.isoformat()},
            "resources": [{"urn": ROOT, "type": "pulumi:pulumi:Stack"}],
            "pending_operations": list(pending),
        }
        (directory / "state.json").write_text(json.dumps({"deployment": state}))
        (directory / "pulumi").write_text(
            f"#!{sys.executable}\nimport pathlib, shutil, sys\nhere = pathlib.Path(__file__).parent\n"
            "print(*sys.argv[1:3], file=(here / 'log').open('a'))\n"
            "match sys.argv[1:]:\n"
            "    case ['stack', 'export', *_]: print((here / 'state.json').read_text())\n"
            "    case ['stack', 'import', '--file', file, *_]: shutil.copy(file, here / 'state.json')\n"
            "    case ['refresh', *_] if (here / 'locked').exists():\n"
            "        sys.exit('error: the stack is currently locked by 1 lock(s).')\n"
        )
        (directory / "pulumi").chmod(0o755)

    def log(self) -> list[str]:
        return (self.directory / "log").read_text().splitlines()

    def pending(self) -> list[Any]:
        return json.loads((self.directory / "state.json").read_text())["deployment"].get("pending_operations") or []


def creating(type_: str) -> dict[str, Any]:
    return {"type": "creating", "resource": {"urn": f"urn:{type_}", "type": type_, "inputs": {}}}


@pytest.fixture
def waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for, without the waiting."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return []


def test_where_nothing_was_under_way_nothing_is_done(tmp_path: Path, waits: list[float], clients: Clients) -> None:
    played = Played(tmp_path, [], datetime.now(UTC))
    resume(clients, Stack("dev", tmp_path), print, waits.append)
    assert (played.log(), waits) == (["stack export"], [])


@pytest.mark.parametrize(("ago", "least", "most"), [(0, 5, 10), (3600, 0, 0), (-3600, 10, 10)])
def test_a_killed_command_is_recovered_once_its_last_call_shows(
    tmp_path: Path, waits: list[float], clients: Clients, ago: int, least: float, most: float
) -> None:
    played = Played(tmp_path, [creating("aws:ec2/vpc:Vpc")], datetime.now(UTC) - timedelta(seconds=ago))
    resume(clients, Stack("dev", tmp_path), print, waits.append)
    assert played.log() == ["stack export", "refresh --yes", "stack export", "stack import"]
    assert played.pending() == []
    assert least <= waits[0] <= most


def test_while_another_pulumi_works_nothing_is_removed(tmp_path: Path, waits: list[float], clients: Clients) -> None:
    made = Builder(clients, "dev", "x")
    vpc = clients("ec2").create_vpc(CidrBlock="10.0.0.0/16", TagSpecifications=made.specification("vpc"))["Vpc"]
    played = Played(tmp_path, [creating("aws:ec2/vpc:Vpc")], datetime.now(UTC))
    (tmp_path / "locked").touch()
    with pytest.raises(UserError, match="wait until the other `pulumi` has ended"):
        resume(clients, Stack("dev", tmp_path), print, waits.append)
    assert clients("ec2").describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"]
    assert len(played.pending()) == 1
    assert waits == []


@pytest.mark.parametrize("options", [[], ["--yes"], ["--json"]])
def test_a_stack_that_is_nowhere_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]) -> None:
    played_pulumi(tmp_path, monkeypatch, "echo \"error: no stack named 'nope' found\" >&2; exit 255")
    said = str(CliRunner().invoke(app, ["recover", "nope", *options]).exception)
    assert said.startswith("nope: there is no such stack where `pulumi` is logged in")
    assert "`pulumi stack ls`" in said
