"""Weights on one GPU: what is split, what is copied, what is padded, what the allocator makes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tandem.errors import UserError
from tandem.sizing.allocator import CachingAllocator, block_size
from tandem.sizing.config_file import load_shape
from tandem.sizing.kv_cache import kv_layout
from tandem.sizing.reading import read_shape
from tandem.sizing.releases import PINNED
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import Attention
from tandem.sizing.units import MIB
from tandem.sizing.weights import (
    Matrix,
    embedding_bytes,
    matrix_tensors,
    mixer_matrices,
    mlp_matrices,
    padded_vocabulary,
    pipeline_layers,
    weight_bytes,
)
from tests.sizing import configs


def elements(config: dict[str, Any], tp: int) -> int:
    """Elements of the matrices of all layers on one GPU."""
    shape = read_shape(config)
    return sum(
        matrix.copies * matrix.outputs * matrix.inputs
        for layer in shape.layers
        for matrix in (*mixer_matrices(layer.mixer, shape.hidden, tp), *mlp_matrices(layer.mlp, shape.hidden, tp))
    )


def test_tensor_parallelism_splits_matrices_and_copies_key_value_heads() -> None:
    attention, mlp = (16 + 2 * 4) * 64 * 1024 + 1024 * 1024, 3 * 1024 * 4096
    assert elements(configs.llama(), 1) == 2 * (attention + mlp)
    assert elements(configs.llama(), 4) == 2 * (attention + mlp) // 4
    # with 8 GPUs for 4 heads each GPU keeps one head
    assert elements(configs.llama(), 8) == 2 * ((16 // 8 + 2) * 64 * 1024 + 1024 * 128 + mlp // 8)


def test_experts_are_split_and_their_router_is_copied() -> None:
    attention = (16 + 2 * 4) * 64 * 1024 + 1024 * 1024
    for tp in (1, 2, 4):
        assert elements(configs.experts(), tp) == 2 * (attention // tp + 8 * 1024 + 8 * 3 * 512 * 1024 // tp)


@pytest.mark.parametrize(
    ("changes", "shared"),
    [({"n_shared_experts": 2}, 2 * 512), ({"shared_expert_intermediate_size": 768}, 768), ({}, 0)],
)
def test_experts_that_every_token_uses(changes: dict[str, Any], shared: int) -> None:
    plain, more = elements(configs.experts(), 1), elements(configs.experts(**changes), 1)
    assert more - plain == 2 * 3 * shared * 1024


def test_latent_attention_copies_what_it_compresses() -> None:
    def matrices(tp: int) -> dict[str, int]:
        mixer = read_shape(configs.latent()).layers[0].mixer
        return {matrix.module: matrix.outputs for matrix in mixer_matrices(mixer, 1024, tp)}

    assert matrices(1)["self_attn.kv_a_proj_with_mqa"] == matrices(8)["self_attn.kv_a_proj_with_mqa"] == 576
    assert matrices(8)["self_attn.q_proj"] == 16 // 8 * 192
    assert matrices(8)["self_attn.kv_b_proj"] == 16 // 8 * 256


def test_the_vocabulary_is_padded_to_64_and_split() -> None:
    shape = read_shape(configs.llama(vocab_size=32001))
    assert padded_vocabulary(32001) == 32064
    assert embedding_bytes(shape, 8) == 32064 // 8 * 1024 * 2


def test_a_tied_head_is_not_kept_twice() -> None:
    tied, apart = read_shape(configs.llama(tie_word_embeddings=True)), read_shape(configs.llama())
    assert weight_bytes(apart, 1) - weight_bytes(tied, 1) == block_size(embedding_bytes(apart, 1), may_split=False)


@pytest.mark.parametrize(
    ("layers", "stages", "counts"), [(8, 2, [4, 4]), (5, 2, [3, 2]), (10, 4, [2, 3, 3, 2]), (3, 3, [1, 1, 1])]
)
def test_layers_of_pipeline_stages(layers: int, stages: int, counts: list[int]) -> None:
    found = pipeline_layers(layers, stages)
    assert [len(stage) for stage in found] == counts
    assert [index for stage in found for index in stage] == list(range(layers))


def test_embedding_and_head_are_on_the_first_and_last_stage() -> None:
    shape = read_shape(configs.llama(num_hidden_layers=4))
    middle = weight_bytes(shape, 1, True, 4, 1)
    assert weight_bytes(shape, 1, True, 4, 0) > middle + 60 * MIB
    assert weight_bytes(shape, 1, True, 4, 3) > middle + 60 * MIB


@pytest.mark.parametrize(
    ("name", "config", "bits"),
    [
        ("awq", {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, 4 + (16 + 4) / 128),
        ("gptq", {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True}, 4 + 16 / 64),
        ("fp8 blocks", {"quant_method": "fp8", "weight_block_size": [128, 128]}, 8 + 32 / 128**2),
        (
            "compressed-tensors, 4 bits in groups",
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "g": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}
                },
            },
            4 + 16 / 32,
        ),
        ("modelopt NVFP4", {"quant_method": "modelopt", "quant_algo": "NVFP4"}, 4 + 8 / 16),
    ],
)
def test_bits_of_a_quantized_weight(name: str, config: dict[str, Any], bits: float) -> None:
    quantization = read_shape(configs.llama(quantization_config=config)).quantization
    assert quantization is not None
    scheme = quantization.scheme("layers.0.mlp.down_proj")
    matrix = Matrix("mlp.down_proj", 1024, 4096)
    assert sum(matrix_tensors(matrix, scheme, "bfloat16", hopper=False)) == 1024 * 4096 * bits / 8
    assert quantization.scheme("lm_head") is None, name


def test_mxfp4_touches_experts_only() -> None:
    shape = read_shape(configs.experts(quantization_config={"quant_method": "mxfp4"}))
    assert shape.quantization is not None
    assert shape.quantization.scheme("layers.0.self_attn.q_proj") is None
    scheme = shape.quantization.scheme("layers.0.mlp.experts.0.down_proj")
    assert scheme is not None
    assert (scheme.bits, scheme.group) == (4, 32)


@pytest.mark.parametrize(
    ("names", "module", "ignored"),
    [
        (["lm_head"], "lm_head", True),
        (["model.layers.0.self_attn.q_proj"], "layers.0.self_attn.q_proj", True),
        (["model.layers.0.self_attn.q_proj"], "layers.1.self_attn.q_proj", False),
        (["model.language_model.layers.3*"], "layers.3.mlp.down_proj", True),
        (["model.layers.*.self_attn"], "layers.7.self_attn.o_proj", True),
        (["re:.*self_attn.*"], "layers.7.self_attn.o_proj", True),
        (["re:.*shared_experts.*"], "layers.7.mlp.experts.0.down_proj", False),
        (["self_attn"], "layers.7.self_attn.o_proj", False),
        (["o_proj"], "layers.7.self_attn.o_proj", True),
    ],
)
def test_modules_that_are_left_alone(names: list[str], module: str, ignored: bool) -> None:
    config = {
        "quant_method": "compressed-tensors",
        "config_groups": {"g": {"weights": {"num_bits": 8}}},
        "ignore": names,
    }
    quantization = read_shape(configs.llama(quantization_config=config)).quantization
    assert quantization is not None
    assert (quantization.scheme(module) is None) is ignored


def test_mixed_precision_names_its_layers() -> None:
    layers = {
        "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.0.mlp.down_proj": {"quant_algo": "NVFP4", "group_size": 16},
    }
    config = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    quantization = read_shape(configs.llama(quantization_config=config)).quantization
    assert quantization is not None
    kinds = {
        name: quantization.scheme(f"layers.{name}")
        for name in ("0.self_attn.q_proj", "0.mlp.down_proj", "1.mlp.down_proj")
    }
    assert [scheme.kind if scheme else None for scheme in kinds.values()] == ["fp8", "fp4", None]


@pytest.mark.parametrize(
    "config",
    [
        {"quant_method": "modelopt", "quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_scheme": {"num_bits": 8, "type": "float"}},
    ],
)
def test_a_checkpoint_can_ask_for_an_fp8_cache(config: dict[str, Any]) -> None:
    quantization = read_shape(configs.llama(quantization_config=config)).quantization
    assert quantization is not None
    assert quantization.kv_cache_dtype == "fp8"


def test_nested_text_config_and_vision_tower() -> None:
    vision = {"depth": 2, "hidden_size": 64, "intermediate_size": 256, "patch_size": 16, "out_hidden_size": 1024}
    text = configs.llama(architectures=None)
    shape = read_shape(
        {"architectures": ["Qwen3VLForConditionalGeneration"], "text_config": text, "vision_config": vision}
    )
    assert shape.hidden == 1024
    assert shape.vision is not None
    block = 4 * 64**2 + 2 * 64 * 256
    assert (shape.vision.split, shape.vision.whole) == (2 * block + 256**2 + 256 * 1024, 3 * 16**2 * 64)


def test_global_layers_of_gemma_4_have_other_heads() -> None:
    config = configs.windows(architectures=["Gemma4ForCausalLM"], global_head_dim=512, num_global_key_value_heads=2)
    kinds = {(mixer.window, mixer.kv_heads, mixer.head_dim) for mixer in read_shape(config).attentions}
    assert kinds == {(1024, 4, 64), (None, 2, 512)}


@pytest.mark.parametrize(("partial", "rotary"), [(None, 64), (0.25, 16)])
def test_part_of_a_head_that_is_rotated(partial: float | None, rotary: int) -> None:
    mixer = read_shape(configs.llama(partial_rotary_factor=partial)).layers[0].mixer
    assert isinstance(mixer, Attention)
    assert mixer.rotary_dim == rotary


GEMMA_3 = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": {"model_type": "gemma3_text"}}


def test_what_a_sparse_config_leaves_out_is_what_transformers_takes() -> None:
    """google/gemma-3-4b-it names six of the fields; heads, head size and vocabulary are the class's own."""
    text = {"model_type": "gemma3_text", "hidden_size": 2560, "num_hidden_layers": 34, "intermediate_size": 10240}
    shape = read_shape({**GEMMA_3, "text_config": {**text, "sliding_window": 1024}})
    assert shape.vocabulary == 262208
    assert [mixer.window for mixer in shape.attentions] == [1024, None]
    assert {(mixer.heads, mixer.kv_heads, mixer.head_dim) for mixer in shape.attentions} == {(8, 4, 256)}
    assert sum(1 for layer in shape.layers if layer.mixer == shape.attentions[1]) == 5
    assert weight_bytes(shape, 1) / 2e9 == pytest.approx(3.95, rel=0.01)  # 3.88 billion, and two rotary tables


