"""Calls to AWS: really made by curl, their signatures checked by botocore's own signer, answered by moto."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import boto3
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer
from played import Host
from scripts import Load

from rehearsal.host.cloud import Cloud
from rehearsal.host.handler import listening
from rehearsal.host.metadata import CREDENTIALS, ROLE, SPOT_NOTICE, TORN, Metadata

KEY, SECRET, TOKEN = (CREDENTIALS[name] for name in ("AccessKeyId", "SecretAccessKey", "Token"))


class Recorder(Metadata):
    """Takes any signed request. Stands for no service: what is signed is looked at, not what is asked."""

    OBJECT = bytes(range(256))
    requests: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        self.note(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, '{"SecretString": "s3cret"}')

    def do_GET(self) -> None:
        if self.path.startswith("/latest/"):
            return super().do_GET()
        self.note(b"")
        return self.answer(200, self.OBJECT)

    def note(self, body: bytes) -> None:
        self.requests.append((self.command, {name.lower(): value for name, value in self.headers.items()}, body))


@pytest.fixture
def metadata(in_real_time: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The played metadata service, and patience for three odd answers."""
    monkeypatch.setattr(
        in_real_time.scripts.aws,
        "time",
        SimpleNamespace(**vars(time) | {"sleep": lambda _: None, "monotonic": lambda: 0}),
    )
    monkeypatch.setattr(in_real_time.scripts.aws, "ANSWER", 0.2)
    return in_real_time


def test_what_is_absent_is_told_from_what_is_odd(metadata: Host) -> None:
    aws = metadata.scripts.aws
    assert aws.metadata("meta-data/instance-id") == "i-0"
    assert aws.metadata(SPOT_NOTICE) is None
    metadata.cloud.odd_answers = {SPOT_NOTICE: [500], "api/token": [404]}
    for _ in range(2):
        with pytest.raises(urllib.error.HTTPError):
            aws.metadata(SPOT_NOTICE)


@pytest.mark.parametrize("odd", [404, 500, "", TORN, "{}", None])
@pytest.mark.parametrize("item", [ROLE, f"{ROLE}tandem-host", "api/token"])
def test_an_odd_answer_of_the_metadata_service_ends_no_call(metadata: Host, item: str, odd: int | str | None) -> None:
    metadata.cloud.odd_answers[item] = [odd] * 3
    assert metadata.scripts.aws.membership() == ("Pending:Wait", "fleet")
    assert metadata.cloud.odd_answers[item] == []


@pytest.mark.parametrize("odd", [404, 500, "", TORN, '{"instanceId": "i-0"}', None])
def test_a_torn_identity_is_asked_for_again_and_then_kept(load: Load, metadata: Host, odd: int | str | None) -> None:
    document = "dynamic/instance-identity/document"
    scripts = load(identity=None)
    for name in ("time", "ANSWER", "METADATA"):
        setattr(scripts.aws, name, getattr(metadata.scripts.aws, name))
    metadata.cloud.odd_answers[document] = [odd] * 2
    assert scripts.really_identity() == {"instanceId": "i-0", "instanceType": "g6.12xlarge"}
    metadata.cloud.odd_answers[document] = [500]
    assert scripts.really_identity()["instanceId"] == "i-0"


def test_the_deadline_of_whoever_asks_ends_the_asking(in_real_time: Host) -> None:
    in_real_time.cloud.odd_answers[ROLE] = [404] * 100
    start = time.monotonic()
    missing = r"metadata service: LookupError.*no meta-data/iam"
    with in_real_time.scripts.host.deadline(1.5), pytest.raises(RuntimeError, match=missing):
        in_real_time.scripts.aws.membership()
    assert time.monotonic() - start < 4


@pytest.fixture
def signed(load: Load) -> Iterator[tuple[SimpleNamespace, str]]:
    """The scripts before a server that takes whatever is signed, and its address."""
    Recorder.requests = []
    with listening(Recorder, cloud=Cloud()) as port:
        url = f"http://127.0.0.1:{port}/"
        scripts = load(endpoint_url=url)
        scripts.aws.METADATA = url + "latest/"
        yield scripts, url


def assert_signed(signer: SigV4Auth, url: str) -> None:
    """What came is signed as botocore would sign it, with every header of AWS's among what is signed."""
    ((method, headers, body),) = Recorder.requests
    assert {name for name in headers if name.startswith("x-amz-")} | {"host"} <= set(of_the_signature(headers))
    assert is_signed(signer, method, url, headers, body)
    assert headers["x-amz-security-token"] == TOKEN


def of_the_signature(headers: dict[str, str]) -> list[str]:
    """Names of what is signed."""
    return headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")


