"""A stack in a cluster that was there, on the real engine: what of it the account has comes, changes and goes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.policy_evaluator import ACCOUNT
from pulumi_rehearsal.workspace import Workspace
from rehearsal.policy_questions import decided, questions
from rehearsal.scene import PROJECT
from tandem import type_tokens as types
from tandem.ops import inventory
from tandem.ops.kinds import cluster_of
from tandem.ops.rights.documents import documents
from tandem.ops.rights.right import DEPLOYER, VIEWER
from tests.calls import recorded, unread
from tests.others_cluster import NAME, clusters, others_cluster
from tests.others_network import OthersNetwork
from tests.rehearsal.test_deployer import by_aws
from tests.rehearsal.test_existing_network import forget_ended, refused_with, theirs
from tests.rehearsal.watched import REGION, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:nodePool: {provisioner: managed}
  tandem:fleet: {instanceTypes: [g6.12xlarge], hosts: 1}
  tandem:scaling: {minReplicas: 1, maxReplicas: 2, prometheusUrl: "http://prometheus.observability.svc:9090"}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""
THERE = pytest.mark.parametrize("workspace", [FILE], indirect=True, ids=["eks"])


def configure(workspace: Workspace, network: OthersNetwork, **cluster: Any) -> None:
    """The stack file's `network` and `cluster`."""
    document = yaml.safe_load(workspace.stack_file.read_text())
    document["config"] |= {"tandem:network": {"existing": network.settings}, "tandem:cluster": cluster}
    workspace.stack_file.write_text(yaml.safe_dump(document))


def others(found: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What was there, as it is now."""
    return {name: [one for one in found[name] if one in before[name]] for name in before}


@THERE
def test_it_comes_changes_and_goes_and_the_cluster_is_as_it_was(
    workspace: Workspace, account: SimulatedAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients, ec2, eks = account.clients(REGION), account.client("ec2", REGION), account.client("eks", REGION)
    network = OthersNetwork(ec2)
    others_cluster(clients, network)
    before, kept = clusters(eks), theirs(ec2)
    boundary = (PROJECT / "policies" / "tandem-boundary.json").read_text(encoding="utf-8")
    account.client("iam", REGION).create_policy(PolicyName="tandem-boundary", PolicyDocument=boundary)
    workspace.pulumi("config", "set", "tandem:permissionsBoundary", f"arn:aws:iam::{ACCOUNT}:policy/tandem-boundary")
    configure(workspace, network, existing={"name": "nowhere"})
    refused_with(workspace, "cluster.existing: AWS does not tell of this cluster")
    configure(workspace, network, existing={"name": NAME})
    with recorded(monkeypatch) as calls:
        made = {step.type for step in done(workspace.up()).steps}
        assert {types.NODE_GROUP, types.SECURITY_GROUP} <= made
        assert not {types.CLUSTER, types.VPC, "aws:eks/addon:Addon", "kubernetes:helm.sh/v3:Release"} & made
        [group] = [one for one in inventory.find(clients, "dev").resources if one.type == types.NODE_GROUP]
        assert group.facts["clusterName"] == NAME
        found = cluster_of(clients, "dev", group.stack_id)
        assert found is not None
        assert (found.name, found.tags) == (NAME, {})
        assert others(clusters(eks), before) == before
        assert theirs(ec2) == kept
        assert done(workspace.up()).changing() == []
        for elsewhere in ({}, {"existing": {"name": "second"}}):
            configure(workspace, network, **elsewhere)
            refused_with(workspace, f"the stack is in the cluster {NAME}, and nothing of it can go to another")
        configure(workspace, network, existing={"name": NAME})
        workspace.pulumi("config", "set", "tandem:tags.team", "a", "--path")
        assert done(workspace.up()).changing() != []
        assert others(clusters(eks), before) == before
        workspace.pulumi("state", "unprotect", "--all", "--yes")
        done(workspace.destroy())
    forget_ended(ec2)
    assert clusters(eks) == before
    assert theirs(ec2) == kept
    own = [call for call in calls if not by_aws(call, calls)]
    policies = [policy for role in (DEPLOYER, VIEWER) for policy in documents(role).values()]
    assert unread(own, policies) == []
    assert decided(questions(own), policies, False) == []
