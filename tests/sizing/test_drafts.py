"""What guesses for a model, sized. tests/real/test_shapes.py holds the sums against vLLM's own classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tandem.errors import UserError
from tandem.sizing.drafts import Draft, Drafted, Method, draft_bytes, load_draft, misfits, state_bytes
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import size
from tandem.sizing.plan import Plan, plan
from tandem.sizing.serving import Gpu, Serving, Speculation
from tandem.sizing.weights import weight_bytes
from tests.sizing.configs import llama

L4 = Gpu(mib=22559, compute_capability=8.9, name="L4")
LLAMA, QWEN = catalog_shape("meta-llama/Llama-3.1-8B-Instruct"), "Qwen/Qwen3-8B"
HEAD = {  # yuhuili/EAGLE3-LLaMA3.1-Instruct-8B
    "architectures": ["LlamaForCausalLMEagle3"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 1,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 2048,
    "vocab_size": 128256,
    "draft_vocab_size": 32000,
    "torch_dtype": "bfloat16",
}


@pytest.fixture
def read(tmp_path: Path) -> Any:
    def of(method: Method, **changes: object) -> Draft:
        (tmp_path / "config.json").write_text(json.dumps(HEAD | changes))
        return load_draft(method, tmp_path / "config.json")

    return of


def test_a_head_has_a_layer_a_matrix_and_an_output_of_its_own(read: Any) -> None:
    """In numbers: queries, keys and values of twice the width, what comes out of them, the feed-forward block, norms,
    three states of the model for each token, and the output for the tokens that it can guess."""
    h, layer = 4096, (2 * 4096 * 6144) + 4096 * 4096 + 3 * 4096 * 14336 + 2 * 4096
    table = 2048 * 128
    expected = 2 * (layer + 3 * h * h + 32000 * h + table)
    assert draft_bytes(read("eagle3"), 1, hopper=True) == pytest.approx(expected, rel=0.001)
    older = read("eagle", architectures=["LlamaForCausalLM"], draft_vocab_size=None)
    assert draft_bytes(older, 1, hopper=True) == pytest.approx(2 * (layer - h * 6144 + 2 * h * h + table), rel=0.001)


def test_a_draft_is_a_model_of_its_own(read: Any) -> None:
    draft = read("draft", architectures=["LlamaForCausalLM"])
    assert draft_bytes(draft, 2, hopper=True) == weight_bytes(draft.shape, 2)
    assert (
        state_bytes(draft, 8192)
        == 0
        < state_bytes(read("eagle", architectures=["LlamaForCausalLM"]), 8192)
        < state_bytes(read("eagle3"), 8192)
    )


def test_what_it_takes_is_gone_from_the_cache(read: Any) -> None:
    how = Serving(tensor_parallel_size=2, max_num_batched_tokens=2048)
    plain = size(LLAMA, how, L4)
    for draft in (read("eagle3"), read("draft", architectures=["LlamaForCausalLM"])):
        found = size(LLAMA, Serving(**vars(how) | {"speculation": Speculation(tokens=3, draft=draft)}), L4)
        taken = found.parts.weights - plain.parts.weights
        assert taken == draft_bytes(draft, 2, hopper=False)
        assert found.parts.activation - plain.parts.activation == state_bytes(draft, 2048)
        assert found.layout
        assert plain.layout
        assert found.layout.bytes_per_block == plain.layout.bytes_per_block * 33 // 32


def test_a_draft_that_takes_long_pays_from_more(tmp_path: Path) -> None:
    """Each guess reads its weights: one of half the model's size pays from half of the guesses at least."""
    small, large = (llama(num_hidden_layers=layers, vocab_size=151936) for layers in (1, 500))
    needed = []
    for number, config in enumerate((small, large)):
        file = tmp_path / f"{number}.json"
        file.write_text(json.dumps(config | {"max_position_embeddings": 40960}))
        needed.append(planned(Drafted(method="draft", model="acme/draft", config_path=file)).guesses_pay_from)
    ngram = plan(model=QWEN, instance_types=["g6.12xlarge"], speculation=Speculation(tokens=3, up_to_requests=8))
    assert ngram.guesses_pay_from < needed[0] < needed[1] / 2


def planned(drafted: Drafted, **more: Any) -> Plan:
    guesses = Speculation(tokens=3, up_to_requests=8)
    return plan(model=QWEN, instance_types=["g6.12xlarge"], speculation=guesses, drafted=drafted, **more)


def test_what_was_not_made_for_the_model_is_refused_by_the_setting(tmp_path: Path) -> None:
    for method, config, wrong, has, allowed in (
        ("draft", llama(vocab_size=32000, max_position_embeddings=40960), "vocab_size", 32000, "151936"),
        ("draft", llama(vocab_size=151936), "max_position_embeddings", 4096, "from 40960"),
        ("eagle3", HEAD | {"hidden_size": 2048, "target_hidden_size": 4096}, "hidden_size", 2048, "4096"),
        ("eagle3", HEAD | {"target_hidden_size": 8192}, "target_hidden_size", 8192, "4096"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config))
        (problem,) = planned(Drafted(method=method, model="acme/x", config_path=tmp_path / "config.json")).problems
        assert (problem.key, problem.value, problem.allowed) == ("inference.speculation.model", has, allowed)
        assert wrong in problem.wrong
    assert (
        "inference.maxModelLen"
        in planned(Drafted(method="draft", model="acme/x", config_path=_short(tmp_path))).problems[0].fix
    )


def _short(directory: Path) -> Path:
    (directory / "short.json").write_text(json.dumps(llama(vocab_size=151936)))
    return directory / "short.json"


def test_a_head_that_fits_is_fine(read: Any) -> None:
    assert [*misfits(read("eagle3"), LLAMA, 131072)] == []


@pytest.mark.parametrize(("method", "name"), [("eagle", "Qwen3ForCausalLM"), ("eagle3", "DeepseekV3ForCausalLM")])
def test_a_class_that_is_not_described_is_refused_by_name(read: Any, method: Method, name: str) -> None:
    with pytest.raises(UserError, match="whose layers are described here"):
        read(method, architectures=[name])


def test_one_that_nobody_described_is_said_not_to_be_counted() -> None:
    found = planned(Drafted(method="eagle3", model="acme/head"))
    assert (found.fits, found.guesses_pay) == (True, {}), "nor judged"
    assert [text for text in found.warnings if text.startswith("acme/head, by which inference.speculation guesses")]
    known = planned(Drafted(method="draft", model="Qwen/Qwen3-30B-A3B-FP8"))
    assert not [text for text in known.warnings if "is not counted" in text]
    assert known.problems
