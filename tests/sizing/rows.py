"""The measured starts, as inputs of sizing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.catalog.measurements import FILE
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import Sizing, size
from tandem.sizing.reading import read_shape, with_quantization
from tandem.sizing.releases import release_of
from tandem.sizing.serving import Gpu, Serving, Speculation
from tandem.sizing.task import pooled

HERE = Path(__file__).parent
MEASURED = json.loads((HERE / "measured.json").read_text())
PEERS = json.loads((HERE / "peers.json").read_text())
ROWS: dict[str, dict[str, Any]] = {row["id"]: row for row in MEASURED["rows"]}
H200 = Gpu(mib=MEASURED["gpu_mib"], compute_capability=MEASURED["compute_capability"])

OTHERS: list[dict[str, Any]] = json.loads(FILE.read_text())["others"]
STARTS: list[dict[str, Any]] = json.loads(FILE.read_text())["starts"]
ENCODERS: list[dict[str, Any]] = json.loads(FILE.read_text())["encoders"]
P5EN = INSTANCE_TYPES["p5en.48xlarge"]

HANDED_OUT = ("A1b", "A2", "B1", "C1", "C2", "C6", "C8", "C12")
"""Starts of an API server; the others are starts of the offline engine."""


def sized(row: dict[str, Any], gpu: Gpu = H200, utilization: float | None = None) -> Sizing:
    """The sizing of one row."""
    serving = Serving(
        tensor_parallel_size=row["tp"],
        pipeline_parallel_size=row["pp"],
        gpu_memory_utilization=utilization or row["gpu_memory_utilization"],
        max_model_len=row["max_model_len"],
        max_num_seqs=row["max_num_seqs"],
        max_num_batched_tokens=row["max_num_batched_tokens"],
        kv_cache_dtype=row["kv_cache_dtype"],
        enforce_eager=row["enforce_eager"],
    )
    shape = with_quantization(read_shape(row["config"]), row["quantization"])
    return size(shape, serving, gpu, release_of(row["vllm"]))


def started(row: dict[str, Any]) -> Sizing:
    """The sizing of a server that was measured under load; TP=1, the utilization as tandem finds it unless told."""
    config, told = row.get("config"), dict(row["serving"])
    if guesses := told.pop("guesses", None):
        told["speculation"] = Speculation(tokens=guesses, up_to_requests=32)
    shape = read_shape(config) if config else with_quantization(catalog_shape(row["model"]), row["quantization"])
    shape = pooled(shape) if row.get("task") == "embed" else shape
    return size(shape, Serving(**{"tensor_parallel_size": 1, "gpu_memory_utilization": None, **told}), gpu_of(P5EN)[0])
