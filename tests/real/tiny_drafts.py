"""Writes what guesses for the tiny model: a draft, which is the model with a layer less, and an EAGLE-3 head of random
weights. Runs in the environment of the CPU vLLM."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

HEAD_VOCABULARY = 256
STATES = [0, 1]
"""Of as many layers as there are; heads read three where their config.json says nothing."""


def draft(tiny: Path, directory: Path) -> None:
    """Its layers add up: without the last one, most tokens stay the likeliest."""
    directory.mkdir(parents=True)
    for file in tiny.iterdir():
        shutil.copy(file, directory)
    config = json.loads((tiny / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    tensors = load_file(tiny / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if ".layers.1." not in name}
    save_file(kept, directory / "model.safetensors", metadata={"format": "pt"})


def head(tiny: Path, directory: Path) -> None:
    """A layer, what makes its input of outputs of the model's, and every second one of the model's tokens."""
    directory.mkdir(parents=True)
    config = json.loads((tiny / "config.json").read_text())
    changed = {"architectures": ["LlamaForCausalLMEagle3"], "num_hidden_layers": 1, "draft_vocab_size": HEAD_VOCABULARY}
    changed["eagle_config"] = {"eagle_aux_hidden_state_layer_ids": STATES}
    (directory / "config.json").write_text(json.dumps(config | changed))
    tensors, hidden = load_file(tiny / "model.safetensors"), config["hidden_size"]
    layer = "model.layers.0."
    made = {name.replace(layer, "midlayer."): one for name, one in tensors.items() if name.startswith(layer)}
    made |= {
        name: torch.cat((made[name], made[name]), dim=1)
        for name in (f"midlayer.self_attn.{part}_proj.weight" for part in "qkv")
    }
    made["midlayer.hidden_norm.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
    made["norm.weight"] = torch.ones(hidden, dtype=torch.bfloat16)
    made["fc.weight"] = torch.randn(hidden, len(STATES) * hidden, dtype=torch.bfloat16) / hidden
    made["lm_head.weight"] = tensors["lm_head.weight"][::2].clone()
    made["d2t"] = torch.arange(HEAD_VOCABULARY)
    save_file(made, directory / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    {"draft": draft, "eagle3": head}[sys.argv[1]](*map(Path, sys.argv[2:]))
