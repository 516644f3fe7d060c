"""`tandem size`: does the model fit, with how many KV-cache tokens, on which instance type, at which price."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.catalog.instances import INSTANCE_TYPES, unknown_type_problem
from infra.errors import Problem, UserError
from infra.sizing.choice import Candidate, candidates, on_hosts
from infra.sizing.config_file import load_shape
from infra.sizing.cpu import cpu_cache
from infra.sizing.fits import verdict
from infra.sizing.gpus import gpu_of
from infra.sizing.memory import Sizing
from infra.sizing.memory import size as size_model
from infra.sizing.reading import with_quantization
from infra.sizing.releases import MEASURED, PINNED, release_of
from infra.sizing.serving import DEFAULT_UTILIZATION, Gpu, Serving, Speculation
from infra.sizing.shapes import ModelShape
from ops.http import Http
from ops.options import AsJson, ProfileName, print_json
from ops.screen import Screen
from ops.size_report import one_json, print_comparison, print_cpu, print_one, print_rows
from ops.sizing import find_shape, live_cache, regional

_SERVING, _GPU = "How it is served", "One GPU, for scripts"


def _of_serving(help_text: str, *names: str, **limits: Any) -> Any:
    return typer.Option(*names, help=help_text, rich_help_panel=_SERVING, **limits)


def _of_gpu(help_text: str, **limits: Any) -> Any:
    return typer.Option(help=help_text, rich_help_panel=_GPU, **limits)


def size(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Id in the catalog or on the hub.")] = None,
    config: Annotated[Path | None, typer.Option(metavar="PATH", help="The model's config.json.")] = None,
    tp: Annotated[
        int | None, _of_serving("Tensor parallel size. Unset: all that fit.", "--tp", min=1, max=1024)
    ] = None,
    pp: Annotated[int, _of_serving("Pipeline parallel size.", "--pp", min=1, max=1024)] = 1,
    hosts: Annotated[int, _of_serving("Hosts of one replica.", min=1, max=1024)] = 1,
    quantization: Annotated[str | None, _of_serving("As vLLM's flag: fp8 quantizes while it loads.")] = None,
    kv_cache_dtype: Annotated[str, _of_serving("auto or fp8.")] = "auto",
    max_model_len: Annotated[
        int | None, _of_serving("Longest request in tokens. Unset: the model's.", min=1, max=2**30)
    ] = None,
    max_num_seqs: Annotated[int | None, _of_serving("Requests in a batch. Unset: vLLM's.", min=1, max=2**20)] = None,
    max_num_batched_tokens: Annotated[
        int | None, _of_serving("Tokens in a step. Unset: vLLM's.", min=1, max=2**24)
    ] = None,
    gpu_memory_utilization: Annotated[
        float | None, _of_serving("Unset: the highest that stays on the card.", min=0.01, max=1.0)
    ] = None,
    enforce_eager: Annotated[bool, _of_serving("No compilation, no CUDA graphs.", "--enforce-eager")] = False,
    prefix_caching: Annotated[bool, _of_serving("Costs memory in hybrid models only.")] = True,
    speculative_tokens: Annotated[int, _of_serving("Proposed by a draft in a step.", min=0, max=64)] = 0,
    draft: Annotated[Path | None, _of_serving("config.json of a draft model; n-gram without.", metavar="PATH")] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Requests of the longest length that a host must hold at once.")
    ] = None,
    context_tokens: Annotated[
        int, typer.Option(min=1, help="Assumed for estimates: tokens that a running request has on average.")
    ] = 2048,
    region: Annotated[
        str | None, typer.Option("--region", metavar="REGION", help="Ask AWS for this region's types and prices.")
    ] = None,
    profile: ProfileName = None,
    every: Annotated[bool, typer.Option("--all", help="Also what does not fit, with the reason.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw KV-cache tokens and price.")] = None,
    check: Annotated[
        str | None, typer.Option(metavar="URL", help="Compare one GPU's figures with this running server's metrics.")
    ] = None,
    gpu_mib: Annotated[float | None, _of_gpu("Memory of a GPU as torch sees it.", min=1, max=2**24)] = None,
    compute_capability: Annotated[float | None, _of_gpu("8.9 is Ada, 9.0 Hopper.", min=1, max=20)] = None,
    cpu_kvcache_space: Annotated[
        int | None, _of_gpu("A CPU server with this VLLM_CPU_KVCACHE_SPACE, in GiB.", metavar="GIB", min=1, max=2**20)
    ] = None,
    instance_type: Annotated[str | None, _of_gpu("This instance type's GPUs.", metavar="TYPE")] = None,
    vllm_version: Annotated[
        str | None,
        _of_gpu(
            "Whose way of counting: 0.25.1, the release of the measurements and the default with --gpu-mib, or 0.32.0, "
            "which is pinned and the default otherwise.",
            metavar="VERSION",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a model fits, how many KV-cache tokens that leaves, on which instance types, and what a token costs.

    Without a GPU: all instance types of the catalog that fit, the cheapest per token first. Tokens per second are
    estimates of the upper limit, from memory bandwidth, tensor rate and links; real servers stay below.
    With --gpu-mib or --instance-type: the memory of one GPU, part by part.

    Exit status: 0 whether it fits or not, 2 for a mistake in the call or the model's config.json.

    Examples: `tandem size Qwen/Qwen3-32B --max-model-len 16384 --concurrency 20`,
    `tandem size --config config.json --plot size.svg`, `tandem size Qwen/Qwen3-8B --instance-type g6.12xlarge`,
    `tandem size --config config.json --tp 2 --gpu-mib 143156 --compute-capability 9.0 --json`.
    """
    shape, name = _shape(model, config, quantization)
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
        speculation=_speculation(speculative_tokens, draft),
        hosts=hosts,
    )
    http = Http(deadline_seconds=15, timeout_seconds=5)
    if cpu_kvcache_space is not None:
        cache = cpu_cache(shape, serving, cpu_kvcache_space)
        if check:
            print_comparison(cache.kv_cache_tokens, live_cache(check, http), as_json=as_json)
        else:
            print_cpu(cache, as_json=as_json)
        return
    if gpu_mib is not None or instance_type is not None or compute_capability is not None or check:
        sizing = _one(shape, serving, gpu_mib, compute_capability, instance_type, vllm_version)
        if check:
            print_comparison(sizing.kv_cache_tokens, live_cache(check, http), as_json=as_json)
        elif as_json:
            print_json(one_json(sizing, verdict(sizing)))
        else:
            print_one(name, sizing, verdict(sizing))
        return
    rows = _rows(shape, serving, tp, region, profile, context_tokens, concurrency)
    print_rows(name, model, rows, concurrency or 1, region=region, every=every, as_json=as_json, plot=plot)


