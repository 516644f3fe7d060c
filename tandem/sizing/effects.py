"""What each setting that was chosen costs or gains, in KV-cache tokens: the same sizing without it."""

from __future__ import annotations

from dataclasses import replace

from tandem.sizing.memory import Sizing, size


def effects(sizing: Sizing) -> dict[str, int]:
    """KV-cache tokens that each setting adds to the plan, negative for what it takes; what is off is left out.

    Quantization is measured against the same model in its own dtype, prefix caching against none.
    """
    serving, shape = sizing.serving, sizing.shape
    without = {
        "speculative_decoding": replace(serving, speculation=None),
        "prefix_caching": replace(serving, prefix_caching=False),
        "kv_cache_dtype": replace(serving, kv_cache_dtype="auto"),
        "enforce_eager": replace(serving, enforce_eager=False),
    }
    others = {
        name: size(shape, other, sizing.gpu, sizing.release) for name, other in without.items() if other != serving
    }
    if shape.quantization:
        plain = replace(shape, quantization=None)
        others["quantization"] = size(plain, serving, sizing.gpu, sizing.release)
    return {name: sizing.kv_cache_tokens - other.kv_cache_tokens for name, other in others.items()}
