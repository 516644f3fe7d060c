"""The catalog of models: complete, sourced, and every one of them can be sized."""

from __future__ import annotations

from datetime import date

import pytest

from tandem.catalog.models import MODELS, unknown_model_problem
from tandem.settings.inference import InferenceSettings
from tandem.sizing.architectures import FAMILIES, known_to_vllm
from tandem.sizing.known import catalog_shape
from tandem.sizing.units import GIB
from tandem.sizing.weights import weight_bytes

PARAMETERS = {
    "Qwen/Qwen3-8B": 8.19,
    "Qwen/Qwen3-32B": 32.8,
    "Qwen/Qwen3-30B-A3B": 30.5,
    "Qwen/Qwen3.5-27B": 27.4,
    "meta-llama/Llama-3.1-8B-Instruct": 8.03,
    "meta-llama/Llama-3.3-70B-Instruct": 70.6,
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": 31.6,
    "Qwen/Qwen3.5-35B-A3B": 35.1,
}
"""Billions of weights that the makers state, for models in bf16."""


def test_there_are_enough_and_of_every_kind() -> None:
    assert len(MODELS) >= 12
    shapes = [catalog_shape(model) for model in MODELS]
    assert any(shape.is_mixture_of_experts for shape in shapes)
    assert any(shape.has_latent_attention for shape in shapes)
    assert any(shape.is_hybrid for shape in shapes)
    assert any(mixer.window for shape in shapes for mixer in shape.attentions)
    assert {shape.quantization.method for shape in shapes if shape.quantization} >= {"fp8", "mxfp4", "modelopt"}
    assert any(shape.vision for shape in shapes)


@pytest.mark.parametrize("model", MODELS)
def test_each_has_licence_source_and_date_and_no_revision(model: str) -> None:
    entry = MODELS[model]
    assert entry.licence
    assert entry.source.startswith("PyPI aiconfigurator-core 0.12.0")
    assert entry.read_on == date(2026, 11, 21)
    assert "revision" not in entry.config
    assert entry.gated is (model.startswith("meta-llama/"))


@pytest.mark.parametrize("model", MODELS)
def test_each_is_served_by_the_pinned_vllm_and_described(model: str) -> None:
    architecture = catalog_shape(model).architecture
    assert architecture in known_to_vllm()
    assert architecture in FAMILIES


@pytest.mark.parametrize(("model", "billions"), PARAMETERS.items())
def test_weights_are_what_the_maker_says(model: str, billions: float) -> None:
    assert weight_bytes(catalog_shape(model), 1) / 2e9 == pytest.approx(billions, rel=0.02)


def test_every_described_class_is_served_by_the_pinned_vllm() -> None:
    assert set(FAMILIES) <= known_to_vllm()


def test_the_default_model_of_a_stack_is_known() -> None:
    assert InferenceSettings().model in MODELS


def test_a_four_bit_checkpoint_of_a_large_model_is_as_large_as_its_files() -> None:
    """gpt-oss-120b: 60.8 GiB of files; padding adds to it."""
    assert 60.8 < weight_bytes(catalog_shape("openai/gpt-oss-120b"), 1) / GIB < 64


def test_an_unknown_model_gets_the_names_that_are_near() -> None:
    problem = unknown_model_problem("model", "Qwen/Qwen3-8b")
    assert "Qwen/Qwen3-8B" in problem.allowed
    assert "--config" in problem.fix
