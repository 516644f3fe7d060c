"""Writes a two-layer Llama that was taught a suite's answers, and the same in coarser numbers. Runs in the environment
of the CPU vLLM:

    taught_model.py LESSONS.json TEMPLATE.jinja DIRECTORY

It knows nothing else, which is of no matter to who asks nothing else; how it is served is vLLM's. A lesson with several
answers leaves it in doubt where they part, so that greedy tokens of another batch may go another way.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

VOCABULARY, STEPS, WELL, LONG = 640, 1500, 0.01, 400
SPECIAL = ("<eos>", "<|user|>", "<|assistant|>", "<|system|>", "<tool_call>", "</tool_call>")
BITS = 2
"""Of coarse weights: three values. With one bit more this model, which knows so little, says the same: its tokens are
0.01 nats apart."""


def tokenizer_of(texts: list[str], template: str) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[*SPECIAL], initial_alphabet=alphabet)
    made.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<eos>")
    fast.chat_template = template
    return fast


IGNORED = -100
"""Of labels: what is given and not learnt."""


@dataclass(frozen=True)
class Batch:
    """Lessons side by side.

    Attributes:
        sure: of each, whether one answer alone is right.
    """

    tokens: torch.Tensor
    labels: torch.Tensor
    sure: torch.Tensor

    def losses(self, model: LlamaForCausalLM) -> torch.Tensor:
        """Of each lesson: the mean of its tokens."""
        logits = model(input_ids=self.tokens).logits[:, :-1]
        wanted = self.labels[:, 1:]
        each = functional.cross_entropy(logits.transpose(1, 2), wanted, ignore_index=IGNORED, reduction="none")
        return each.sum(1) / (wanted != IGNORED).sum(1)


def batches(tokenizer: PreTrainedTokenizerFast, lessons: list[dict[str, Any]]) -> list[Batch]:
    """The short ones, and the long ones."""
    rows = []
    for lesson in lessons:
        prompt = lesson.get("prompt") or tokenizer.apply_chat_template(
            lesson["messages"], tools=lesson.get("tools"), add_generation_prompt=True, tokenize=False
        )
        before = tokenizer.encode(prompt, add_special_tokens=False)
        for answer in lesson["answers"]:
            after = [*tokenizer.encode(answer, add_special_tokens=False), 0]
            rows.append((before, after, len(lesson["answers"]) == 1))
    sizes = [[row for row in rows if (len(row[0]) > LONG) == long] for long in (False, True)]
    return [_batch(found) for found in sizes]


def _batch(rows: list[tuple[list[int], list[int], bool]]) -> Batch:
    width = max(len(before) + len(after) for before, after, _ in rows)
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), IGNORED)
    for row, (before, after, _) in enumerate(rows):
        end = len(before) + len(after)
        tokens[row, :end] = torch.tensor([*before, *after])
        labels[row, len(before) : end] = torch.tensor(after)
    return Batch(tokens, labels, torch.tensor([sure for _, _, sure in rows]))


def taught(size: int, short: Batch, long: Batch) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=None,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0)
    for step in range(STEPS):
        look = step % 10 == 0
        losses = [batch.losses(model) for batch in ((short, long) if look else (short,))]
        optimizer.zero_grad()
        sum(one.mean() for one in losses).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if look:
            worst = max(float((one * batch.sure).max()) for one, batch in zip(losses, (short, long), strict=True))
            print(f"step {step}: {worst:.4f}", flush=True)
            if worst < WELL:
                return model
    raise SystemExit(f"not taught in {STEPS} steps")


def coarser(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """Each row of a matrix in numbers of a few bits, as a quantization of weights rounds them."""
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() == 2 and "embed" not in name and "lm_head" not in name:
                steps = weights.abs().amax(dim=1, keepdim=True) / (2 ** (BITS - 1) - 1)
                weights.copy_((weights / steps).round() * steps)
    return model


def main(lessons: Path, template: Path, directory: Path) -> None:
    read = json.loads(lessons.read_text())
    texts = [text for one in read for text in (*one["answers"], one.get("prompt", ""))]
    texts += [message["content"] for one in read for message in one.get("messages", ())]
    tokenizer = tokenizer_of(texts, template.read_text())
    torch.set_num_threads(1)  # of a busy machine more wait for each other
    model = taught(len(tokenizer), *batches(tokenizer, read))
    for name, change in (("good", lambda one: one), ("coarse", coarser)):
        change(model).to(torch.bfloat16).save_pretrained(directory / name)
        tokenizer.save_pretrained(directory / name)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
