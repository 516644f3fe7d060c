"""How long prompts are, as `tandem ready` asks a real Prometheus that follows a server with vLLM's own names."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pulumi_rehearsal.servers import QuietServer
from tandem.http import Http
from tandem.ops.ready.load import COUNTS, prompts
from tandem.settings import Settings
from tests.observing.live import Live, prometheus

NAME = "Qwen/Qwen3-8B"
SHARES = {"50.0": 0.5, "2000.0": 0.98, "5000.0": 0.999, "20000.0": 1.0, "+Inf": 1.0}
RECORDED = Path(__file__).parent / "recorded" / "metrics.txt"


class Growing(BaseHTTPRequestHandler):
    """A server that has had a thousand requests more each time it is asked.

    Stands for: vLLM's histogram of prompts.
    Held by: tests/observing/test_prompts.py::test_the_recorded_server_has_what_is_asked_for
    """

    asked = 0

    def do_GET(self) -> None:
        Growing.asked += 1
        lines = ["# TYPE vllm:request_prompt_tokens histogram"]
        for bound, share in SHARES.items():
            labels = f'engine="0",le="{bound}",model_name="{NAME}"'
            lines.append(f"vllm:request_prompt_tokens_bucket{{{labels}}} {round(1000 * share * Growing.asked)}")
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(("\n".join(lines) + "\n").encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    server = QuietServer(("127.0.0.1", 0), Growing)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    with prometheus(server.server_port, [{}], tmp_path_factory.mktemp("prometheus")) as found:
        yield found
    server.shutdown()
    server.server_close()


@pytest.mark.clock
def test_a_real_prometheus_tells_how_long_prompts_are(live: Live) -> None:
    """Half of them are probes; of 500 others 480 have up to 2,000 tokens, 499 up to 5,000."""
    values = {"region": "us-east-1", "ephemeral": True, "inference": {"model": NAME, "maxModelLen": 32768}}
    visit: Any = SimpleNamespace(
        settings=Settings.model_validate(values), http=Http(), prometheus=live.url, now=datetime.now(UTC)
    )
    assert prompts(visit) == "main: 99 of 100 prompts have up to 5,000 tokens of 32,768"


def test_the_recorded_server_has_what_is_asked_for() -> None:
    recorded = RECORDED.read_text()
    series = re.search(r"vllm:\w+", COUNTS)
    assert series
    lines = re.findall(rf"(?m)^{series[0]}{{(.*)}}", recorded)
    assert {re.sub('="[^"]*"', "", line) for line in lines} == {"engine,le,model_name"}
    assert 'le="50.0"' in recorded
