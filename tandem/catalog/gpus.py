"""GPUs of the instance types: memory as torch sees it, and the rates that bound throughput.

Sources, read on READ_ON:
- memory: torch's own message `GPU 0 has a total capacity of ... GiB` in public logs, the lowest of several for each
  card; H200: measured here. The driver keeps 0.5 to 0.7 GiB of what nvidia-smi shows.
- bandwidth and dense tensor rates: NVIDIA's data sheets, without sparsity. For RTX PRO (Blackwell) the sheets give
  FP4 with sparsity; bf16 is an eighth of it and FP8 a quarter, as on the sheets of the larger Blackwell cards.
- links: NVIDIA's data sheets for NVLink; PCIe 3, 4 or 5 x16 by the card's generation.
- L2 and multiprocessors: NVIDIA's architecture white papers; H200: measured here.
- shares, and what PCIe reaches in an all-reduce: bench/sizing_cards.py, from the kernels that NVIDIA timed with vLLM
  0.24 (aiconfigurator-core 0.12.0), times what servers on H200 reached of these (docs/decisions/0021). L4, A10G, T4 and
  RTX PRO 4500 are not in there and have those of the nearest card that is; `tables` says whose.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

READ_ON = date(2026, 11, 21)


@dataclass(frozen=True, kw_only=True)
class GpuModel:
    """One model of GPU.

    Attributes:
        torch_gib: total memory in GiB that torch reports.
        measured: False where torch_gib was taken from a card with the same memory.
        bandwidth_gbps: memory bandwidth in GB/s.
        bf16_tflops: dense tensor rate in bf16 (fp16 on cards without bf16).
        fp8_tflops: dense tensor rate in FP8; the bf16 rate on cards without FP8 units.
        memory_share, bf16_share, fp8_share: of these, what servers reach.
        link_gbps: in GB/s, what a GPU sends to the others in an all-reduce of 2, 4 and 8: half of NVLink's figure, or
            what was timed over PCIe, without peer-to-peer on L40S.
        nvlink: the GPUs of a host are joined by NVLink.
        tables: the card whose shares these are; "" where own loads were measured.
    """

    name: str
    torch_gib: float
    bandwidth_gbps: int
    bf16_tflops: int
    fp8_tflops: int
    link_gbps: tuple[float, float, float]
    nvlink: bool
    memory_share: float
    bf16_share: float
    fp8_share: float
    tables: str
    l2_mib: int
    multiprocessors: int
    measured: bool = True


# fmt: off
_MODELS = (
    (16384, GpuModel(name="T4", torch_gib=14.56, bandwidth_gbps=320, bf16_tflops=65, fp8_tflops=65, link_gbps=(7.5, 1.8, 0.9), nvlink=False, memory_share=0.72, bf16_share=0.55, fp8_share=0.55, tables="A100", l2_mib=4, multiprocessors=40)),  # noqa: E501
    (22888, GpuModel(name="A10G", torch_gib=22.04, bandwidth_gbps=600, bf16_tflops=70, fp8_tflops=70, link_gbps=(15, 3.6, 1.9), nvlink=False, memory_share=0.72, bf16_share=0.55, fp8_share=0.55, tables="A100", l2_mib=6, multiprocessors=80)),  # noqa: E501
    (22888, GpuModel(name="L4", torch_gib=22.03, bandwidth_gbps=300, bf16_tflops=121, fp8_tflops=242, link_gbps=(15, 3.6, 1.9), nvlink=False, memory_share=0.75, bf16_share=0.38, fp8_share=0.38, tables="L40S", l2_mib=48, multiprocessors=58)),  # noqa: E501
    (45776, GpuModel(name="L40S", torch_gib=44.39, bandwidth_gbps=864, bf16_tflops=362, fp8_tflops=733, link_gbps=(15, 3.6, 1.9), nvlink=False, memory_share=0.75, bf16_share=0.38, fp8_share=0.38, tables="L40S", l2_mib=96, multiprocessors=142)),  # noqa: E501
    (32768, GpuModel(name="RTX PRO 4500", torch_gib=31.36, bandwidth_gbps=800, bf16_tflops=220, fp8_tflops=440, link_gbps=(33, 26, 22), nvlink=False, memory_share=0.9, bf16_share=0.46, fp8_share=0.56, tables="RTX PRO 6000", l2_mib=64, multiprocessors=82, measured=False)),  # noqa: E501
    (98304, GpuModel(name="RTX PRO 6000", torch_gib=94.96, bandwidth_gbps=1597, bf16_tflops=500, fp8_tflops=1000, link_gbps=(33, 26, 22), nvlink=False, memory_share=0.9, bf16_share=0.46, fp8_share=0.56, tables="RTX PRO 6000", l2_mib=128, multiprocessors=188)),  # noqa: E501
    (40960, GpuModel(name="A100", torch_gib=39.38, bandwidth_gbps=1555, bf16_tflops=312, fp8_tflops=312, link_gbps=(300, 300, 300), nvlink=True, memory_share=0.72, bf16_share=0.55, fp8_share=0.55, tables="A100", l2_mib=40, multiprocessors=108)),  # noqa: E501
    (81920, GpuModel(name="A100", torch_gib=79.14, bandwidth_gbps=2039, bf16_tflops=312, fp8_tflops=312, link_gbps=(300, 300, 300), nvlink=True, memory_share=0.72, bf16_share=0.55, fp8_share=0.55, tables="A100", l2_mib=40, multiprocessors=108)),  # noqa: E501
    (81920, GpuModel(name="H100", torch_gib=79.14, bandwidth_gbps=3350, bf16_tflops=989, fp8_tflops=1979, link_gbps=(450, 450, 450), nvlink=True, memory_share=0.73, bf16_share=0.45, fp8_share=0.41, tables="H100", l2_mib=50, multiprocessors=132)),  # noqa: E501
    (144384, GpuModel(name="H200", torch_gib=139.80, bandwidth_gbps=4800, bf16_tflops=989, fp8_tflops=1979, link_gbps=(450, 450, 450), nvlink=True, memory_share=0.66, bf16_share=0.46, fp8_share=0.46, tables="", l2_mib=60, multiprocessors=132)),  # noqa: E501
    (183359, GpuModel(name="B200", torch_gib=178.35, bandwidth_gbps=8000, bf16_tflops=2250, fp8_tflops=4500, link_gbps=(900, 900, 900), nvlink=True, memory_share=0.57, bf16_share=0.4, fp8_share=0.36, tables="B200", l2_mib=126, multiprocessors=148)),  # noqa: E501
    (275040, GpuModel(name="B300", torch_gib=267.5, bandwidth_gbps=7750, bf16_tflops=2250, fp8_tflops=4500, link_gbps=(900, 900, 900), nvlink=True, memory_share=0.61, bf16_share=0.44, fp8_share=0.4, tables="B300", l2_mib=126, multiprocessors=148, measured=False)),  # noqa: E501
)
# fmt: on

GPU_MODELS = {(model.name, mib): model for mib, model in _MODELS}
"""By the name and the MiB of `tandem.catalog.instances`: A100 comes with two sizes of memory."""
