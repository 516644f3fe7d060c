"""Calls to AWS: really signed by curl, checked by botocore's own signer, answered by moto."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import boto3
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer
from scripts import Load

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "session//token=="


class Metadata(BaseHTTPRequestHandler):
    """IMDSv2, as strict as EC2's: a token first."""

    items: ClassVar[dict[str, str]] = {}

    def do_PUT(self) -> None:
        self.answer(200 if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else 400, "t0k3n")

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != "t0k3n":
            self.answer(401, "")
        elif self.path.removeprefix("/latest/") in self.items:
            self.answer(200, self.items[self.path.removeprefix("/latest/")])
        else:
            self.answer(404, "")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


class Recorder(Metadata):
    requests: ClassVar[list[tuple[dict[str, str], bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append((dict(self.headers), body))
        self.answer(200, '{"SecretString": "s3cret"}')


@pytest.fixture
def serve() -> Iterator:
    servers = []

    def start(handler: type[BaseHTTPRequestHandler]) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def role_metadata() -> dict[str, str]:
    credentials = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": TOKEN}
    path = "meta-data/iam/security-credentials/"
    return {path: "tandem-host", path + "tandem-host": json.dumps(credentials)}


def test_metadata_takes_a_token_and_knows_what_is_absent(load: Load, serve) -> None:
    scripts = load()
    Metadata.items = {"meta-data/instance-id": "i-1"}
    scripts.aws.METADATA = serve(Metadata) + "latest/"
    assert scripts.aws.metadata("meta-data/instance-id") == "i-1"
    assert scripts.aws.metadata("meta-data/spot/instance-action") is None


def test_the_signature_is_the_one_that_botocore_makes(load: Load, serve) -> None:
    Recorder.items, Recorder.requests = role_metadata(), []
    url = serve(Recorder)
    scripts = load(endpoint_url=url)
    scripts.aws.METADATA = url + "latest/"
    assert scripts.aws.secret("arn:aws:secretsmanager:us-east-1:0:secret:x") == "s3cret"
    ((headers, body),) = Recorder.requests
    signed = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    lower = {name.lower(): value for name, value in headers.items()}
    request = AWSRequest("POST", url, {name: lower[name] for name in signed if name != "host"}, body)
    request.context["timestamp"] = lower["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY, SECRET, TOKEN), "secretsmanager", "us-east-1")
    text = signer.string_to_sign(request, canonical_of(signer, request, signed))
    assert headers["Authorization"].endswith(f"Signature={signer.signature(text, request)}")
    assert lower["x-amz-security-token"] == TOKEN
    assert "x-amz-security-token" in signed


def canonical_of(signer: SigV4Auth, request: AWSRequest, signed: list[str]) -> str:
    """botocore's canonical request over the headers that curl says it signed."""
    host = request.url.split("/")[2]
    headers = {**{name: request.headers[name] for name in signed if name != "host"}, "host": host}
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
    return "\n".join(["POST", "/", "", *lines, "", ";".join(sorted(headers)), signer.payload(request)])


def test_credentials_are_not_among_the_arguments(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    monkeypatch.setattr(scripts.aws, "metadata", lambda path: role_metadata()[path])
    seen = []
    monkeypatch.setattr(scripts.aws, "sh", lambda *command, input: seen.append((command, input)) or "{}")
    scripts.aws.autoscaling("DescribeAutoScalingInstances")
    ((command, typed),) = seen
    assert SECRET not in " ".join(command)
    assert TOKEN not in " ".join(command)
    assert SECRET in typed


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
    monkeypatch.setattr(scripts.aws, "metadata", lambda path: role_metadata()[path])

    assert scripts.aws.secret(arn) == '{"default": "k"}'
    assert scripts.aws._hook() == {
        "AutoScalingGroupName": "fleet", "LifecycleHookName": "first-token", "InstanceId": instance,
    }  # fmt: skip
    scripts.aws.target("RegisterTargets")
    assert scripts.aws.target("DescribeTargetHealth") == "healthy"
    scripts.aws.target("DeregisterTargets")
    health = client("elbv2").describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
    assert [row["Target"]["Id"] for row in health] == []
    scripts.aws.report_unhealthy()
    (row,) = scaling.describe_auto_scaling_instances(InstanceIds=[instance])["AutoScalingInstances"]
    assert row["HealthStatus"].lower() == "unhealthy"


def test_a_host_that_no_hook_holds_completes_nothing(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load()
    asked = []

    def autoscaling(action: str, **_: str) -> str:
        asked.append(action)
        return "<LifecycleState>InService</LifecycleState>"

    monkeypatch.setattr(scripts.aws, "autoscaling", autoscaling)
    assert not scripts.aws.complete("CONTINUE")
    scripts.aws.heartbeat()
    assert asked == ["DescribeAutoScalingInstances"] * 2


def test_a_refused_call_says_why_and_never_the_secret(load: Load, moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = load(endpoint_url=moto)
    monkeypatch.setattr(scripts.aws, "metadata", lambda path: role_metadata()[path])
    with pytest.raises(RuntimeError, match="ResourceNotFoundException") as refused:
        scripts.aws.secret("arn:aws:secretsmanager:us-east-1:123456789012:secret:none")
    assert SECRET not in str(refused.value)