def is_signed(signer: SigV4Auth, method: str, url: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether the signature is the one that botocore makes."""
    signed = of_the_signature(headers)
    request = AWSRequest(method, url, {name: headers[name] for name in signed}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return headers["authorization"].endswith(f"Signature={signer.signature(text, request)}")


def test_the_signature_is_the_one_that_botocore_makes(signed: tuple[SimpleNamespace, str]) -> None:
    scripts, url = signed
    assert scripts.aws.secret("arn:aws:secretsmanager:us-east-1:0:secret:x") == "s3cret"
    assert_signed(SigV4Auth(Credentials(KEY, SECRET, TOKEN), "secretsmanager", "us-east-1"), url)


def test_an_object_is_asked_for_as_s3_wants_it_signed(signed: tuple[SimpleNamespace, str], tmp_path: Path) -> None:
    scripts, url = signed
    scripts.aws.download(f"{url}bucket/{'0' * 64}.tar.bz2", tmp_path / "to/object")
    assert_signed(S3SigV4Auth(Credentials(KEY, SECRET, TOKEN), "s3", "us-east-1"), f"{url}bucket/{'0' * 64}.tar.bz2")
    assert (tmp_path / "to/object").read_bytes() == Recorder.OBJECT


def test_credentials_are_not_among_the_arguments(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.aws, "_credentials", lambda: [KEY, SECRET, TOKEN])
    seen = []
    monkeypatch.setattr(scripts.aws, "sh", lambda *command, input: seen.append((command, input)) or "{}")
    scripts.aws.autoscaling("DescribeAutoScalingInstances")
    ((command, typed),) = seen
    assert TOKEN not in " ".join(command)
    assert TOKEN in typed
    assert SECRET not in f"{command} {typed}"


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1"])
def test_calls_go_where_the_sdk_sends_them(load: Load, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load(region=region, domain="amazonaws.com.cn" if region == "cn-north-1" else "amazonaws.com")
    monkeypatch.setattr(scripts.aws, "_credentials", lambda: [KEY, SECRET, TOKEN])
    seen: list[tuple[tuple[str, ...], str]] = []
    monkeypatch.setattr(scripts.aws, "sh", lambda *command, input: seen.append((command, input)) or "{}")
    for service in ("api.ecr", "secretsmanager", "autoscaling", "elasticloadbalancing"):
        scripts.aws._call(service, "", "text/plain")
        name = {"api.ecr": "ecr", "elasticloadbalancing": "elbv2"}.get(service, service)
        sdk = boto3.client(name, region_name=region, aws_access_key_id="x", aws_secret_access_key="y")
        (command, headers) = seen[-1]
        assert f"{sdk.meta.endpoint_url}/" in command
        assert f"/{region}/{sdk.meta.service_model.signing_name}/aws4_request" in headers


@pytest.fixture
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}/"
    server.stop()


def test_secret_group_and_targets_on_moto(load: Load, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def client(service: str):
        return boto3.client(
            service, region_name="us-east-1", endpoint_url=moto, aws_access_key_id="x", aws_secret_access_key="y"
        )

    arn = client("secretsmanager").create_secret(Name="keys", SecretString='{"default": "k"}')["ARN"]
    vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = client("ec2").create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    group = client("elbv2").create_target_group(Name="t", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="instance")
    target_group = group["TargetGroups"][0]["TargetGroupArn"]
    scaling = client("autoscaling")
    scaling.create_launch_configuration(LaunchConfigurationName="l", ImageId="ami-12c6146b", InstanceType="t2.micro")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="fleet", LaunchConfigurationName="l", MinSize=1, MaxSize=1, VPCZoneIdentifier=subnet
    )
    instance = scaling.describe_auto_scaling_instances()["AutoScalingInstances"][0]["InstanceId"]

    scripts = load(endpoint_url=moto, target_group_arn=target_group, hooks={"InService": "first-token"})
    scripts.aws.identity = lambda: {"instanceId": instance}
    monkeypatch.setattr(scripts.aws, "_credentials", lambda: [KEY, SECRET, TOKEN])

    assert scripts.aws.secret(arn) == '{"default": "k"}'
    assert scripts.weights.ecr_login("us-east-1") == ["AWS", "123456789012-auth-token"]
    assert scripts.aws.membership() == ("InService", "fleet")
    scripts.aws.target("RegisterTargets")
    assert scripts.aws.target("DescribeTargetHealth") == "healthy"
    scripts.aws.target("DeregisterTargets")
    health = client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    assert [row["Target"]["Id"] for row in health] == []
    scripts.aws.report_unhealthy()
    (row,) = scaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
    assert row["HealthStatus"].lower() == "unhealthy"


def test_a_host_that_no_hook_holds_completes_nothing(in_real_time: Host) -> None:
    in_real_time.cloud.member.complete("i-0", "CONTINUE")
    aws = in_real_time.scripts.aws
    assert aws.complete({"Pending:Wait": "CONTINUE", "Terminating:Wait": "CONTINUE"}) is None
    aws._act("RecordLifecycleActionHeartbeat", {"Pending:Wait": {}})
    assert {name for _, name, _ in in_real_time.cloud.calls} == {"DescribeAutoScalingInstances"}


def test_calls_name_hook_group_and_instance(in_real_time: Host) -> None:
    """And are what the SDK would send: the played AWS takes nothing else."""
    aws, own = in_real_time.scripts.aws, {"AutoScalingGroupName": "fleet", "InstanceId": "i-0"}
    aws._act("RecordLifecycleActionHeartbeat", {"Terminating:Wait": {}})
    aws._act("RecordLifecycleActionHeartbeat", {"Pending:Wait": {}})
    assert aws.complete({"Pending:Wait": "ABANDON"}) == "Pending:Wait"
    assert [call[1:] for call in in_real_time.cloud.calls if call[1] != "DescribeAutoScalingInstances"] == [
        ("RecordLifecycleActionHeartbeat", own | {"LifecycleHookName": "first-token"}),
        ("CompleteLifecycleAction", own | {"LifecycleHookName": "first-token", "LifecycleActionResult": "ABANDON"}),
    ]


def test_a_refused_call_says_why_and_never_the_secret(load: Load, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load(endpoint_url=moto)
    monkeypatch.setattr(scripts.aws, "_credentials", lambda: [KEY, SECRET, TOKEN])
    with pytest.raises(RuntimeError, match="ResourceNotFoundException") as refused:
        scripts.aws.secret("arn:aws:secretsmanager:us-east-1:123456789012:secret:none")
    assert SECRET not in str(refused.value)
