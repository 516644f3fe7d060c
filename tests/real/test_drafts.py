"""A draft and an EAGLE-3 head that guess for the real vLLM 0.32.0, and what becomes of guesses that are wrong."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from asking import ask
from served import completion, config, serving
from test_telemetry import seen, telemetry
from vllm_cpu import Server, environment, model

from tandem.scripts import shared
from tandem.serving.engine import Beside
from tandem.settings.inference import SpeculationSettings

pytestmark = pytest.mark.real

BESIDE = Beside(model="acme/small", revision="1" * 40, manifest="")
TOKENS, MADE = 3, 900
"""Guessed in a step; made by an answer, which is more steps than are judged together."""


@pytest.fixture(scope="module", params=["draft", pytest.param("eagle3", marks=pytest.mark.long)])
def vllm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With what guesses in its hub cache, as a host has it."""
    hub, method = tmp_path_factory.mktemp("hub"), request.param
    script = Path(__file__).with_name("tiny_drafts.py")
    subprocess.run([environment(), script, method, model(), hub / BESIDE.directory], check=True)
    guesses = SpeculationSettings(method=method, model=BESIDE.model, tokens=TOKENS, up_to_requests=2)
    small = config(
        *("generate", 2048),
        tensor_parallel_size=1,
        max_num_seqs=4,
        max_num_batched_tokens=64,
        speculation=guesses,
        draft=BESIDE,
        guesses_pay={1: 0.2, 2: 0.3},
    )
    with serving(small, tmp_path_factory.mktemp("vllm"), hub=hub) as running:
        yield running


def answer(vllm: Server) -> tuple[str, float, float]:
    """A text, greedily; how many tokens were guessed for it, and how many of these were right."""
    before = seen(vllm)
    said = ask(vllm.port, completion(MADE, temperature=0), None)
    assert said.status == 200
    guessed, right = (seen(vllm)[name] - before[name] for name in (telemetry.GUESSED, telemetry.RIGHT))
    return json.loads(said.body)["choices"][0]["text"], guessed, right


def test_wrong_guesses_end_by_themselves_and_change_no_answer(vllm: Server) -> None:
    """One layer of two with random weights is not of one mind with both."""
    judged = shared("guessing").GUESSES
    first, guessed, right = answer(vllm)
    assert judged <= guessed < judged + 2 * TOKENS * MADE // 10, "until they are judged, and a step that was under way"
    assert right < 0.2 * guessed
    assert "were right, they pay nowhere" in vllm.log.read_text()
    again, guessed, _ = answer(vllm)
    assert (again, guessed) == (first, 0)
