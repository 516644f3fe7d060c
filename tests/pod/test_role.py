"""A secret by the pod's own role: credentials from a played agent of EKS Pod Identity, signatures checked by botocore's
own signer, answers by moto."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import agent as beside_the_edge
import boto3
import pytest
import role
from basics import deadline
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto.server import ThreadedMotoServer

from rehearsal.host.handler import Handler, listening

KEY, SECRET, SESSION, TOKEN = "AKIAEXAMPLE", "s3cr3t-key", "session", "eyJ-the-pods-own"
ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:keys-AbCdEf"


class Agent(Handler):
    """Lends credentials to who brings the pod's token, and takes any signed request.

    Stands for: the agent of EKS Pod Identity, on its link-local address, and Secrets Manager.
    Held by: nothing, no agent of EKS is in reach. For Secrets Manager moto answers, too.
    """

    requests: ClassVar[list[tuple[dict[str, str], bytes]]] = []
    trickles: ClassVar[bool] = False

    def do_GET(self) -> None:
        if self.headers["Authorization"] != TOKEN:
            return self.reply(401, b"no such token")
        keys = {"AccessKeyId": KEY, "SecretAccessKey": SECRET, "Token": SESSION, "Expiration": "2026-11-29T18:00:00Z"}
        return self.reply(200, json.dumps(keys).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.reply(200, b'{"SecretString": "s3cret"}')

    def reply(self, status: int, body: bytes) -> None:
        if not self.trickles:
            return self.answer(status, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for byte in body:
            self.wfile.write(bytes([byte]))
            time.sleep(0.1)
        return None


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Lent as the webhook of EKS Pod Identity says to a container; the address also answers as AWS."""
    Agent.requests, Agent.trickles = [], False
    (tmp_path / "token").write_text(TOKEN)
    with listening(Agent) as port:
        url = f"http://127.0.0.1:{port}/"
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{url}v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield url


def test_a_secret_is_asked_for_as_botocore_would_sign_it(agent: str) -> None:
    assert role.secret(ARN) == "s3cret"
    ((headers, body),) = Agent.requests
    assert json.loads(body) == {"SecretId": ARN}
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {name for name in headers if name.startswith("x-amz-")} | {"host"} <= set(signed)
    request = AWSRequest("POST", agent, {name: headers[name] for name in signed}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY, SECRET, SESSION), "secretsmanager", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    assert headers["authorization"].endswith(f"Signature={signer.signature(text, request)}")
    assert headers["x-amz-security-token"] == SESSION


@contextmanager
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_secret_with_and_without_a_version_and_none_on_moto(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with moto() as url:
        store = boto3.client(
            "secretsmanager",
            region_name="us-east-1",
            endpoint_url=url,
            aws_access_key_id="x",
            aws_secret_access_key="y",
        )
        arn = store.create_secret(Name="documents-of-pods", SecretString='{"clients": {}}')["ARN"]
        empty = store.create_secret(Name="unwritten-of-pods")["ARN"]
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert role.secret(arn) == '{"clients": {}}'
        assert role.secret(empty) is None
        with pytest.raises(RuntimeError, match="ResourceNotFoundException") as refused:
            role.secret(ARN)
        assert SECRET not in str(refused.value)


def test_the_log_leaves_the_pod_in_a_stream_of_its_own(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    group = "/tandem/prod/0/pods"
    arn = f"arn:aws:logs:us-east-1:123456789012:log-group:{group}"
    monkeypatch.setenv("TANDEM_SECRETS", json.dumps({"keys": [], "hubToken": None, "log": arn}))
    monkeypatch.setenv("HOSTNAME", "vllm-main-0")
    with moto() as url:
        logs = boto3.client(
            "logs", region_name="us-east-1", endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="y"
        )
        logs.create_log_group(logGroupName=group)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        shipper = beside_the_edge.log()
        assert shipper
        for number in range(3):
            shipper.add(b'<190>Nov 29 12:00:00 nginx: {"request_id":"r-%d"}' % number)
        shipper.flush()
        found = logs.get_log_events(logGroupName=group, logStreamName="vllm-main-0", startFromHead=True)
        assert [one["message"] for one in found["events"]] == [f'{{"request_id":"r-{number}"}}' for number in range(3)]
    monkeypatch.setenv("TANDEM_SECRETS", json.dumps({"keys": [], "hubToken": None}))
    assert beside_the_edge.log() is None, "a compose project has no group"


def test_a_token_that_is_renewed_is_read_anew(agent: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of yesterday")
    with pytest.raises(RuntimeError, match="401 no such token"):
        role.secret(ARN)
    (tmp_path / "token").write_text(TOKEN)
    assert role.secret(ARN) == "s3cret"


def test_a_container_without_the_role_says_so(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    with pytest.raises(RuntimeError, match="no 'AWS_CONTAINER_CREDENTIALS_FULL_URI': this container has no role"):
        role.secret(ARN)


def test_who_trickles_ends_at_the_deadline(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Agent, "trickles", True)
    start = time.monotonic()
    with deadline(0.5), pytest.raises(RuntimeError, match="no end before the deadline"):
        role.secret(ARN)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("region", ["us-east-1", "cn-north-1"])
def test_it_is_asked_where_the_sdk_asks(agent: str, region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setattr(role, "_credentials", lambda: [KEY, SECRET, SESSION])
    monkeypatch.setattr(role, "_ask", lambda request: asked.append(request.full_url) or '{"SecretString": ""}')
    role.secret(ARN.replace("us-east-1", region).replace("arn:aws:", f"arn:aws{'-cn' * (region == 'cn-north-1')}:"))
    sdk = boto3.client("secretsmanager", region_name=region, aws_access_key_id="x", aws_secret_access_key="y")
    assert asked == [f"{sdk.meta.endpoint_url}/"]
