"""LoRA adapters: the memory that vLLM reserves for them."""

from __future__ import annotations

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` takes (`MaxLoRARanks` in `vllm/config/lora.py`)."""


def reserved_rank(rank: int) -> int:
    """The smallest of RANKS that has room for it."""
    return next(one for one in RANKS if one >= rank)
