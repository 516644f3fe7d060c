"""What a guest finds around it: metadata service, AWS, package mirror, model hub; each can be told to fail."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from rehearsal.host.aws import API_KEY, HUB_TOKEN, Aws
from rehearsal.host.guest import OUTSIDE
from rehearsal.host.handler import Handler, listening
from rehearsal.host.hub import Hub, Pages
from rehearsal.host.member import Member
from rehearsal.host.metadata import Metadata
from rehearsal.host.packages import SignedRepository
from rehearsal.host.registry import Image

INSTANCE = "i-00000000000000001"
WEIGHTS = bytes(range(256)) * (4 << 12)  # 4 MiB
MODEL = {"config.json": b"{}", "model.safetensors": WEIGHTS, "original/consolidated.pth": b"pickle", "README.md": b"#"}


@dataclass
class Cloud:
    """The state of everything, and a record of every call. Changed by tests while a guest runs.

    Attributes:
        instance: id of the instance.
        member: the instance in its Auto Scaling group and its target group.
        calls: (seconds since start, operation, parameters as boto3 takes them).
        refused: operation to the code and the message of a refusal.
        objects: of S3, by bucket/key.
        busy: operation of S3 to how many of its first calls are told to slow down.
        clients: text of the secret with the document of clients.
        mirror_down_seconds: the package mirror answers 503 for so long from the first request on.
        hub: the model hub, with faults of its own.
        written: headers and body of what was written to the workspace of Amazon Managed Prometheus.
        pulled: paths that were asked of the registry.
        registry_away: the registry answers 503.
        metadata: items that are served over those of an ordinary instance.
        odd_answers: item to what the metadata service answers first, one request each: a status, a text, None for none.
    """

    user_data: bytes = b""
    instance: str = INSTANCE
    member: Member = field(default_factory=Member)
    calls: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    clients: str = json.dumps({"clients": {"default": {"keys": [{"sha256": sha256(API_KEY.encode()).hexdigest()}]}}})
    bodies: list[bytes] = field(default_factory=list)
    mirror_down_seconds: float = 0
    mirror_down_until: float = 0
    hub: Hub = field(default_factory=lambda: Hub("acme/model", dict(MODEL)))
    written: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    pulled: list[str] = field(default_factory=list)
    registry_away: bool = False
    metadata: dict[str, str] = field(default_factory=dict)
    odd_answers: dict[str, list[int | str | None]] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def downloads(self) -> list[str]:
        """Large files that were asked of the hub, `name from byte`."""
        return self.hub.downloads()

    def secret(self, arn: str) -> str:
        return HUB_TOKEN if "hugging-face" in arn else self.clients

    def record(self, action: str, parameters: dict[str, Any]) -> None:
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


class Files(Handler, Pages):
    """The package repository under /apt/, the registry as a mirror of docker.io, and the model hub.

    Stands for: package mirror, registry and hub of a host.
    Held by: tests/real/test_boot.py::test_the_ledger_tells_each_stage_once_and_in_order (apt, Docker and the hub's
        own client ask it).
    """

    repository: SignedRepository
    image: Image

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
        return super().do_GET()

    def package(self, name: str) -> None:
        cloud = self.cloud
        if cloud.mirror_down_seconds and not cloud.mirror_down_until:
            cloud.mirror_down_until = time.monotonic() + cloud.mirror_down_seconds
        if time.monotonic() < cloud.mirror_down_until:
            return self.answer(503, "down")
        file = self.repository.directory / name
        return self.answer(200, file.read_bytes()) if file.is_file() else self.answer(404, "")


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
    with ExitStack() as running:
        files = running.enter_context(listening(Files, cloud=cloud, hub=cloud.hub, repository=repository, image=image))
        metadata, aws = (running.enter_context(listening(kind, cloud=cloud)) for kind in (Metadata, Aws))
        yield Addresses(metadata, aws, files)
