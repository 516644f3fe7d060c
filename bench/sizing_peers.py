# /// script
# requires-python = ">=3.11"
# dependencies = ["torch", "transformers>=5.16", "accelerate>=1.15", "hf-mem==0.5.6"]
# ///
"""What other estimators say about the measured starts of vLLM: writes tests/sizing/peers.json.

`uv run bench/sizing_peers.py`. Takes no weights and no network beside the packages: the models are made on torch's meta
device from the rows' own config, and each estimator's arithmetic is called on them as its command would.

None of the peers knows tensor parallelism or KV-cache tokens of a server, so each is helped to them in the same way:
its figure for the model is split evenly over the GPUs, and what is left of vLLM's budget is divided by its own KV bytes
of a token where it has them (hf-mem), else by 2 x layers x key-value heads x head size x bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from accelerate import init_empty_weights
from accelerate.utils import calculate_maximum_sizes
from hf_mem.safetensors.kv_cache import compute_safetensors_kv_cache_size
from hf_mem.safetensors.metadata import parse_safetensors_metadata

TESTS = Path(__file__).resolve().parents[1] / "tests" / "infra" / "sizing"
MIB = 2**20


def main() -> None:
    """Works out all rows that plain attention covers, since no peer claims more."""
    measured = json.loads((TESTS / "measured.json").read_text())
    rows = {}
    for row in measured["rows"]:
        config = row["config"]
        if "num_key_value_heads" not in config or "layer_types" in config or "kv_lora_rank" in config:
            continue
        if "quantization_config" in config or row["pp"] > 1:
            continue
        rows[row["id"]] = peers(row, int(measured["gpu_mib"] * MIB))
        print(row["id"], row["kv_cache_tokens"], rows[row["id"]])
    about = "KV-cache tokens that follow from other estimators' figures; written by bench/sizing_peers.py"
    versions = {
        "accelerate": version("accelerate"),
        "hf-mem": version("hf-mem"),
        "transformers": version("transformers"),
    }
    document = {"about": about, "versions": versions, "rows": rows}
    (TESTS / "peers.json").write_text(json.dumps(document, indent=1) + "\n")


def version(package: str) -> str:
    """The installed version of a package."""
    from importlib.metadata import version as installed

    return installed(package)


def peers(row: dict, gpu_bytes: int) -> dict[str, int]:
    """KV-cache tokens by each peer."""
    config, tp = dict(row["config"]), row["tp"]
    architecture = config.pop("architectures")[0]
    model_class = getattr(transformers, architecture)
    with init_empty_weights():
        model = model_class(model_class.config_class(**config))
    weight_bytes = 1 if row["quantization"] == "fp8" else 2
    whole, _ = calculate_maximum_sizes(model)  # in float32, as `accelerate estimate-memory` loads it
    parameters = sum(tensor.numel() for tensor in model.parameters())
    head = {
        name: {"dtype": "F8_E4M3" if weight_bytes == 1 else "BF16", "shape": list(tensor.shape)}
        for name, tensor in model.named_parameters()
    }
    hub = parse_safetensors_metadata({"Transformer": {"__metadata__": {}, **head}})
    cache_bytes = 1 if row["kv_cache_dtype"] == "fp8" else 2
    config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    plain = 2 * config["num_hidden_layers"] * config["num_key_value_heads"] * config["head_dim"] * cache_bytes
    own = compute_safetensors_kv_cache_size(config, "F8_E4M3" if cache_bytes == 1 else "BF16", 1)
    budget = int(gpu_bytes * row["gpu_memory_utilization"])

    def tokens(model_bytes: float, token_bytes: float) -> int:
        return max(0, int((budget - model_bytes / tp) / (token_bytes / tp)))

    return {
        "accelerate estimate-memory": tokens(whole / 4 * weight_bytes, plain),
        "hf-mem": tokens(hub.bytes_count, own),
        "parameters x bytes x 1.2": tokens(parameters * weight_bytes * 1.2, plain),
    }


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
