"""The commands that an error about a stack file gives, run as they are printed: afterwards the file is right."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pulumi_rehearsal.engine import Engine
from tandem.errors import UserError
from tandem.loading import load_stack_file
from tandem.ops.pulumi import Stack

pytestmark = pytest.mark.engine
PATH = "/v1/completions"
BLOCK = {"reservationId": "cr-" + "0" * 17, "zone": "us-east-1f", "endsAt": "2036-12-24T18:00:00Z"}
IN_F = {"instanceTypes": ["p5.48xlarge"], "onDemandPercentage": 100, "capacityBlock": BLOCK}


@pytest.fixture
def project(pulumi_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a project and a stack `x` in a backend of its own."""
    (tmp_path / "state").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: tandem\nruntime: python\n")
    monkeypatch.setenv("PATH", f"{pulumi_engine.command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'state'}")
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "x")
    subprocess.run(["pulumi", "stack", "init", "x", "--non-interactive"], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize(
    ("config", "value", "becomes"),
    [
        ({"costGuard": {"maxUsd": 30}, "costGuard.maxUsd": "50"}, "50", {"costGuard": {"maxUsd": 50}}),
        ({"tags": {"cost-centre": 1234}}, "1234", {"tags": {"cost-centre": "1234"}}),
        ({"tags": {"team.name": 7}}, "7", {"tags": {"team.name": "7"}}),
        ({"tags": {"tandem:stack": "prod", "team": "a"}}, "", {"tags": {"team": "a"}}),
        (
            {"network": {"zones": ["a", "us-east-1b"]}},
            "us-east-1a",
            {"network": {"zones": ["us-east-1a", "us-east-1b"]}},
        ),
        ({"flat": "1"}, "", {}),
        ({"network": {"zones": ["us-east-1a"]}}, "", {"network": {"zones": ["us-east-1a", "us-east-1b"]}}),
        ({"loadBalancer": {"paths": [*2 * (PATH,)]}}, "", {"loadBalancer": {"paths": [PATH]}}),
        ({"fleet": {"hosts": 3, "maxHosts": 2}}, "", {"fleet": {"hosts": 3, "maxHosts": 3}}),
        ({"fleet": IN_F}, "", {"fleet": IN_F, "network": {"zones": ["us-east-1a", "us-east-1f"]}}),
    ],
)
def test_a_fix_mends_the_file(project: Path, config: dict[str, object], value: str, becomes: dict[str, object]) -> None:
    file = project / "Pulumi.x.yaml"
    there = {"tandem:region": "us-east-1", **{f"tandem:{key}": part for key, part in config.items()}}
    file.write_text(yaml.safe_dump({"config": there}))
    with pytest.raises(UserError) as caught:
        load_stack_file(file)
    for command in re.findall("`([^`]*)`", caught.value.problems[0].fix.partition(", or ")[0]):
        subprocess.run(f"{command.replace('VALUE', value)} --stack x", shell=True, cwd=project, check=True)
    load_stack_file(file)
    kept = yaml.safe_load(file.read_text())["config"]
    assert kept == {"tandem:region": "us-east-1", **{f"tandem:{key}": part for key, part in becomes.items()}}


def test_outside_of_a_project_the_way_into_it_is_told(project: Path) -> None:
    with pytest.raises(UserError) as caught:
        Stack("x", directory=project.parent).region()
    assert caught.value.problems[0].fix == "the same command in the directory of Pulumi.yaml"
