"""What `tandem size` and `tandem memory` ask alike: which model, and how vLLM would serve it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tandem.errors import UserError
from tandem.http import Http
from tandem.ops.sizing import find_shape
from tandem.settings.inference import SpeculationSettings
from tandem.sizing.config_file import load_shape
from tandem.sizing.drafts import Method, load_draft
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Speculation
from tandem.sizing.shapes import ModelShape

_PANEL = "How it is served"


def _option(help_text: str, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=_PANEL, **limits)


Model = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Id in the catalog or on the hub.")]
Config = Annotated[Path | None, typer.Option("--config", metavar="PATH", help="The model's config.json.")]
Pp = Annotated[int, _option("Pipeline parallel size.", "--pp", min=1, max=1024)]
Hosts = Annotated[int, _option("Hosts of one replica.", "--hosts", min=1, max=1024)]
Quantization = Annotated[str | None, _option("As vLLM's flag: fp8 quantizes while it loads.", "--quantization")]
KvCacheDtype = Annotated[str, _option("auto or fp8.", "--kv-cache-dtype")]
MaxModelLen = Annotated[
    int | None, _option("Longest request in tokens. Unset: the model's.", "--max-model-len", min=1, max=2**30)
]
MaxNumSeqs = Annotated[int | None, _option("Requests in a batch. Unset: vLLM's.", "--max-num-seqs", min=1, max=2**20)]
MaxNumBatchedTokens = Annotated[
    int | None, _option("Tokens in a step. Unset: vLLM's.", "--max-num-batched-tokens", min=1, max=2**24)
]
GpuMemoryUtilization = Annotated[
    float | None,
    _option("Unset: the highest that stays on the card.", "--gpu-memory-utilization", min=0.01, max=1.0),
]
EnforceEager = Annotated[bool, _option("No compilation, no CUDA graphs.", "--enforce-eager")]
PrefixCaching = Annotated[bool, _option("Costs memory in hybrid models only.", "--prefix-caching/--no-prefix-caching")]
SpeculativeTokens = Annotated[int, _option("Proposed by a draft in a step.", "--speculative-tokens", min=0, max=64)]
Draft = Annotated[Path | None, _option("config.json of a draft or head; n-gram without.", "--draft", metavar="PATH")]
DraftMethod = Annotated[Method, _option("Its kind: a draft model, or a head.", "--draft-method")]
MaxLoras = Annotated[int, _option("LoRA adapters in a batch.", "--max-loras", min=0, max=1024)]
MaxLoraRank = Annotated[int, _option("The largest rank among them.", "--max-lora-rank", min=1, max=512)]


def shape_of(command: str, model: str | None, config: Path | None, quantization: str | None) -> tuple[ModelShape, str]:
    """The model's shape, and what it is called in an answer.

    Raises:
        UserError: neither model nor config.json is named, or both are; or it cannot be read.
    """
    if (model is None) == (config is None):
        raise UserError.of(
            key="MODEL",
            wrong="name a model, or give a config.json with --config, and not both",
            value=model,
            fix=f"`tandem {command} Qwen/Qwen3-8B`, or `tandem {command} --config PATH`",
        )
    if config is not None:
        return with_quantization(load_shape(config), quantization), str(config)
    assert model is not None
    return with_quantization(find_shape(model, Http(deadline_seconds=10, timeout_seconds=5)), quantization), model


def speculation(tokens: int, draft: Path | None, method: Method = "draft") -> Speculation | None:
    """What proposes tokens, n-grams as a stack's settings have them by default; None for nothing.

    Raises:
        UserError: a draft model is named, and no number of tokens.
    """
    if draft is not None and not tokens:
        raise UserError.of(
            key="--draft",
            wrong="says which draft model, but not how many tokens it proposes",
            value=str(draft),
            fix="add --speculative-tokens, such as 3",
        )
    if not tokens:
        return None
    if draft is not None:
        return Speculation(tokens=tokens, draft=load_draft(method, draft))
    return Speculation(tokens=tokens, up_to_requests=SpeculationSettings().up_to_requests)
