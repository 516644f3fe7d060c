"""`tandem size`: does the model fit, with how many KV-cache tokens, on which instance type, at which price."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.ops import serving_options as options
from tandem.ops.options import AsJson, ProfileName
from tandem.ops.screen import Screen
from tandem.ops.size_report import how_it_knows, print_rows
from tandem.ops.sizing import measurements, regional
from tandem.sizing.choice import candidates
from tandem.sizing.measured import errors, of_model
from tandem.sizing.serving import Serving
from tandem.sizing.throughput import Load


def size(
    model: options.Model = None,
    config: options.Config = None,
    tp: Annotated[
        int | None, typer.Option("--tp", min=1, max=1024, help="Tensor parallel size. Unset: all that fit.")
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Requests of the longest length that a host must hold, and answers, at once."),
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1, help="Of a request, for tokens per second.")] = 1024,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Likewise.")] = 256,
    region: Annotated[
        str | None, typer.Option("--region", metavar="REGION", help="Ask AWS for this region's types and prices.")
    ] = None,
    profile: ProfileName = None,
    every: Annotated[bool, typer.Option("--all", help="Also what does not fit, with the reason.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw KV-cache tokens and price.")] = None,
    pp: options.Pp = 1,
    hosts: options.Hosts = 1,
    quantization: options.Quantization = None,
    kv_cache_dtype: options.KvCacheDtype = "auto",
    max_model_len: options.MaxModelLen = None,
    max_num_seqs: options.MaxNumSeqs = None,
    max_num_batched_tokens: options.MaxNumBatchedTokens = None,
    gpu_memory_utilization: options.GpuMemoryUtilization = None,
    enforce_eager: options.EnforceEager = False,
    prefix_caching: options.PrefixCaching = True,
    speculative_tokens: options.SpeculativeTokens = 0,
    draft: options.Draft = None,
    as_json: AsJson = False,
) -> None:
    """Say on which instance types a model fits, with how many KV-cache tokens, and what a token costs.

    The cheapest per token first. Tokens per second were measured where tandem or the project's loads/measurements.json
    has such a server under such a load; others, with ~, are modelled, and it says with which error so far. `tandem
    memory` shows one of them part by part.

    Exit status: 0 whether it fits or not, 2 for a mistake in the call or the model's config.json.

    Examples: `tandem size Qwen/Qwen3-32B --max-model-len 16384 --concurrency 20`,
    `tandem size --config config.json --plot size.svg`.
    """
    shape, name = options.shape_of("size", model, config, quantization)
    serving = Serving(
        tensor_parallel_size=tp or 2,
        pipeline_parallel_size=pp,
        gpu_memory_utilization=gpu_memory_utilization,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        kv_cache_dtype=kv_cache_dtype,
        enforce_eager=enforce_eager,
        prefix_caching=prefix_caching,
        speculation=options.speculation(speculative_tokens, draft),
        hosts=hosts,
    )
    types = list(INSTANCE_TYPES.values())
    if region is not None:
        with Screen(stderr=True).status(f"prices in {region}"):
            types = regional(types, region, profile)
    known, load = measurements(), Load(prompt_tokens=prompt_tokens, answer_tokens=answer_tokens)
    measured = of_model(known, model, quantization)
    found = candidates(shape, serving, types=types, load=load, requests=concurrency, measured=measured)
    rows = [row for row in found if tp in (None, row.tensor_parallel_size)]
    says = how_it_knows(load, errors(known))
    print_rows(name, model, rows, concurrency or 1, says, region=region, every=every, as_json=as_json, plot=plot)
