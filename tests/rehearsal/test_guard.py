"""Each API call of an `up` and of a destroy, on the real engine: after each either no GPU can run or a guard exists.

A killed engine leaves the account as it was after some call, so what holds after each call holds wherever it is killed;
that their order is no luck is shown by what the program declares (tests/infra/test_guard_order.py), and that what is
left can be recovered by tests/rehearsal/test_guard_killed.py.
"""

from __future__ import annotations

import pytest

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.workspace import Workspace
from tests.rehearsal.watched import REGION, Watched, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

NODES = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:nodePool: {provisioner: %s}
  tandem:fleet: {instanceTypes: [g6.12xlarge], hosts: 2}
  tandem:scaling: {minReplicas: 2, maxReplicas: 2}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""
MANAGED = NODES % "managed" + "  tandem:costGuard: {expiresAfter: 4h, maxUsd: 200}\n"
KARPENTER = NODES % "karpenter" + "  tandem:costGuard: {monthlyBudgetUsd: 100, alertEmails: [a@example.com]}\n"

EITHER = pytest.mark.parametrize("workspace", ["", MANAGED], indirect=True, ids=["ec2", "eks"])


def groups(account: SimulatedAccount) -> list[tuple[int, int, int]]:
    """Least, wanted and most hosts of each group that may have GPUs."""
    found = account.client("autoscaling", REGION).describe_auto_scaling_groups()["AutoScalingGroups"]
    return [(group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) for group in found] + nodes(account)


def nodes(account: SimulatedAccount) -> list[tuple[int, int, int]]:
    eks = account.client("eks", REGION)
    found = [
        eks.describe_nodegroup(clusterName=cluster, nodegroupName=name)["nodegroup"]
        for cluster in eks.list_clusters()["clusters"]
        for name in eks.list_nodegroups(clusterName=cluster)["nodegroups"]
    ]
    sizes = [group["scalingConfig"] for group in found if "NVIDIA" in group["amiType"]]
    return [(size["minSize"], size["desiredSize"], size["maxSize"]) for size in sizes]


@EITHER
def test_after_each_call_no_gpu_can_run_or_a_guard_stands(workspace: Workspace, watched: Watched) -> None:
    done(workspace.up())
    assert any(moment.running for moment in watched.moments)
    done(workspace.destroy())
    assert len(watched.moments) > 100
    assert watched.unguarded == []
    assert watched.sizes == {}
    assert watched.stops == {}


@EITHER
def test_a_role_that_may_make_no_schedules_starts_no_gpu(
    workspace: Workspace, watched: Watched, account: SimulatedAccount
) -> None:
    watched.denied = {"create_schedule"}
    # All that does not depend on a schedule is made all the same.
    with pytest.raises(RuntimeError, match="AccessDeniedException"):
        workspace.pulumi("up", "--yes", "--skip-preview", "--continue-on-error")
    assert groups(account) == []
    watched.denied = set()
    done(workspace.up())
    assert [wanted for _, wanted, _ in groups(account)] != [0]
    assert watched.unguarded == []


@EITHER
@pytest.mark.parametrize("operation", ["delete", "delete_schedule"])
def test_a_destroy_that_may_not_go_on_leaves_the_guard_of_what_it_leaves(
    workspace: Workspace, watched: Watched, account: SimulatedAccount, operation: str
) -> None:
    done(workspace.up())
    watched.denied = {operation} if operation != "delete" else {"delete_auto_scaling_group", "delete_nodegroup"}
    with pytest.raises(RuntimeError, match="AccessDeniedException"):
        workspace.pulumi("destroy", "--yes", "--skip-preview", "--continue-on-error")
    assert bool(groups(account)) is (operation == "delete")
    assert watched.stops != {}
    watched.denied = set()
    done(workspace.destroy())
    assert watched.unguarded == []
    assert watched.stops == {}


@pytest.mark.parametrize("workspace", [KARPENTER], indirect=True, ids=["karpenter"])
def test_a_node_pool_is_there_only_while_what_ends_its_nodes_is(workspace: Workspace, watched: Watched) -> None:
    """Karpenter itself does: when pods are gone, when nodes are old, and when the pool goes, which waits for them. The
    budget, which is all that AWS has of a guard there, stands as long."""
    done(workspace.up())
    done(workspace.destroy())
    pools = [moment for moment in watched.moments if "NodePool" in moment.objects]
    assert len(pools) > 2
    controller = {"Release tandem-dev-karpenter", "EC2NodeClass"}
    assert [moment for moment in pools if not controller <= moment.objects] == []
    operations = [moment.operation for moment in watched.moments]
    servers = [moment for moment in watched.moments if "Deployment" in moment.objects]
    assert [moment for moment in servers if "NodePool" not in moment.objects] == []
    gone = operations.index("delete NodePool")
    for what in ("delete_budget", "delete_queue"):
        assert operations.index(what) > gone, what
    for what in ("create_budget", "create_queue"):
        assert operations.index(what) < operations.index("create NodePool"), what


def test_an_end_in_the_past_is_size_0_and_a_sentence(workspace: Workspace, account: SimulatedAccount) -> None:
    """Neither a refused schedule nor a host; and the second `up` changes nothing."""
    text = workspace.stack_file.read_text().replace("expiresAfter: 4h", 'expiresAt: "2026-06-01T00:00:00Z"')
    workspace.stack_file.write_text(text)
    up = done(workspace.up())
    assert any("the time of this stack ended at 2026-06-01 00:00Z" in message for message in up.messages)
    assert groups(account) == [(0, 0, 0)]
    assert done(workspace.up()).changing() == []
