"""What a guest finds around it: metadata service, AWS, package mirror, model hub. Recording doubles, each with faults.

AWS is played only as far as a host calls it, with the state that its answers depend on: the lifecycle of one instance
and its place in a target group.
"""

from __future__ import annotations

import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rehearsal.host.guest import OUTSIDE
from rehearsal.host.packages import SignedRepository
from rehearsal.host.registry import Image

INSTANCE = "i-00000000000000001"
API_KEY = "test-api-key-0123456789abcdef"
HUB_TOKEN = "hf_test_token_0123456789abcdef"  # noqa: S105
WEIGHTS = bytes(range(256)) * (4 << 12)  # 4 MiB
ROLE = "meta-data/iam/security-credentials/"


@dataclass
class Cloud:
    """The state of everything, and a record of every call. Changed by tests while a guest runs.

    Attributes:
        instance: id of the instance.
        lifecycle: state of the instance in its group, as DescribeAutoScalingInstances tells it.
        target: state in the target group.
        calls: (seconds since start, action or target, parameters).
        mirror_down_seconds: the package mirror answers 503 for so long from the first request on.
        cut_downloads: so many downloads of the weights break off in the middle.
        stalled_downloads: so many get a third of the weights, and then nothing until they hang up.
        pulled: paths that were asked of the registry.
        registry_away: the registry answers 503.
        metadata: items that are served over those of an ordinary instance.
    """

    user_data: bytes = b""
    instance: str = INSTANCE
    lifecycle: str = "Pending:Wait"
    target: str = "unused"
    calls: list[tuple[float, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    mirror_down_seconds: float = 0
    mirror_down_until: float = 0
    cut_downloads: int = 0
    stalled_downloads: int = 0
    downloads: list[str] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    registry_away: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, action: str, parameters: dict[str, str]) -> None:
        with self.lock:
            self.calls.append((time.monotonic() - self.started, action, parameters))

    def actions(self, *names: str) -> list[str]:
        """The recorded actions among `names`, in order."""
        return [action for _, action, _ in self.calls if action in names]

    def wait_for(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not in {seconds} s; calls: {[call[1] for call in self.calls[-20:]]}")
            time.sleep(0.1)


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud
    protocol_version = "HTTP/1.1"

    def answer(
        self, status: int, body: bytes | str, kind: str = "text/plain", more: dict[str, str] | None = None
    ) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Metadata(_Handler):
    """IMDSv2 of a g6.12xlarge."""

    def items(self) -> dict[str, str | bytes]:
        document = {
            "instanceId": self.cloud.instance, "instanceType": "g6.12xlarge", "region": "us-east-1",
            "accountId": "000000000000", "availabilityZone": "us-east-1a", "imageId": "ami-0",
            "privateIp": "169.254.169.15",
        }  # fmt: skip
        credentials = {
            "Code": "Success", "AccessKeyId": "ASIATEST", "SecretAccessKey": "test-secret-key", "Token": "test-token",
            "Expiration": "2099-01-01T00:00:00Z", "LastUpdated": "2026-11-21T00:00:00Z", "Type": "AWS-HMAC",
        }  # fmt: skip
        return {
            "meta-data/instance-id": self.cloud.instance, "meta-data/ami-id": "ami-0",
            "meta-data/instance-type": "g6.12xlarge", "meta-data/local-hostname": "guest",
            "meta-data/hostname": "guest", "meta-data/local-ipv4": "169.254.169.15",
            "meta-data/placement/availability-zone": "us-east-1a", "meta-data/placement/region": "us-east-1",
            "meta-data/autoscaling/target-lifecycle-state": "InService",
            "dynamic/instance-identity/document": json.dumps(document),
            ROLE: "tandem-host", ROLE + "tandem-host": json.dumps(credentials),
            "user-data": self.cloud.user_data, **self.cloud.metadata,
        }  # fmt: skip

    def do_PUT(self) -> None:
        self.answer(200, "token", more={"X-aws-ec2-metadata-token-ttl-seconds": "21600"})

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "token":
            return self.answer(401, "")
        path = re.sub(r"^/(latest|\d{4}-\d\d-\d\d)/?", "", self.path)
        items = self.items()
        if path in items:
            return self.answer(200, items[path])
        folder = path if path.endswith("/") or not path else path + "/"
        names = {name.removeprefix(folder).partition("/") for name in items if name.startswith(folder)}
        listing = sorted({first + slash for first, slash, _ in names if first})
        return self.answer(200, "\n".join(listing)) if listing else self.answer(404, "")


class Aws(_Handler):
    """Secrets Manager, Auto Scaling, Elastic Load Balancing and CloudWatch Logs at one address."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.cloud.lock:
            self.cloud.bodies.append(body)
        if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=ASIATEST/"):
            return self.answer(403, "")
        if target := self.headers.get("X-Amz-Target"):
            return self.json_call(target.rpartition(".")[2], json.loads(body or b"{}"))
        return self.query(dict(urllib.parse.parse_qsl(body.decode())))

    def json_call(self, action: str, parameters: dict[str, str]) -> None:
        self.cloud.record(action, parameters)
        answers = {"GetSecretValue": {"SecretString": self.secret(parameters.get("SecretId", ""))}}
        self.answer(200, json.dumps(answers.get(action, {})), "application/x-amz-json-1.1")

    def secret(self, arn: str) -> str:
        return HUB_TOKEN if "hugging-face" in arn else json.dumps({"default": API_KEY})

    def query(self, parameters: dict[str, str]) -> None:
        action = parameters["Action"]
        self.cloud.record(action, parameters)
        cloud = self.cloud
        if action == "CompleteLifecycleAction":
            going = cloud.lifecycle.startswith("Terminating")
            done = "Terminating:Proceed" if going else "InService"
            cloud.lifecycle = done if parameters["LifecycleActionResult"] == "CONTINUE" else "Terminating:Wait"
        elif action == "RegisterTargets":
            cloud.target = "healthy"
        elif action == "DeregisterTargets":
            cloud.target = "draining"
        text = f"<State>{cloud.target}</State>" if action == "DescribeTargetHealth" else ""
        if action == "DescribeAutoScalingInstances":
            text = (
                f"<AutoScalingGroupName>fleet</AutoScalingGroupName><LifecycleState>{cloud.lifecycle}</LifecycleState>"
            )
        self.answer(200, f"<{action}Response>{text}</{action}Response>", "text/xml")


class Files(_Handler):
    """The package repository under /apt/, the registry as a mirror of docker.io, and the hub's files."""

    repository: SignedRepository
    image: Image

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path).partition("?")[0]
        if path.startswith("/apt/"):
            return self.package(path.removeprefix("/apt/").removeprefix("./"))
        if path.startswith("/v2/"):
            self.cloud.pulled.append(path)
            if self.cloud.registry_away:
                return self.answer(503, "away")
            data, kind = self.image.get(path) or (b"", "")
            return self.answer(200 if data else 404, data, kind)
        if "/resolve/" in path:
            return self.model_file(path)
        return self.answer(404, "")

    def package(self, name: str) -> None:
        cloud = self.cloud
        if cloud.mirror_down_seconds and not cloud.mirror_down_until:
            cloud.mirror_down_until = time.monotonic() + cloud.mirror_down_seconds
        if time.monotonic() < cloud.mirror_down_until:
            return self.answer(503, "down")
        file = self.repository.directory / name
        return self.answer(200, file.read_bytes()) if file.is_file() else self.answer(404, "")

    def model_file(self, path: str) -> None:
        data = WEIGHTS if path.endswith(".safetensors") else b'{"stub": true}'
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        self.cloud.downloads.append(f"{path.rpartition('/')[2]} from {first}")
        self.send_response(206)
        self.send_header("Content-Length", str(len(data) - first))
        self.end_headers()
        if path.endswith(".safetensors") and (self.cloud.cut_downloads or self.cloud.stalled_downloads):
            self.wfile.write(data[first : first + len(data) // 3])
            self.wfile.flush()
            if self.cloud.cut_downloads:
                self.cloud.cut_downloads -= 1
            else:
                self.cloud.stalled_downloads -= 1
                self.connection.recv(1)  # nothing comes until the client is gone
            self.close_connection = True
        else:
            self.wfile.write(data[first:])


@dataclass(frozen=True)
class Addresses:
    """Ports on this machine; the guest finds them at OUTSIDE."""

    metadata: int
    aws: int
    files: int

    @property
    def aws_url(self) -> str:
        return f"http://{OUTSIDE}:{self.aws}"

    @property
    def files_url(self) -> str:
        return f"http://{OUTSIDE}:{self.files}"


@contextmanager
def serving(cloud: Cloud, repository: SignedRepository, image: Image) -> Iterator[Addresses]:
    """Runs all doubles on free ports."""
    servers = []
    for kind in (Metadata, Aws, Files):
        own: Any = type(kind.__name__, (kind,), {"cloud": cloud, "repository": repository, "image": image})
        server = ThreadingHTTPServer(("127.0.0.1", 0), own)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    try:
        yield Addresses(*(server.server_port for server in servers))
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