def _shape(model: str | None, config: Path | None, quantization: str | None) -> tuple[ModelShape, str]:
    if (model is None) == (config is None):
        raise UserError(
            Problem(
                key="MODEL",
                wrong="name a model, or give a config.json with --config, and not both",
                value=model,
                fix="`tandem size Qwen/Qwen3-8B`, or `tandem size --config PATH`",
            )
        )
    if config is not None:
        return with_quantization(load_shape(config), quantization), str(config)
    assert model is not None
    return with_quantization(find_shape(model, Http(deadline_seconds=10, timeout_seconds=5)), quantization), model


def _speculation(tokens: int, draft: Path | None) -> Speculation | None:
    if draft is not None and not tokens:
        raise UserError(
            Problem(
                key="--draft",
                wrong="says which draft model, but not how many tokens it proposes",
                value=str(draft),
                fix="add --speculative-tokens, such as 3",
            )
        )
    return Speculation(tokens=tokens, draft=load_shape(draft) if draft else None) if tokens else None


# -- one GPU -----------------------------------------------------------------------------------------------------------


def _one(
    shape: ModelShape,
    serving: Serving,
    gpu_mib: float | None,
    compute_capability: float | None,
    instance_type: str | None,
    version: str | None,
) -> Sizing:

    if instance_type is not None:
        if instance_type not in INSTANCE_TYPES:
            raise UserError(unknown_type_problem("--instance-type", instance_type))
        serving = on_hosts(serving, INSTANCE_TYPES[instance_type])
        gpu, _ = gpu_of(INSTANCE_TYPES[instance_type])
        release = release_of(version) if version else PINNED
    elif gpu_mib is not None and compute_capability is not None:
        gpu = Gpu(mib=gpu_mib, compute_capability=compute_capability)
        release = release_of(version) if version else MEASURED
        if serving.gpu_memory_utilization is None:
            serving = replace(serving, gpu_memory_utilization=DEFAULT_UTILIZATION)
    else:
        raise UserError(
            Problem(
                key="--gpu-mib and --compute-capability",
                wrong="a GPU is described by both",
                value=f"{gpu_mib}, {compute_capability}",
                allowed="--gpu-mib 22559 --compute-capability 8.9 for an L4, or --instance-type g6.12xlarge",
                fix="add the one that is missing",
            )
        )
    return size_model(shape, serving, gpu, release)


# -- all instance types ------------------------------------------------------------------------------------------------


def _rows(
    shape: ModelShape,
    serving: Serving,
    tp: int | None,
    region: str | None,
    profile: str | None,
    context_tokens: int,
    requests: int | None,
) -> list[Candidate]:
    types = list(INSTANCE_TYPES.values())
    if region is not None:
        with Screen(stderr=True).status(f"prices in {region}"):
            types = regional(types, region, profile)
    rows = candidates(shape, serving, types=types, context_tokens=context_tokens, requests=requests)
    return [row for row in rows if tp in (None, row.tensor_parallel_size)]
