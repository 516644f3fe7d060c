"""`logs.sendTo` on the real engine: lines of servers arrive in another team's stream, which stays when the stack goes.

moto takes no look at the role: that it may put lines there, and nothing else, tests/infra/test_roles.py says.
"""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest

from pulumi_rehearsal.moto import ACCOUNT_ID, SimulatedAccount
from pulumi_rehearsal.workspace import Workspace
from tandem.ops.kinds.kind import Clients
from tandem.ops.logs import groups
from tests.rehearsal.watched import REGION, done
from tests.rehearsal.watched import account as account
from tests.rehearsal.watched import watched as watched
from tests.rehearsal.watched import workspace as workspace

pytestmark = [pytest.mark.engine, pytest.mark.long]

STREAM, OTHER = (f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream/{name}" for name in ("lines", "others"))
TEXT = f"""\
config:
  tandem:region: {REGION}
  tandem:ephemeral: true
  tandem:logs: {{sendTo: "{STREAM}"}}
  tandem:costGuard: {{expiresAfter: 8h}}
"""


def subscribed(clients: Clients) -> list[tuple[str, str]]:
    """The role and the destination of each subscription of the servers' group."""
    (group,) = groups(clients, "dev", None)
    found = clients("logs").describe_subscription_filters(logGroupName=group)["subscriptionFilters"]
    return [(one["roleArn"], one["destinationArn"]) for one in found]


def written_by(clients: Clients, role: str) -> list[str]:
    """The streams into which a role may put records, and nothing else."""
    iam, name = clients("iam"), role.rpartition("/")[2]
    names = iam.list_role_policies(RoleName=name)["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=name, PolicyName=one)["PolicyDocument"] for one in names]
    statements = [one for document in documents for one in document["Statement"]]
    assert {action for one in statements for action in one["Action"]} == {"kinesis:PutRecord"}
    return [arn for one in statements for arn in one["Resource"]]


def says(clients: Clients, request_id: str) -> None:
    """A server says a line about a request."""
    (group,) = groups(clients, "dev", None)
    logs, place = clients("logs"), {"logGroupName": group, "logStreamName": f"i-0/{request_id}"}
    logs.create_log_stream(**place)
    line = json.dumps({"request_id": request_id, "status": 200})
    logs.put_log_events(**place, logEvents=[{"timestamp": time.time_ns() // 1_000_000, "message": line}])


def arrived(clients: Clients, stream: str) -> list[str]:
    """Ids of requests in a stream, as its owner reads them: gzip of JSON
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html)."""
    kinesis = clients("kinesis")
    (shard,) = kinesis.list_shards(StreamARN=stream)["Shards"]
    start: Any = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(StreamARN=stream, **start)["ShardIterator"]
    records = [one["Data"] for one in kinesis.get_records(ShardIterator=iterator, StreamARN=stream)["Records"]]
    told = [json.loads(gzip.decompress(one)) for one in records]
    return [json.loads(event["message"])["request_id"] for one in told for event in one["logEvents"]]


@pytest.mark.parametrize("workspace", [TEXT], indirect=True)
def test_lines_arrive_where_the_setting_points_and_go_on_to_cloudwatch(
    workspace: Workspace, account: SimulatedAccount
) -> None:
    clients = account.clients(REGION)
    refused = workspace.up()
    assert not refused.succeeded  # nobody has made the stream yet
    assert "Could not deliver test message to specified Kinesis stream" in str(refused.messages)
    clients("kinesis").create_stream(StreamName="lines", ShardCount=1)
    done(workspace.up())
    ((role, destination),) = subscribed(clients)
    assert destination == STREAM
    assert written_by(clients, role) == [STREAM]
    says(clients, "r-first")
    assert arrived(clients, STREAM) == ["r-first"]
    assert done(workspace.up()).changing() == []

    workspace.pulumi("config", "set", "--path", "tandem:logs.sendTo", OTHER)
    assert not workspace.up().succeeded
    ((role, destination),) = subscribed(clients)
    assert destination == STREAM
    assert STREAM in written_by(clients, role)  # what leads there until the other is there still arrives
    clients("kinesis").create_stream(StreamName="others", ShardCount=1)
    done(workspace.up())
    ((role, destination),) = subscribed(clients)
    assert destination == OTHER
    assert written_by(clients, role) == [OTHER]
    says(clients, "r-second")
    assert (arrived(clients, STREAM), arrived(clients, OTHER)) == (["r-first"], ["r-second"])

    workspace.pulumi("config", "rm", "--path", "tandem:logs.sendTo")
    done(workspace.up())
    assert subscribed(clients) == []
    says(clients, "r-third")
    assert arrived(clients, OTHER) == ["r-second"]
    done(workspace.destroy())
    assert sorted(clients("kinesis").list_streams()["StreamNames"]) == ["lines", "others"]
    assert [one["RoleName"] for one in clients("iam").list_roles()["Roles"] if "-logs" in one["RoleName"]] == []


@pytest.mark.parametrize("workspace", [TEXT.replace(ACCOUNT_ID, "999999999999")], indirect=True)
def test_a_stream_of_another_account_is_refused_before_anything_is_made(
    workspace: Workspace, account: SimulatedAccount
) -> None:
    refused = workspace.up()
    assert not refused.succeeded
    assert "logs.sendTo: it is in another account than the stack" in str(refused.messages)
    assert "arn:aws:logs:us-east-1:999999999999:destination:NAME" in str(refused.messages)
    assert (
        account.clients(REGION)("ec2").describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["false"]}])["Vpcs"] == []
    )
