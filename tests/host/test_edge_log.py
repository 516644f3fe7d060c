"""The edge's log leaves a host: from nginx's datagrams through the agent, signed by the host's own code, into moto."""

from __future__ import annotations

import gzip
import json
import socket
import time
from typing import Any

import boto3
import pytest
from scripts import Load
from test_aws import KEY, SECRET, TOKEN
from test_aws import moto as moto

GROUP = "/tandem/dev/0/hosts"


def line(number: int) -> bytes:
    entry = {"request_id": f"r-{number}", "client": "alice", "status": 200, "seconds": 0.3, "first_byte": "0.1"}
    return b"<190>Nov 29 12:00:00 nginx: " + json.dumps(entry).encode()


@pytest.fixture
def logs(moto: str) -> Any:
    return boto3.client(
        "logs", region_name="us-east-1", endpoint_url=moto, aws_access_key_id="x", aws_secret_access_key="y"
    )


def shipped(logs: Any, group: str = GROUP) -> list[str]:
    return [
        json.loads(one["message"])["request_id"]
        for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]
        for one in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)[
            "events"
        ]
    ]


def test_lines_leave_the_host_in_a_stream_of_its_own_which_is_made(
    load: Load, moto: str, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    scripts = load(endpoint_url=moto, agent_port=port, log_options={"awslogs-group": GROUP})
    monkeypatch.setattr(scripts.aws, "_credentials", lambda: [KEY, SECRET, TOKEN])
    shipper = scripts.edge_keys.log()
    scripts.traffic.listen(port, shipper)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nginx:
        for number in range(300):
            nginx.sendto(line(number), ("127.0.0.1", port))
    end = time.monotonic() + 20
    while len(shipper._lines) < 300:
        assert time.monotonic() < end
        time.sleep(0.01)
    shipper.flush()  # the group is not there, and this is no host's to make
    assert (shipper.shipped, shipper.dropped) == (0, 0)
    logs.create_log_group(logGroupName=GROUP)
    shipper.flush()
    assert shipped(logs) == [f"r-{number}" for number in range(300)]
    streams = logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    assert [one["logStreamName"] for one in streams] == ["i-0/edge"]
    assert shipper.shipped == 300


def test_lines_go_on_from_the_group_to_where_a_subscription_leads(
    load: Load, moto: str, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Signed and sent by the host's own code; a stream's owner finds the id that the edge gave the request."""
    as_owner = {
        "region_name": "us-east-1",
        "endpoint_url": moto,
        "aws_access_key_id": "x",
        "aws_secret_access_key": "y",
    }
    kinesis, group = boto3.client("kinesis", **as_owner), f"{GROUP}-3"
    kinesis.create_stream(StreamName="lines", ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName="lines")["StreamDescriptionSummary"]["StreamARN"]
    logs.create_log_group(logGroupName=group)
    logs.put_subscription_filter(logGroupName=group, filterName="f", filterPattern="", destinationArn=arn)
    scripts = load(endpoint_url=moto, log_options={"awslogs-group": group})
    monkeypatch.setattr(scripts.aws, "_credentials", lambda: [KEY, SECRET, TOKEN])
    shipper = scripts.edge_keys.log()
    shipper.add(line(1))
    shipper.add(line(2))
    shipper.flush()
    (shard,) = kinesis.list_shards(StreamARN=arn)["Shards"]
    start = kinesis.get_shard_iterator(StreamARN=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    records = kinesis.get_records(StreamARN=arn, ShardIterator=start["ShardIterator"])["Records"]
    told = [json.loads(gzip.decompress(one["Data"])) for one in records]
    assert [one["logStream"] for one in told] == ["i-0/edge"]
    found = [json.loads(event["message"])["request_id"] for one in told for event in one["logEvents"]]
    assert found == ["r-1", "r-2"]


def test_the_largest_batch_is_no_longer_than_an_argument_may_be(
    load: Load, moto: str, logs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path that is all quotes doubles in the line, and doubles again in the call."""
    scripts = load(endpoint_url=moto, log_options={"awslogs-group": f"{GROUP}-2"})
    monkeypatch.setattr(scripts.aws, "_credentials", lambda: [KEY, SECRET, TOKEN])
    logs.create_log_group(logGroupName=f"{GROUP}-2")
    shipper = scripts.edge_keys.log()
    for number in range(12):
        shipper.add(json.dumps({"request_id": f"r-{number}", "path": '"' * 8000}).encode())
    shipper.flush()
    assert shipped(logs, f"{GROUP}-2") == [f"r-{number}" for number in range(12)]
