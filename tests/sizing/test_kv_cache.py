"""KV-cache layouts against vLLM's rules, number by number."""

from __future__ import annotations

from typing import Any

import pytest

from tandem.sizing.drafts import Draft
from tandem.sizing.kv_cache import in_flight_tokens, kv_layout
from tandem.sizing.reading import read_shape
from tandem.sizing.releases import MEASURED, PINNED, Release
from tandem.sizing.serving import Serving, Speculation
from tandem.sizing.units import GIB
from tests.sizing import configs


def layout(config: dict[str, Any], release: Release = PINNED, **serving: Any):
    found = kv_layout(read_shape(config), Serving(**{"tensor_parallel_size": 1, **serving}), release)
    assert found is not None
    return found


def test_one_group_where_all_layers_are_alike() -> None:
    found = layout(configs.llama())
    # 16 tokens x 4 heads x 64 numbers x keys and values x 2 bytes x 2 layers
    assert found.bytes_per_block == 16 * 4 * 64 * 2 * 2 * 2
    assert found.blocks_per_request(4096, 0) == 256
    assert found.tokens(GIB, 4096, 0) == GIB // found.bytes_per_block * 16


@pytest.mark.parametrize(("tp", "heads"), [(1, 4), (2, 2), (4, 1), (8, 1), (16, 1)])
def test_fewer_heads_than_gpus_are_copied(tp: int, heads: int) -> None:
    assert layout(configs.llama(), tensor_parallel_size=tp).bytes_per_block == 16 * heads * 64 * 2 * 2 * 2


def test_fp8_holds_twice_as_many_tokens() -> None:
    plain, fp8 = layout(configs.llama()), layout(configs.llama(), kv_cache_dtype="fp8")
    assert 2 * fp8.bytes_per_block == plain.bytes_per_block


def test_a_length_that_does_not_fill_its_last_block_holds_fewer_tokens() -> None:
    found = layout(configs.llama())
    blocks = found.blocks(GIB)
    assert found.tokens(GIB, 1000, 0) == int(blocks / 63 * 1000) < blocks * 16


def test_latent_attention_keeps_one_vector_whatever_the_parallel_size() -> None:
    assert layout(configs.latent()).bytes_per_block == 2 * 16 * (512 + 64) * 2
    assert layout(configs.latent(), tensor_parallel_size=8) == layout(configs.latent())


def test_sparse_latent_attention_keeps_the_indexers_keys_too() -> None:
    sparse = configs.latent(architectures=["DeepseekV32ForCausalLM"], index_n_heads=64, index_head_dim=128)
    assert layout(sparse).bytes_per_block == 2 * 64 * (576 * 2 + 128 + 4)


def test_sliding_windows_draw_from_the_same_pool_in_groups_of_equal_size() -> None:
    found = layout(configs.windows(max_position_embeddings=131072))
    assert [group.window for group in found.groups] == [1024] * 5 + [None]
    assert found.bytes_per_block == 16 * 4 * 64 * 2 * 2 * 2
    # a window holds its own 1023 tokens and two steps of 2048: 5119 tokens are 320 blocks, and one more
    assert found.blocks_per_request(8192, 2 * 2048) == 5 * 321 + 512


def test_a_step_in_flight_less_in_0_25() -> None:
    serving = Serving(tensor_parallel_size=1)
    assert in_flight_tokens(2048, serving, MEASURED) == 2048
    assert in_flight_tokens(2048, serving, PINNED) == 4096
    assert in_flight_tokens(2048, Serving(tensor_parallel_size=1, pipeline_parallel_size=2), PINNED) == 6144


def test_a_window_longer_than_the_request_costs_no_more_than_the_request() -> None:
    only_windows = configs.llama(architectures=["MistralForCausalLM"], sliding_window=4096)
    assert layout(only_windows).blocks_per_request(512, 4096) == 33


def test_almost_as_many_layers_of_one_kind_are_padded_to_one_group_each() -> None:
    kinds = ["sliding_attention", "full_attention"] * 4 + ["full_attention"]
    found = layout(configs.windows(num_hidden_layers=9, layer_types=kinds))
    assert len(found.groups) == 2
    assert found.bytes_per_block == 5 * 16 * 4 * 64 * 2 * 2


def test_states_make_attention_blocks_larger() -> None:
    """vLLM 0.32.0 said of this shape on one GPU: attention block size 544 tokens, Mamba page padded by 1.49 %."""
    found = layout(configs.hybrid())
    attention = next(group for group in found.groups if not group.states)
    assert attention.tokens == 544
    state = 3 * (2 * 16 * 128 + 32 * 128) * 2 + 32 * 128 * 128 * 2
    assert attention.page == 544 * 2 * 256 * 2 * 2 == pytest.approx(1.0149 * state, rel=1e-4)
    assert [group.states for group in found.groups] == [2, 2, 2, 0]


def test_a_state_in_float32_is_twice_as_large() -> None:
    found = layout(configs.hybrid(mamba_ssm_dtype="float32"))
    assert next(group for group in found.groups if not group.states).tokens == 1056


@pytest.mark.parametrize(
    ("release", "prefix_caching", "states"), [(PINNED, True, 2), (PINNED, False, 1), (MEASURED, True, 1)]
)
def test_prefix_caching_keeps_a_second_state(release: Release, prefix_caching: bool, states: int) -> None:
    found = layout(configs.hybrid(), release, prefix_caching=prefix_caching)
    assert {group.states for group in found.groups} == {states, 0}


def test_proposed_tokens_need_states_of_their_own() -> None:
    found = layout(configs.hybrid(), speculation=Speculation(tokens=3))
    assert {group.states for group in found.groups} == {5, 0}


def test_a_draft_models_layers_are_cached_as_well() -> None:
    draft = Draft(method="draft", shape=read_shape(configs.llama(num_hidden_layers=1)))
    found = layout(configs.llama(), speculation=Speculation(tokens=3, draft=draft))
    assert found.bytes_per_block == 3 * layout(configs.llama(num_hidden_layers=1)).bytes_per_block


def test_pipeline_stages_keep_their_own_layers() -> None:
    shape = read_shape(configs.llama(num_hidden_layers=5))
    serving = Serving(tensor_parallel_size=1, pipeline_parallel_size=2)
    stages = [kv_layout(shape, serving, PINNED, stage) for stage in (0, 1)]
    assert [stage.bytes_per_block // (16 * 4 * 64 * 2 * 2) for stage in stages if stage] == [3, 2]


def test_layers_that_read_another_layers_cache_keep_none() -> None:
    shared = configs.llama(architectures=["Gemma3ForCausalLM"], num_hidden_layers=4, num_kv_shared_layers=2)
    assert layout(shared).bytes_per_block == layout(configs.llama()).bytes_per_block


def test_the_longest_request_leaves_one_block_to_vllm() -> None:
    found = layout(configs.llama())
    memory = 65 * found.bytes_per_block
    assert found.longest_request(memory, 4096, 0) == 64 * 16
    assert found.longest_request(found.bytes_per_block, 4096, 0) == 0
    assert found.longest_request(GIB, 4096, 0) == 4096
