"""What batches need, on the real engine: made at 0, left alone by `up` while a batch runs, and gone with the stack."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from pulumi_rehearsal.moto import SimulatedAccount
from pulumi_rehearsal.workspace import Workspace
from tandem.ops import inventory, removal
from tandem.ops.batches import store
from tandem.ops.batches.estimate import Plan
from tandem.ops.batches.machines import Group
from tandem.ops.kinds import hosts_groups
from tandem.ops.kinds.kind import Clients
from tandem.settings import Settings
from tests.ops.account import at_once
from tests.rehearsal.watched import REGION, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

TEXT = """\
config:
  tandem:region: us-east-1
  tandem:ephemeral: true
  tandem:batch: {maxUsd: 20}
  tandem:costGuard: {expiresAfter: 8h, alertEmails: [a@example.com]}
"""
PLAN = Plan(hosts=1, usd_per_hour=5, max_usd=20, lasts=timedelta(hours=4), work=None)


def name(found: store.Store) -> str:
    assert isinstance(found.machines, Group)
    return found.machines.name


def group(found: store.Store, clients: Clients) -> tuple[int, int, int]:
    groups = clients("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[name(found)])
    (one,) = groups["AutoScalingGroups"]
    return one["MinSize"], one["DesiredCapacity"], one["MaxSize"]


@pytest.mark.parametrize("workspace", [TEXT], indirect=True)
def test_a_batch_on_a_stack_that_is_up(workspace: Workspace, account: SimulatedAccount) -> None:
    clients = account.clients(REGION)
    done(workspace.up())
    found = store.find(clients, "dev", None, datetime.now(UTC), Settings(region=REGION))
    assert group(found, clients) == (0, 0, 0)
    (hosts,) = hosts_groups(clients, "dev").values()
    assert hosts.name != name(found)
    assert clients("s3").get_bucket_encryption(Bucket=found.bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert done(workspace.up()).changing() == []

    line = json.dumps({"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": {}})
    begun = found.begin([line], PLAN)
    assert group(found, clients) == (0, 1, 1)
    assert done(workspace.up()).changing() == [], "an `up` while a batch runs ends no machine"
    workspace.pulumi("up", "--refresh", "--yes", "--skip-preview")
    assert group(found, clients) == (0, 1, 1)
    found.cancel(begun)
    assert group(found, clients) == (0, 0, 0)

    done(workspace.destroy())
    assert clients("s3").list_buckets()["Buckets"] == []
    assert clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []


@pytest.mark.parametrize("workspace", [TEXT], indirect=True)
def test_a_stack_that_was_lost_is_removed_with_it(workspace: Workspace, account: SimulatedAccount) -> None:
    clients = account.clients(REGION)
    done(workspace.up())
    found = inventory.find(clients, "dev")
    assert found.unreadable == []
    assert removal.remove_stack(clients, found.resources, sleep=at_once) == []
    assert clients("s3").list_buckets()["Buckets"] == []
    assert clients("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"] == []