@pytest.mark.parametrize(
    ("scaling", "rows"),
    [
        (None, 4096),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8192}, 32768),
        ({"rope_type": "linear", "factor": 8.0}, 32768),
        ({"type": "linear", "factor": 2}, 8192),
        ({"rope_type": "longrope", "original_max_position_embeddings": 1024}, 5120),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}, 4096),
        ({"full_attention": {"rope_type": "linear", "factor": 8.0}}, 32768),
        ({"rope_type": "yarn", "factor": float("inf"), "original_max_position_embeddings": 8192}, 4096),
    ],
)
def test_rows_of_the_rotary_table(scaling: dict[str, Any] | None, rows: int) -> None:
    assert read_shape(configs.llama(rope_scaling=scaling)).rotary_positions == rows


@pytest.mark.parametrize("name", ["LlamaForSequenceClassification", "LlamaModel", "LlamaForTextEncoding"])
def test_what_embeds_or_ranks_has_no_head(name: str) -> None:
    plain, other = (read_shape(configs.llama(architectures=[one])) for one in ("LlamaForCausalLM", name))
    assert not plain.tied_embeddings
    assert weight_bytes(plain, 1) - weight_bytes(other, 1) == pytest.approx(32000 * 1024 * 2, rel=0.05)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ModernBertModel", "it embeds, ranks or classifies"),
        ("GteNewForSequenceClassification", "it embeds, ranks or classifies"),
        ("WhisperForConditionalGeneration", "is not described here"),
        ("EagleLlamaForCausalLM", "is a draft for speculative decoding"),
        ("BertForNothing", "does not know this model class"),
    ],
)
def test_every_class_of_the_registry_is_known_by_name(name: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        read_shape(configs.llama(architectures=[name]))
    problem = caught.value.problems[0]
    assert said in f"{problem.wrong} {problem.fix}"


def test_nemotrons_mixers_and_gemmas_experts_are_ignored_by_their_own_names() -> None:
    ignored = ["backbone.layers.5.mixer.q_proj", "backbone.layers.6.mixer.experts*", "model.layers.0.mlp*"]
    config = {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ignored}
    quantization = read_shape(configs.llama(quantization_config=config)).quantization
    assert quantization is not None
    assert quantization.scheme("layers.5.self_attn.q_proj") is None
    assert quantization.scheme("layers.6.mlp.experts.0.gate_proj") is None
    assert quantization.scheme("layers.0.mlp.gate_proj") is None
    assert quantization.scheme("layers.0.experts.0.gate_proj") is not None


def test_layers_that_share_an_indexer_keep_none() -> None:
    sparse = {"index_n_heads": 4, "index_head_dim": 64}
    layers = configs.latent()["num_hidden_layers"]
    own, shared = (
        read_shape(configs.latent(**sparse, indexer_types=["full"] + [kind] * (layers - 1)))
        for kind in ("full", "shared")
    )
    assert weight_bytes(shared, 1) < weight_bytes(own, 1)
    assert [getattr(layer.mixer, "index_heads", None) for layer in shared.layers] == [4] + [0] * (layers - 1)


# -- the allocator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "counted"),
    [
        (1, 512),
        (513, 1024),
        (5 * MIB, 5 * MIB),
        (12 * MIB + 1, 12 * MIB + 512),
        (21 * MIB, 22 * MIB),
        (19.5 * MIB, 20 * MIB),
    ],
)
def test_blocks_while_loading(size: float, counted: int) -> None:
    assert CachingAllocator().allocate(int(size)) == counted


