"""An account in which everything is right, and of which a test breaks one thing: AWS, DNS and hub, settings, pins."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import pins
from tandem.ops.aws import aws_clients
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.run import run_check
from tandem.ops.kinds.kind import Clients
from tandem.settings import Settings

NOW = datetime.now(UTC).replace(microsecond=0)
DELEGATED = ["ns-1.example.net", "ns-2.example.net"]

SIBLINGS = [{"rfilename": name, "size": 2, "blobId": "0" * 40} for name in ("config.json", "model.safetensors")]


class World:
    """What is neither AWS nor ours: the public DNS and the model hub, as one small server that stands in for them.

    Stands for: public DNS and the model hub, as `tandem doctor` asks them.
    Held by: nothing, neither is in reach.
    """

    def __init__(self) -> None:
        self.name_servers = list(DELEGATED)
        self.hub: tuple[int, str] = (200, "")
        self.adapter: dict[str, Any] = {"r": 16, "base_model_name_or_path": "unsloth/Qwen3-8B"}
        world = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/resolve"):
                    status, code = 200, ""
                    body: Any = {"Answer": [{"type": 2, "data": f"{server}."} for server in world.name_servers]}
                elif self.path.endswith("adapter_config.json"):
                    (status, code), body = world.hub, world.adapter
                else:
                    (status, code), body = world.hub, {"sha": "0" * 40, "siblings": SIBLINGS}
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@dataclass
class Account:
    """What a case breaks: the stand-in's fields, what moto holds, the world, and the stack's settings.

    Attributes:
        zone_id: a hosted zone's id in moto's form, which settings would refuse.
    """

    gaps: AccountGaps
    world: World
    clients: Clients
    monkeypatch: pytest.MonkeyPatch
    sections: dict[str, Any] = field(default_factory=dict)
    pins: dict[str, Any] = field(default_factory=dict)
    zone_id: str = ""

    def fleet(self, **values: Any) -> None:
        self.sections["fleet"] = values

    def examination(self) -> Examination:
        values: dict[str, Any] = {"region": "us-east-1", "ephemeral": True, **self.sections}
        settings = Settings.model_validate(values)
        if self.zone_id:
            balancer = settings.load_balancer.model_copy(update={"hosted_zone_id": self.zone_id})
            settings = settings.model_copy(update={"load_balancer": balancer})
        return Examination(
            stack="dev",
            settings=settings,
            pins=pins.load().model_copy(update=self.pins),
            clients=self.clients if values["region"] == "us-east-1" else aws_clients(values["region"], ask=False),
            home=self.clients,
            now=NOW,
        )


Case = tuple[Callable[[Account], None], str, str, str, str]
"""What breaks it: check that finds it, severity, words of the finding, words of the remedy."""


def assert_found(account: Account, case: Case) -> None:
    """The broken thing is named once, with its value and its remedy."""
    break_it, check, severity, what, fix = case
    break_it(account)
    found = [finding for finding in run_check(check, account.examination()) if what in finding.what]
    assert [finding.severity for finding in found] == [severity]
    assert fix in found[0].fix
    assert found[0].value
