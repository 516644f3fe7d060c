"""The played AWS of a host, asked by the SDK, and what it refuses because AWS would."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from rehearsal.host.aws import API_KEY, Aws
from rehearsal.host.cloud import Cloud
from rehearsal.host.handler import listening
from tests.sdk_models import complete

INSTANCE = "i-00000000000000001"
GROUP = {"AutoScalingGroupName": "fleet", "InstanceId": INSTANCE}
TARGET = {"TargetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:0:targetgroup/t/0", "Targets": [{"Id": INSTANCE}]}


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def client(cloud: Cloud) -> Iterator[Any]:
    with listening(Aws, cloud=cloud) as port:
        yield lambda service: boto3.client(
            service, region_name="us-east-1", endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="ASIATEST", aws_secret_access_key="y", aws_session_token="z",
        )  # fmt: skip


CALLS = [
    ("secretsmanager", "GetSecretValue", {"SecretId": "arn:aws:secretsmanager:us-east-1:0:secret:keys"}),
    ("autoscaling", "DescribeAutoScalingInstances", {"InstanceIds": [INSTANCE]}),
    ("autoscaling", "RecordLifecycleActionHeartbeat", GROUP | {"LifecycleHookName": "first-token"}),
    (
        "autoscaling", "CompleteLifecycleAction",
        GROUP | {"LifecycleHookName": "first-token", "LifecycleActionResult": "CONTINUE"},
    ),
    ("autoscaling", "SetInstanceHealth", {"InstanceId": INSTANCE, "HealthStatus": "Unhealthy"}),
    ("elbv2", "RegisterTargets", TARGET),
    ("elbv2", "DescribeTargetHealth", TARGET),
    ("elbv2", "DeregisterTargets", TARGET),
    ("logs", "CreateLogStream", {"logGroupName": "g", "logStreamName": "s"}),
    (
        "logs", "PutLogEvents",
        {"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}]},
    ),
]  # fmt: skip


def test_the_sdk_is_answered_as_its_models_say(client: Any, cloud: Cloud) -> None:
    """Each call that a host makes: what the SDK sends is taken, what it reads has all that AWS always answers."""
    for service, operation, parameters in CALLS:
        caller = client(service)
        answer = caller._make_api_call(operation, parameters)
        complete(caller.meta.service_model.operation_model(operation).output_shape, answer)
    assert [(operation, parameters) for _, operation, parameters in cloud.calls] == [call[1:] for call in CALLS]


def test_answers_carry_the_state(client: Any, cloud: Cloud) -> None:
    def state() -> tuple[str, str]:
        (row,) = client("autoscaling").describe_auto_scaling_instances(InstanceIds=[INSTANCE])["AutoScalingInstances"]
        (health,) = client("elbv2").describe_target_health(**TARGET)["TargetHealthDescriptions"]
        return row["LifecycleState"], health["TargetHealth"]["State"]

    assert state() == ("Pending:Wait", "unused")
    cloud.member.complete(INSTANCE, "CONTINUE")
    assert state() == ("InService", "healthy")
    cloud.member.terminate()
    assert state() == ("Terminating", "draining")
    secret = client("secretsmanager").get_secret_value(SecretId="arn:aws:secretsmanager:us-east-1:0:secret:keys")
    assert sha256(API_KEY.encode()).hexdigest() in secret["SecretString"]


def test_a_hook_that_does_not_wait_is_refused_as_by_aws(client: Any, cloud: Cloud) -> None:
    cloud.member.complete(INSTANCE, "CONTINUE")
    with pytest.raises(ClientError, match=r"\(ValidationError\).*No active Lifecycle Action found"):
        client("autoscaling").record_lifecycle_action_heartbeat(**GROUP, LifecycleHookName="first-token")


def test_s3_answers_as_motos_does(client: Any, cloud: Cloud) -> None:
    """An object, and the error of an object that is not there, as far as a host reads them."""
    cloud.objects["bucket/there"] = b"content"
    with mock_aws():
        moto = boto3.client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
        moto.create_bucket(Bucket="bucket")
        moto.put_object(Bucket="bucket", Key="there", Body=b"content", ContentType="application/x-bzip2")
        real = [answer(moto, "there"), answer(moto, "absent")]
    assert answer(client("s3"), "there") == real[0]
    cloud.refused["GetObject"] = ("NoSuchKey", real[1]["Error"]["Message"])
    assert answer(client("s3"), "absent") == real[1]


def answer(s3: Any, key: str) -> dict[str, Any]:
    """Status, type, content and error of GetObject; what a request has to itself, such as its id, left out."""
    try:
        found = s3.get_object(Bucket="bucket", Key=key)
    except ClientError as error:
        names = {name: error.response["Error"].get(name) for name in ("Code", "Message")}
        return {"Error": names, "status": error.response["ResponseMetadata"]["HTTPStatusCode"]}
    kept = {name: found[name] for name in ("ContentLength", "ContentType")}
    return kept | {"Body": found["Body"].read(), "status": found["ResponseMetadata"]["HTTPStatusCode"]}


def test_the_hosts_role_may_not_list_and_so_is_denied_what_is_absent(client: Any, cloud: Cloud) -> None:
    assert answer(client("s3"), "absent") == {
        "Error": {"Code": "AccessDenied", "Message": "Access Denied"}, "status": 403,
    }  # fmt: skip
    assert [call[1:] for call in cloud.calls] == [("GetObject", {"Bucket": "bucket", "Key": "absent"})]