def test_a_large_block_is_split_only_where_that_is_allowed() -> None:
    assert block_size(int(742.5 * MIB), may_split=True) == int(742.5 * MIB)
    assert block_size(int(742.5 * MIB), may_split=False) == 744 * MIB
    assert block_size(501 * MIB, may_split=True) == 502 * MIB  # one MiB is too little to split off


def test_a_freed_large_block_is_handed_out_whole_to_one_that_is_nearly_as_large() -> None:
    allocator = CachingAllocator()
    allocator.release(allocator.allocate(32 * MIB))
    assert allocator.allocate(24 * MIB) == 32 * MIB
    assert allocator.allocate(24 * MIB) == 24 * MIB


def test_a_freed_large_block_is_kept_from_small_and_from_much_smaller_ones() -> None:
    allocator = CachingAllocator()
    allocator.release(allocator.allocate(64 * MIB))
    assert allocator.allocate(16 * MIB) == 16 * MIB
    assert allocator.allocate(24 * MIB) == 24 * MIB
    assert allocator.allocate(56 * MIB) == 64 * MIB


ENCODERS = Path(__file__).parent.parent / "real" / "shapes"
OF_ENCODERS = {
    ("BAAI--bge-large-en-v1.5", 1): 668_328_320,
    ("BAAI--bge-large-en-v1.5", 4): 167_309_696,
    ("BAAI--bge-m3", 2): 567_095_696,
    ("BAAI--bge-reranker-v2-m3", 1): 1_138_028_948,
    ("BAAI--bge-reranker-v2-m3", 2): 571_298_196,
    ("cross-encoder--ms-marco-MiniLM-L6-v2", 1): 45_780_068,
}
"""Bytes that vLLM 0.32's own classes hold on the meta device, as tests/real/test_shapes.py makes them; torch's
allocator rounds each of a small model's tensors up, for which there is 1.5 %."""


