"""Public shapes against vLLM's own model classes: weights within 1 %, KV-cache tokens within 2 %, at TP 1, 2, 4 and 8.

The shapes are NVIDIA's copies of config.json and hf_quant_config.json in PyPI's aiconfigurator-core (Apache 2.0); of
encoders, which it lacks, they are the makers' own figures, in shapes/.
Left out are sparse ones in NVFP4 (they name a cache that no attention on H200 takes), those whose copy is cut
(quantization without its producer), which this vLLM or transformers cannot make without code of the maker's, which are
not sized, and gpt-oss: its padding is a kernel's choice, and tests/sizing/measured.json has a real start of it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import vllm_cpu

from pulumi_rehearsal import python_environment
from tandem.sizing import weights
from tandem.sizing.adapters import takers
from tandem.sizing.architectures import FAMILIES
from tandem.sizing.config_file import load_shape
from tandem.sizing.drafts import draft_bytes, load_draft
from tandem.sizing.kv_cache import kv_layout
from tandem.sizing.memory import Sizing, size
from tandem.sizing.releases import PINNED
from tandem.sizing.serving import Serving, Speculation
from tandem.sizing.support import support
from tests.sizing.rows import H200

pytestmark = pytest.mark.real

COPIES = "aiconfigurator-core==0.12.0"
SIZES = (1, 2, 4, 8)
KV_BYTES, LENGTH = 64 * 2**30, 4096
"""What meta_shapes.py shares out."""
SHAPES = """
MiniMaxAI--MiniMax-M2.5
MiniMaxAI--MiniMax-M2.7
Qwen--Qwen3-0.6B
Qwen--Qwen3-1.7B
Qwen--Qwen3-235B-A22B
Qwen--Qwen3-235B-A22B-FP8
Qwen--Qwen3-30B-A3B
Qwen--Qwen3-30B-A3B-FP8
Qwen--Qwen3-32B
Qwen--Qwen3-32B-FP8
Qwen--Qwen3-8B
Qwen--Qwen3-Coder-480B-A35B-Instruct
Qwen--Qwen3-VL-235B-A22B-Instruct
Qwen--Qwen3-VL-2B-Instruct
Qwen--Qwen3-VL-30B-A3B-Instruct
Qwen--Qwen3-VL-32B-Instruct
Qwen--Qwen3-VL-32B-Thinking
Qwen--Qwen3-VL-4B-Instruct
Qwen--Qwen3-VL-8B-Instruct
Qwen--Qwen3.5-122B-A10B
Qwen--Qwen3.5-27B
Qwen--Qwen3.5-35B-A3B
Qwen--Qwen3.5-397B-A17B
deepseek-ai--DeepSeek-R1
deepseek-ai--DeepSeek-V3
deepseek-ai--DeepSeek-V3.2
google--gemma-4-26B-A4B
meta-llama--Meta-Llama-3.1-405B
meta-llama--Meta-Llama-3.1-70B
meta-llama--Meta-Llama-3.1-8B
mistralai--Mixtral-8x22B-v0.1
mistralai--Mixtral-8x7B-v0.1
moonshotai--Kimi-K2-Instruct
moonshotai--Kimi-K2.5
nvidia--DeepSeek-V3.1-NVFP4
nvidia--Gemma-4-26B-A4B-NVFP4
nvidia--Gemma-4-31B-IT-NVFP4
nvidia--Kimi-K2.5-NVFP4
nvidia--Kimi-K2.6-NVFP4
nvidia--Kimi-K2.7-Code-NVFP4
nvidia--Llama-3.1-70B-Instruct-FP8
nvidia--MiniMax-M2.5-NVFP4
nvidia--MiniMax-M2.7-NVFP4
nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16
nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4
nvidia--NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16
nvidia--Nemotron-H-56B-Base-8K
nvidia--Qwen3-235B-A22B-NVFP4
nvidia--Qwen3.5-122B-A10B-NVFP4
nvidia--Qwen3.5-397B-A17B-NVFP4
nvidia--Qwen3.6-27B-NVFP4
nvidia--Qwen3.6-35B-A3B-NVFP4
zai-org--GLM-5
zai-org--GLM-5-FP8
zai-org--GLM-5.1
zai-org--GLM-5.1-FP8
zai-org--GLM-5.2
zai-org--GLM-5.2-FP8
zai-org--GLM-5.3
zai-org--GLM-5.3-FP8
Qwen--Qwen3-8B:fp8
Qwen--Qwen3-30B-A3B:fp8
deepseek-ai--DeepSeek-V3:fp8
deepseek-ai--DeepSeek-V3.2:fp8
Qwen--Qwen3.5-27B:fp8
google--gemma-4-26B-A4B:fp8
zai-org--GLM-5-FP8:fp8
meta-llama--Llama-4-Scout-17B-16E-Instruct
meta-llama--Llama-4-Maverick-17B-128E-Instruct
BAAI--bge-large-en-v1.5
BAAI--bge-m3
BAAI--bge-reranker-v2-m3
cross-encoder--ms-marco-MiniLM-L6-v2
""".split()  # noqa: SIM905  (a list of that many lines is harder to read)
EACH_KIND = {
    *("Qwen--Qwen3-8B", "Qwen--Qwen3-30B-A3B-FP8", "Qwen--Qwen3-VL-2B-Instruct", "Qwen--Qwen3.5-27B"),
    *("deepseek-ai--DeepSeek-V3.2", "deepseek-ai--DeepSeek-V3.2:fp8", "google--gemma-4-26B-A4B", "zai-org--GLM-5-FP8"),
    *("meta-llama--Meta-Llama-3.1-8B", "mistralai--Mixtral-8x7B-v0.1", "MiniMaxAI--MiniMax-M2.5"),
    *("nvidia--Nemotron-H-56B-Base-8K", "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4", "nvidia--Kimi-K2.5-NVFP4"),
    *("meta-llama--Llama-4-Scout-17B-16E-Instruct", "BAAI--bge-m3", "cross-encoder--ms-marco-MiniLM-L6-v2"),
}
"""The others are proven by `make test-long`."""
ADAPTED = """
Qwen--Qwen3-8B
Qwen--Qwen3-30B-A3B
Qwen--Qwen3-VL-2B-Instruct
Qwen--Qwen3.5-27B
Qwen--Qwen3.5-35B-A3B
deepseek-ai--DeepSeek-V3.2
google--gemma-4-26B-A4B
meta-llama--Llama-4-Scout-17B-16E-Instruct
meta-llama--Meta-Llama-3.1-8B
nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16
nvidia--Nemotron-H-56B-Base-8K
Qwen--Qwen3-VL-30B-A3B-Instruct
mistralai--Mixtral-8x7B-v0.1
""".split()  # noqa: SIM905
GUESSED = {
    "Qwen--Qwen3-32B:draft_model=Qwen--Qwen3-0.6B": "draft",
    "Qwen--Qwen3-30B-A3B-FP8:draft_model=Qwen--Qwen3-1.7B": "draft",
    "meta-llama--Meta-Llama-3.1-8B:eagle=eagle": "eagle",
    "meta-llama--Meta-Llama-3.1-8B:eagle3=eagle3": "eagle3",
}
"""A model, and which of the others guesses for it."""
NAMES = [name if name in EACH_KIND else pytest.param(name, marks=pytest.mark.long) for name in SHAPES]
SILENT = (
    "the image encoder's own peak",
    "an encoder keeps no KV cache",
    "a GPU of compute capability 9.0 has no FP4 units",
)
"""Warnings that are not about weights or the cache."""


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    unused = ("numpy", "pandas", "pyarrow", "scipy")
    home = python_environment.environment(COPIES.replace("==", "-"), [COPIES], unused=unused)
    [found] = home.glob("lib/python3*/site-packages/aiconfigurator_core/model_configs")
    together = tmp_path_factory.mktemp("shapes")
    for file in (*found.glob("*.json"), *Path(__file__).with_name("shapes").glob("*.json")):
        (together / file.name).symlink_to(file)
    return together


@pytest.fixture(scope="module")
def vllm(copies: Path, request: pytest.FixtureRequest) -> dict[tuple[str, int], dict[str, Any]]:
    """What vLLM's classes hold, by name and tensor parallel size; all in one process, which takes 40 s to start."""
    items = [item for item in request.session.items if item.path == request.path]
    calls = (getattr(item, "callspec", None) for item in items)
    names = [call.params["name"] for call in calls if call]
    if any(item.name == test_adapters_take_what_vllm_reserves.__name__ for item in items):
        names += [f"{name}:lora" for name in ADAPTED]
    if any(item.name == test_what_guesses_is_as_large_as_vllms_own.__name__ for item in items):
        names += GUESSED
    command = [vllm_cpu.environment(), Path(__file__).with_name("meta_shapes.py"), copies, ",".join(map(str, SIZES))]
    done = subprocess.run([*command, *names], capture_output=True, text=True, check=True, timeout=1800)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {(row["name"], row["tp"]): row for row in rows}


