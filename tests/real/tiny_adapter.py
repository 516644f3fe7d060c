"""Writes a LoRA adapter of rank 4 for the tiny model, with random weights. Runs in the environment of the CPU vLLM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy
from safetensors.numpy import save_file

HIDDEN, RANK, LAYERS = 256, 4, 2


def main(directory: Path) -> None:
    random = numpy.random.default_rng(0)
    tensors = {}
    for layer in range(LAYERS):
        for module in ("q_proj", "o_proj"):
            name = f"base_model.model.model.layers.{layer}.self_attn.{module}"
            for part, shape in (("A", (RANK, HIDDEN)), ("B", (HIDDEN, RANK))):
                tensors[f"{name}.lora_{part}.weight"] = random.normal(size=shape).astype("float32")
    directory.mkdir(parents=True)
    save_file(tensors, directory / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8, "target_modules": ["q_proj", "o_proj"]}
    (directory / "adapter_config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
