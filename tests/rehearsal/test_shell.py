"""`tandem rehearse` as people call it: the shell on a simulated account, Ctrl-C, wrong stacks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.kubernetes import cluster

pytestmark = [pytest.mark.engine, pytest.mark.long]

TANDEM = Path(sys.executable).with_name("tandem")

COMMANDS = """
groups() {
  python -c 'import boto3
for group in boto3.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]:
  print(group["AutoScalingGroupName"])'
}
pulumi preview --non-interactive | grep -E '^ +[+] [0-9]+ to create$'
pulumi up --yes --skip-preview --non-interactive | grep -E '^ +[+] [0-9]+ created$'
pulumi stack output fleetName
groups
pulumi destroy --yes --skip-preview --non-interactive | grep -E '^ +- [0-9]+ deleted$'
groups
pwd
exit 7
"""
IN_THE_CLUSTER = """
pulumi up --yes --skip-preview --non-interactive >up.txt 2>&1 || { tail -20 up.txt >&2; exit 1; }
kubectl get nodes --output name | grep -c ^node/
$(pulumi stack output kubeconfigCommand) >&2
tandem rollout prod
tandem recover prod
exit 7
"""


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where the command makes its temporary directories, so that what it leaves behind is seen."""
    path = tmp_path / "scratch"
    path.mkdir()
    return path


def start(scratch: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [TANDEM, "rehearse", *arguments],
        env={**os.environ, "TMPDIR": str(scratch), "COLUMNS": "120", **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_ordinary_commands_work_in_the_shell(pulumi_engine: Engine, scratch: Path) -> None:
    with start(scratch, "--shell", "dev", SHELL="bash") as tandem:
        out, err = tandem.communicate(COMMANDS, timeout=300)
    assert "A shell on a simulated AWS account" in err
    assert "the name does not resolve" in err
    assert tandem.returncode == 7, err
    preview, up, fleet, seen, destroyed, directory = out.splitlines()
    created = int(preview.split()[1])
    assert created > 60
    assert up.split() == ["+", str(created), "created"]
    assert destroyed.split() == ["-", str(created), "deleted"]
    assert fleet.startswith("tandem-dev-")
    assert seen == fleet
    assert Path(directory).parent == scratch
    assert list(scratch.iterdir()) == [], "nothing stays when the shell is left"


@pytest.mark.kubernetes
def test_in_the_shell_of_a_cluster_kubectl_and_rollouts_reach_it(pulumi_engine: Engine, scratch: Path) -> None:
    cluster.ensure(print)
    with start(scratch, "--shell", "prod", SHELL="bash") as tandem:
        out, err = tandem.communicate(IN_THE_CLUSTER, timeout=600)
    assert tandem.returncode == 7, err
    nodes, rollout, *_ = out.splitlines()
    assert int(nodes) >= 3
    assert rollout == "done     3 of 3 pods of vllm-main serve version 1"
    assert "Nothing was under way" in out, "the Helm releases were looked at, too"
    assert "kubectl get pods" in err


def test_ctrl_c_ends_a_rehearsal_in_good_order(pulumi_engine: Engine, scratch: Path) -> None:
    with start(scratch, "dev") as tandem:
        assert tandem.stderr is not None
        for line in tandem.stderr:
            if "preview" in line:  # it is over, `up` has begun
                break
        tandem.send_signal(signal.SIGINT)
        _, err = tandem.communicate(timeout=60)
    assert tandem.returncode == 130, err
    assert "Traceback" not in err
    assert list(scratch.iterdir()) == []


def test_an_unknown_stack_is_refused_before_anything_starts(pulumi_engine: Engine, scratch: Path) -> None:
    with start(scratch, "dev", "staging") as tandem:
        out, err = tandem.communicate(timeout=60)
    assert tandem.returncode == 2
    assert "Pulumi.staging.yaml: there is no such stack file" in err
    assert "allowed: dev, prod, prod-ec2" in err
    assert "Traceback" not in err
    assert out == ""
