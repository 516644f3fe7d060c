"""Whether a sizing works, in words: what stops it, what is tight, with figures and the next thing to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from tandem.errors import Problem
from tandem.sizing.memory import RESERVE, Sizing
from tandem.sizing.support import support
from tandem.sizing.units import GIB, MIB

TIGHT_CONCURRENCY = 4.0
"""Fewer requests of the longest length at once than this are worth a warning."""


@dataclass(frozen=True)
class Verdict:
    """What stops a model on a GPU, and what may surprise. Keys are vLLM's flags, or `model`."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]

    @property
    def fits(self) -> bool:
        """Nothing stops it."""
        return not self.problems


@lru_cache(maxsize=4096)
def verdict(sizing: Sizing) -> Verdict:
    """Memory and everything else together. Figures are left out where the model could not start anyway."""
    supported = support(sizing)
    if supported.problems:
        return Verdict(supported.problems, supported.warnings)
    problems = tuple(_memory(sizing))
    return Verdict(problems, (*supported.warnings, *(_tight(sizing) if not problems else ())))


def _memory(sizing: Sizing) -> Iterator[Problem]:
    parts, gpu = sizing.parts, sizing.gpu
    share = f"{sizing.utilization:g} of {gpu.mib / 1024:.1f} GiB"
    if parts.kv_cache <= 0:
        yield Problem(
            key="model",
            wrong=f"does not fit {_on(sizing)}: {parts.weights / GIB:.1f} GiB of weights{_adapters(sizing)} and "
            f"{parts.overhead / GIB:.1f} GiB of overhead are more than {parts.budget / GIB:.1f} GiB ({share})",
            value=f"{-parts.kv_cache / GIB:.1f} GiB too much on each GPU",
            allowed=f"weights of at most {(parts.budget - parts.overhead - parts.adapters) / GIB:.1f} GiB on each GPU",
            fix="more GPUs for a replica, larger ones, or a quantized checkpoint"
            + (", or a smaller --max-loras" if sizing.serving.adapter_slots > 1 else ""),
        )
    elif not sizing.leaves_room:
        yield Problem(
            key="--max-model-len",
            wrong=f"one request of this length does not fit into the {parts.kv_cache / GIB:.2f} GiB that are left for "
            f"KV cache {_on(sizing)}",
            value=sizing.batch.length,
            allowed=f"1 to {sizing.longest_request}" if sizing.longest_request else "nothing: not one token fits",
            fix=_shorter(sizing),
        )
    beside = parts.context + parts.outside
    too_much = parts.budget + beside - gpu.total_bytes
    if too_much > 0 and parts.kv_cache > 0:
        yield Problem(
            key="--gpu-memory-utilization",
            wrong=f"leaves too little: a running server takes {beside / MIB:.0f} MiB beside its budget, "
            f"{too_much / MIB:.0f} MiB more than the card has",
            value=sizing.utilization,
            allowed=f"up to {sizing.safe_utilization:g} {_on(sizing)}",
            fix=f"set it to {sizing.safe_utilization:g}, or leave it unset",
        )


def _adapters(sizing: Sizing) -> str:
    slots = sizing.serving.adapter_slots
    return f", {sizing.parts.adapters / GIB:.1f} GiB for {slots} LoRA adapters at once" if slots else ""


def _on(sizing: Sizing) -> str:
    tp, pp = sizing.serving.tensor_parallel_size, sizing.serving.pipeline_parallel_size
    name = sizing.gpu.name or f"{sizing.gpu.mib:.0f} MiB GPU"
    return f"on {tp * pp} x {name}" if tp * pp > 1 else f"on one {name}"


def _shorter(sizing: Sizing) -> str:
    rounded = sizing.longest_request // 256 * 256
    choices = [f"set it to {rounded}"] if rounded else []
    if sizing.serving.kv_cache_dtype == "auto":
        choices.append("set --kv-cache-dtype fp8 for twice as many tokens")
    return ", ".join([*choices, "or use larger GPUs"])


def _tight(sizing: Sizing) -> Iterator[str]:
    if not sizing.stays_on_card:
        yield (
            f"--gpu-memory-utilization {sizing.utilization:g} leaves less than {RESERVE // MIB} MiB "
            f"on the card once the server runs; {sizing.safe_utilization:g} is the highest with that much to spare"
        )
    if sizing.max_concurrency < TIGHT_CONCURRENCY:
        yield (
            f"only {sizing.max_concurrency:.1f} requests of {sizing.batch.length} tokens fit at once "
            f"({sizing.kv_cache_tokens} KV-cache tokens); a shorter --max-model-len or --kv-cache-dtype fp8 allows more"
        )
