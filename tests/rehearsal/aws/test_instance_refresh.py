"""Instance refreshes of the simulated account: step by step, with hosts that complete their hooks, over boto3."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from pulumi_rehearsal.moto import SimulatedAccount
from tests.two_hosts import ONE_LESS_FIRST, ONE_MORE_FIRST, Group


@pytest.fixture
def group(account: SimulatedAccount, request: pytest.FixtureRequest) -> Group:
    return Group(account, request.node.name)


def test_one_host_comes_before_another_goes(group: Group) -> None:
    group.take(2)
    group.start(ONE_MORE_FIRST)
    seen = list(group.play())
    assert seen[:3] == [
        [("1", "InService"), ("1", "InService"), ("2", "Pending:Wait")],
        [("1", "InService"), ("1", "Terminating"), ("2", "InService")],
        [("1", "InService"), ("1", "Terminating:Wait"), ("2", "InService")],
    ]
    assert all(sum(state == "InService" for _, state in hosts) >= 2 for hosts in seen)
    assert group.hosts() == [("2", "InService")] * 2
    assert (group.refresh()["Status"], group.refresh()["PercentageComplete"]) == ("Successful", 100)


def test_without_a_spare_one_host_goes_before_another_comes(group: Group) -> None:
    group.take(2)
    group.start(ONE_LESS_FIRST)
    seen = list(group.play())
    assert seen[0] == [("1", "InService"), ("1", "Terminating")]
    assert [len(hosts) for hosts in seen] == [2] * len(seen)
    assert group.hosts() == [("2", "InService")] * 2


def test_a_host_that_gives_up_is_tried_again_and_the_old_ones_serve(group: Group) -> None:
    group.take(2)
    group.start(ONE_MORE_FIRST)
    for _ in range(3):
        assert group.refresh()["PercentageComplete"] == 0
        assert group.hosts() == [("1", "InService"), ("1", "InService"), ("2", "Pending:Wait")]
        group.complete("Pending:Wait", "ABANDON")
    activity = group.api.describe_scaling_activities(AutoScalingGroupName=group.name)["Activities"][0]
    assert activity["StatusCode"] == "Cancelled"
    assert "was abandoned: Lifecycle Action Completed with ABANDON Result" in activity["StatusMessage"]


def test_a_cancelled_one_waits_for_who_is_on_the_way_unless_told_otherwise(group: Group) -> None:
    group.take(2)
    group.start(ONE_MORE_FIRST)
    group.refresh()
    group.cancel()
    assert group.refresh()["Status"] == "Cancelling"
    with pytest.raises(ClientError, match="InstanceRefreshInProgress"):
        group.start(ONE_MORE_FIRST)
    group.cancel(WaitForTransitioningInstances=False)
    assert group.refresh()["Status"] == "Cancelled"
    with pytest.raises(ClientError, match="ActiveInstanceRefreshNotFound"):
        group.cancel()


def test_what_matches_is_skipped(group: Group) -> None:
    group.start({**ONE_MORE_FIRST, "SkipMatching": True})
    assert group.refresh()["Status"] == "Successful"
    assert group.hosts() == [("1", "InService")] * 2


def test_it_stands_at_a_checkpoint(group: Group) -> None:
    group.take(2)
    group.start({**ONE_MORE_FIRST, "CheckpointPercentages": [50, 100], "CheckpointDelay": 60})
    seen = list(group.play())
    assert seen[-1] == [("1", "InService"), ("2", "InService")]
    assert (group.refresh()["Status"], group.refresh()["PercentageComplete"]) == ("InProgress", 50)


def test_a_desired_configuration_locks_the_group(group: Group) -> None:
    group.start({**ONE_MORE_FIRST, "AutoRollback": True}, DesiredConfiguration=group.version(2))
    with pytest.raises(ClientError, match="An active instance refresh with a desired configuration exists"):
        group.take(1)


def test_a_rollback_wants_a_desired_configuration(group: Group) -> None:
    with pytest.raises(ClientError, match="AutoRollback parameter cannot be set to true"):
        group.start({"AutoRollback": True})


def test_a_hook_that_nobody_waits_in_is_refused(group: Group) -> None:
    group.take(2)
    group.start(ONE_LESS_FIRST)
    group.refresh()
    with pytest.raises(ClientError, match="No active Lifecycle Action found with instance ID"):
        group.complete("Terminating")


def test_its_answers_fit_the_sdks_models(group: Group) -> None:
    group.take(2)
    group.start(ONE_MORE_FIRST)
    list(group.play())
    for operation in (group.api.describe_instance_refreshes, group.api.describe_scaling_activities):
        answer = operation(AutoScalingGroupName=group.name)
        name = group.api.meta.method_to_api_mapping[operation.__name__]
        answer.pop("ResponseMetadata")
        validate_parameters(answer, group.api.meta.service_model.operation_model(name).output_shape)
        assert any(answer.values())
