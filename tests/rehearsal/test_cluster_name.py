"""Somebody's EKS cluster has the name that a new stack's would have, on the real engine."""

from __future__ import annotations

import pytest

from pulumi_rehearsal.moto import ACCOUNT_ID, SimulatedAccount
from pulumi_rehearsal.workspace import Workspace
from tandem import type_tokens as types
from tests.rehearsal.test_guard import MANAGED
from tests.rehearsal.watched import REGION, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

COSTS = {
    types.CLUSTER,
    types.NODE_GROUP,
    types.NAT_GATEWAY,
    types.ADDRESS,
    types.LOAD_BALANCER,
    types.INSTANCE,
    types.KEY,
}
"""Without a byte in it; what is begun beside the look at the name, such as an empty bucket, costs nothing."""


@pytest.mark.parametrize("workspace", [MANAGED], indirect=True, ids=["eks"])
def test_it_stops_before_anything_that_costs_and_goes_on_when_the_name_is_free(
    workspace: Workspace, account: SimulatedAccount
) -> None:
    eks = account.client("eks", REGION)
    role = f"arn:aws:iam::{ACCOUNT_ID}:role/theirs"
    eks.create_cluster(name="tandem-dev", roleArn=role, resourcesVpcConfig={"subnetIds": []})
    theirs = eks.describe_cluster(name="tandem-dev")["cluster"]
    for operation in (workspace.preview, workspace.up):
        refused = operation()
        assert not refused.succeeded
        said = "\n".join(refused.messages)
        assert "the name is taken in this account and region by another state" in said
        assert "EKS cluster tandem-dev" in said
    made = {one["type"] for one in workspace.resources()}
    assert types.PARAMETER in made
    assert not made & COSTS
    assert eks.describe_cluster(name="tandem-dev")["cluster"] == theirs

    eks.delete_cluster(name="tandem-dev")
    done(workspace.up())
    assert done(workspace.up()).changing() == [], "its own cluster does not stop it"
