"""Writes a two-layer BERT with random weights and one label, beside another model's tokenizer. Runs in the environment
of the CPU vLLM."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification


def main(other: Path, directory: Path) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        num_labels=1,
        pad_token_id=0,
    )
    BertForSequenceClassification(config).to(torch.bfloat16).save_pretrained(directory)
    AutoTokenizer.from_pretrained(other).save_pretrained(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
