"""LoRA adapters as the hub has them, beside what a stack says of them and what vLLM takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tandem.errors import UserError
from tandem.ops import lookups
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.finding import Finding, error, warning
from tandem.rules.cluster import models
from tandem.settings.commands import place, set_to
from tandem.sizing.adapters import RANKS, reserved_rank

NOT_SERVED = {
    "use_dora": "DoRA",
    "lora_bias": "a bias",
    "alora_invocation_tokens": "aLoRA",
    "layer_replication": "replicated layers",
    "use_bdlora": "block-diagonal matrices",
    "use_qalora": "QALoRA",
}
"""Fields of adapter_config.json with which vLLM 0.32 refuses to load it (`vllm/lora/peft_helper.py`)."""


def adapters_fit(examination: Examination) -> Iterator[Finding]:
    """A server that reserved too little for one, or cannot load it, ends when its weights are there, half an hour on.

    One that cannot be read is the check of models'.
    """
    for prefix, inference, _ in models(examination.settings):
        for name, adapter in inference.adapters.items():
            commit = examination.pins.model_revision(adapter.model) or "main"
            try:
                config = lookups.adapter_config(adapter.model, examination.http, commit)
            except UserError:
                continue
            key = place(f"{prefix}inference.adapters", name, "rank").partition(":")[2]
            yield from _rank(adapter.model, config, adapter.rank, key)
            yield from _made_otherwise(adapter.model, config, inference.model)


def _rank(model: str, config: Mapping[str, Any], told: int, key: str) -> Iterator[Finding]:
    pattern = config.get("rank_pattern")
    ranks = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else ())]
    largest = max((rank for rank in ranks if isinstance(rank, int)), default=0)
    if not 1 <= largest <= RANKS[-1]:
        yield error(
            f"{model}: its adapter_config.json has no rank that vLLM takes",
            value=str(config.get("r")),
            needed=f"r from 1 to {RANKS[-1]}",
            fix="serve another adapter",
        )
    elif reserved_rank(largest) != reserved_rank(told):
        yield Finding(
            severity="error" if largest > told else "warning",
            what=f"{model}: its rank is {'more' if largest > told else 'less'} than {key} says, by which servers "
            "reserve memory before they have read it",
            value=str(told),
            needed=f"{largest}, as its adapter_config.json has it",
            fix=set_to(key, largest),
        )


def _made_otherwise(model: str, config: Mapping[str, Any], base: str) -> Iterator[Finding]:
    for field in (field for field in NOT_SERVED if config.get(field)):
        yield error(
            f"{model}: vLLM does not load an adapter with {NOT_SERVED[field]}",
            value=f"{field}: {config[field]}",
            needed="a plain LoRA adapter",
            fix="merge it into a checkpoint, and serve that as a model",
        )
    named = config.get("base_model_name_or_path")
    if isinstance(named, str) and named.rstrip("/").rpartition("/")[2].lower() != base.rpartition("/")[2].lower():
        yield warning(
            f"{model}: it was made for another model, by its adapter_config.json",
            value=named,
            needed=base,
            fix="compare the two: a copy of the model under another name is fine, another model's layers are not",
        )
