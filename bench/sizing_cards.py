"""What cards reach of their rates, from the kernels that NVIDIA timed: the shares and links of tandem/catalog/gpus.py.

`uv run --no-project --with aiconfigurator-core==0.12.0 python bench/sizing_cards.py` prints them (82 MB, Python below
3.14). The tool's times are of kernels alone. What servers reach of these was measured on H200, and taken for all cards.
"""

from __future__ import annotations

import statistics
from typing import Any

CARDS = {
    "h200_sxm": (4800, 989, 1979),
    "h100_sxm": (3350, 989, 1979),
    "b200_sxm": (8000, 2250, 4500),
    "b300_sxm": (7750, 2250, 4500),
    "a100_sxm": (2039, 312, 0),
    "l40s": (864, 362, 733),
    "rtx_pro_6000_server": (1597, 500, 1000),
}
"""GB/s, TFLOP/s in bf16 and FP8, by the data sheets."""
MODELS = {"Qwen/Qwen3-8B": (7.57e9, 36, 4096), "Qwen/Qwen3-32B": (31.98e9, 64, 5120)}
"""Elements that a token multiplies, layers, width; both keep 8 heads of 128 in the cache."""
OWN = (0.66, 0.46, 0.46)
"""Of bandwidth, bf16 and FP8 on H200, fitted to measured loads."""
CONTEXT, STEP = 1152, 8192


def main() -> None:
    """Prints a row a card: shares of bandwidth, bf16, FP8; GB/s of an all-reduce of 2, 4, 8."""
    reached = {card: (*_shares(card, *rates), _links(card)) for card, rates in CARDS.items()}
    memory, bf16, fp8, _ = reached["h200_sxm"]
    for card, (bandwidth, half, eighth, links) in reached.items():
        level = (bandwidth / memory * OWN[0], half / bf16 * OWN[1], eighth / fp8 * OWN[2])
        print(f"{card:20}", *(f"{share:.2f}" for share in level), *(f"{gbps:.1f}" for gbps in links))


def _shares(card: str, gbps: int, tflops: int, fp8_tflops: int) -> tuple[float, float, float]:
    memory, half, eighth = list[float](), list[float](), [0.0] if not fp8_tflops else list[float]()
    for model, (elements, layers, _) in MODELS.items():
        for quantization in (None, "fp8") if fp8_tflops else (None,):
            engine = _engine(card, model, 1, quantization)
            for requests in (8, 32, 64):
                read = elements * (1 if quantization else 2) + requests * CONTEXT * layers * 2 * 8 * 128 * 2
                memory.append(read / (gbps * 1e6) / engine.decode_step_latency(requests, 1024, 256))
            rate = 1e9 * (fp8_tflops if quantization else tflops)
            for step in (2048, STEP):
                share = 2 * elements * step / rate / engine.mixed_step_latency(step, 1, 1024, 256)
                (eighth if quantization else half).append(share)
    return statistics.median(memory), statistics.median(half), statistics.median(eighth)


def _links(card: str) -> list[float]:
    """By what a step of prompts takes longer than its share of one GPU's."""
    found: list[float] = []
    for tp in (2, 4, 8):
        each: list[float] = []
        for model, (_, layers, width) in MODELS.items():
            engines = (_engine(card, model, size, None) for size in (1, tp))
            one, split = (engine.mixed_step_latency(STEP, 1, 1024, 256) for engine in engines)
            moved = 2 * (tp - 1) / tp * STEP * width * 2
            each.append(moved * 2 * layers / (split - one / tp) / 1e6)
        found.append(statistics.median(each))
    return found


def _engine(card: str, model: str, tp: int, quantization: str | None) -> Any:
    from aiconfigurator_core.sdk.engine import EngineHandle  # pyright: ignore  (not a dependency of the project)

    more = {"gemm_quant_mode": quantization} if quantization else {}
    return EngineHandle.compile(model, card, "vllm", tp_size=tp, **more)  # pyright: ignore


if __name__ == "__main__":
    main()
