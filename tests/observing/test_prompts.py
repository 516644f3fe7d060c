"""How long prompts are, as `tandem ready` asks a real Prometheus that follows a server with vLLM's own names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from tandem.http import Http
from tandem.ops.ready.load import COUNTS, prompts
from tandem.settings import Settings
from tests.observing.growing import POD, growing
from tests.observing.live import Live, prometheus

NAME = "Qwen/Qwen3-8B"
SHARES = {"50.0": 0.5, "2000.0": 0.98, "5000.0": 0.999, "20000.0": 1.0, "+Inf": 1.0}


def histogram() -> str:
    """Of ten thousand prompts, as vLLM tells it (test_the_recorded_server_has_what_is_asked_for)."""
    lines = ["# TYPE vllm:request_prompt_tokens histogram"]
    for bound, share in SHARES.items():
        labels = f'engine="0",le="{bound}",model_name="{NAME}"'
        lines.append(f"vllm:request_prompt_tokens_bucket{{{labels}}} {round(10_000 * share)}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with growing(histogram()) as port, prometheus(port, [{}], tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.mark.clock
def test_a_real_prometheus_tells_how_long_prompts_are(live: Live) -> None:
    """Half of them are probes; of 500 others 480 have up to 2,000 tokens, 499 up to 5,000."""
    values = {"region": "us-east-1", "ephemeral": True, "inference": {"model": NAME, "maxModelLen": 32768}}
    visit: Any = SimpleNamespace(
        settings=Settings.model_validate(values), http=Http(), prometheus=live.url, now=datetime.now(UTC)
    )
    assert prompts(visit) == "main: 99 of 100 prompts have up to 5,000 tokens of 32,768"


def test_the_recorded_server_has_what_is_asked_for() -> None:
    series = re.search(r"vllm:\w+", COUNTS)
    assert series
    lines = re.findall(rf"(?m)^{series[0]}{{(.*)}}", POD)
    assert {re.sub('="[^"]*"', "", line) for line in lines} == {"engine,le,model_name"}
    assert 'le="50.0"' in POD