class Sum:
    """Adds up in place of torch's allocator, whose rounding no tensor on the meta device has."""

    def __init__(self) -> None:
        self.allocated = 0

    def allocate(self, bytes_: int) -> int:
        self.allocated += bytes_
        return bytes_

    def allocate_all(self, sizes: list[int]) -> None:
        self.allocated += sum(sizes)

    def release(self, bytes_: int) -> None:
        self.allocated -= bytes_


@pytest.fixture
def sized(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(weights, "CachingAllocator", Sum)

    def of(named: str, tp: int) -> Sizing:
        name, _, cache = named.partition(":")
        for file in ("config.json", "hf_quant_config.json"):
            if (source := copies / f"{name}_{file}").exists():
                shutil.copy(source, tmp_path / file)
        shape = load_shape(tmp_path)
        serving = Serving(
            adapter_slots=2 if cache == "lora" else 0,
            adapter_rank=9,
            tensor_parallel_size=tp,
            max_model_len=min(LENGTH, shape.max_positions),
            max_num_seqs=1024,
            max_num_batched_tokens=8192,
            kv_cache_dtype="auto" if cache == "lora" else cache or "auto",
        )
        return size(shape, serving, H200)

    return of


def test_there_are_sixty_of_all_kinds() -> None:
    assert len(SHAPES) >= 60
    assert {*SHAPES} >= EACH_KIND
    for kind in ("NVFP4", "FP8", ":fp8", "VL", "DeepSeek", "Nemotron", "gemma", "MiniMax"):
        assert any(kind in name for name in SHAPES), kind


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_is_as_large_as_vllms_own(name: str, vllm: dict[tuple[str, int], dict[str, Any]], sized: Any) -> None:
    compared = 0
    for tp in SIZES:
        sizing = sized(name, tp)
        found, said = vllm[name, tp], support(sizing)
        if said.problems or [text for text in said.warnings if not text.startswith(SILENT)]:
            continue
        assert "error" not in found, f"vLLM refuses what sizing answers: {found}"
        assert sizing.parts.weights == pytest.approx(found["weights"], rel=0.01), tp
        layout = kv_layout(sizing.shape, sizing.serving, PINNED)
        requests = layout and layout.concurrency(KV_BYTES, LENGTH, sizing.in_flight)
        assert requests == (found["requests"] and pytest.approx(found["requests"], rel=0.02)), tp
        compared += 1
    assert compared


def test_adapters_take_what_vllm_reserves(vllm: dict[tuple[str, int], dict[str, Any]], sized: Any) -> None:
    """Two slots of rank 16, by vLLM's own manager of adapters, over its own layers."""
    for name in ADAPTED:
        for tp in SIZES:
            found = vllm[f"{name}:lora", tp]
            assert sized(f"{name}:lora", tp).parts.adapters == pytest.approx(found["adapters"], rel=0.01), (name, tp)


def test_what_guesses_is_as_large_as_vllms_own(
    vllm: dict[tuple[str, int], dict[str, Any]], sized: Any, copies: Path
) -> None:
    """With its model; a head shares what vLLM's own loader has it share."""
    for name, method in GUESSED.items():
        draft = load_draft(method, copies / f"{name.rpartition('=')[2]}_config.json")
        for tp in SIZES:
            found, plain = vllm[name, tp], sized(name.partition(":")[0], tp)
            assert "error" not in found, found
            serving = replace(plain.serving, speculation=Speculation(tokens=3, draft=draft))
            with_it = size(plain.shape, serving, H200)
            assert with_it.parts.weights == pytest.approx(found["weights"], rel=0.01), (name, tp)
            layout = kv_layout(with_it.shape, serving, PINNED)
            assert layout
            requests = layout.concurrency(KV_BYTES, LENGTH, with_it.in_flight)
            assert requests == pytest.approx(found["requests"], rel=0.02), (name, tp)
            more = draft_bytes(draft, tp, hopper=True)
            assert more == pytest.approx(found["weights"] - (with_it.parts.weights - more), rel=0.05, abs=2**24)


def test_classes_take_adapters_as_the_list_says(copies: Path) -> None:
    """Of a class that wraps another one, that one's embedding decides: the shapes above hold it."""
    command = [vllm_cpu.environment(), Path(__file__).with_name("meta_shapes.py"), copies, "-", *FAMILIES]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert {name: fused for name, (_, fused) in found.items()} == {name: fused for name, (_, fused) in takers().items()}
    assert {name for name, (own, _) in found.items() if own} <= {name for name, (ends, _) in takers().items() if ends}