@pytest.mark.parametrize(("name", "tp"), OF_ENCODERS, ids=str)
def test_an_encoder_has_its_tables_and_its_head_and_keeps_nothing(name: str, tp: int) -> None:
    shape = load_shape(ENCODERS / f"{name}_config.json")
    serving = Serving(tensor_parallel_size=tp)
    assert weight_bytes(shape, tp) == pytest.approx(OF_ENCODERS[name, tp], rel=0.015, abs=2**21)
    assert kv_layout(shape, serving, PINNED) is None
    assert not shape.makes_tokens
    assert shape.max_positions == (8192 if "m3" in name else 512)


LLAMA_4 = {
    "architectures": ["Llama4ForConditionalGeneration"],
    "text_config": {
        "model_type": "llama4_text",
        "hidden_size": 5120,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "num_local_experts": 128,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "vocab_size": 202048,
        "max_position_embeddings": 1048576,
        "attention_chunk_size": 8192,
    },
}


@pytest.mark.parametrize(("tp", "held"), [(1, 802_602_687_424), (8, 100_590_442_560)])
def test_llama_4_has_experts_in_every_other_layer_and_caches_in_all(tp: int, held: int) -> None:
    """Maverick, as vLLM 0.32's own class holds it on the meta device; 64 GiB are 85.3 requests of 4,096 at TP=1."""
    shape = read_shape(LLAMA_4)
    assert weight_bytes(shape, tp) == pytest.approx(held, rel=0.001)
    layout = kv_layout(shape, Serving(tensor_parallel_size=tp), PINNED)
    assert layout is not None
    assert layout.concurrency(64 * 2**30, 4096, 8192) == pytest.approx(85.333 * tp, rel=0.001)
