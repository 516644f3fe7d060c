"""Small config.json contents for tests; what matters is written out, the rest is a Llama of two layers."""

from __future__ import annotations

from typing import Any


def llama(**changes: Any) -> dict[str, Any]:
    """Two layers of grouped-query attention; a change to None leaves the field out."""
    config: dict[str, Any] = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 1024,
        "num_hidden_layers": 2,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "intermediate_size": 4096,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
    }
    config.update(changes)
    return {key: value for key, value in config.items() if value is not None}


def experts(**changes: Any) -> dict[str, Any]:
    """The same with eight experts, two of them active."""
    return llama(
        **{
            "architectures": ["Qwen3MoeForCausalLM"],
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 512,
            **changes,
        }
    )


def latent(**changes: Any) -> dict[str, Any]:
    """Multi-head latent attention, as in DeepSeek-V2-Lite."""
    return llama(
        **{
            "architectures": ["DeepseekV2ForCausalLM"],
            "num_key_value_heads": 16,
            "kv_lora_rank": 512,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            **changes,
        }
    )


def hybrid(**changes: Any) -> dict[str, Any]:
    """Three layers with a state, one with attention, twice (Qwen3-Next's own sizes)."""
    return llama(
        **{
            "architectures": ["Qwen3NextForCausalLM"],
            "num_hidden_layers": 8,
            "num_key_value_heads": 2,
            "head_dim": 256,
            "full_attention_interval": 4,
            "linear_num_key_heads": 16,
            "linear_num_value_heads": 32,
            "linear_key_head_dim": 128,
            "linear_value_head_dim": 128,
            **changes,
        }
    )


def windows(**changes: Any) -> dict[str, Any]:
    """Five layers with a sliding window to one without, twice (Gemma 3)."""
    return llama(
        **{
            "architectures": ["Gemma3ForCausalLM"],
            "num_hidden_layers": 12,
            "sliding_window": 1024,
            "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 2,
            **changes,
        }
    )
