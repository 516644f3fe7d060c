"""`tandem memory`: where the memory of one GPU goes, part by part, and whether a running server agrees."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import typer

from tandem.catalog.instances import INSTANCE_TYPES, unknown_type_problem
from tandem.errors import UserError
from tandem.http import Http
from tandem.ops import serving_options as options
from tandem.ops.options import AsJson, print_json
from tandem.ops.size_report import one_json, print_comparison, print_cpu, print_one
from tandem.ops.sizing import live_cache
from tandem.sizing.choice import on_hosts
from tandem.sizing.cpu import cpu_cache
from tandem.sizing.fits import verdict
from tandem.sizing.gpus import gpu_of
from tandem.sizing.memory import Sizing
from tandem.sizing.memory import size as size_model
from tandem.sizing.releases import PINNED, release_of
from tandem.sizing.serving import DEFAULT_UTILIZATION, Gpu, Serving
from tandem.sizing.shapes import ModelShape


def _of_gpu(help_text: str, **limits: Any) -> Any:
    return typer.Option(help=help_text, rich_help_panel="Which GPU", **limits)


def memory(
    model: options.Model = None,
    config: options.Config = None,
    instance_type: Annotated[str | None, _of_gpu("This instance type's GPUs.", metavar="TYPE")] = None,
    gpu_mib: Annotated[float | None, _of_gpu("Memory of a GPU as torch sees it.", min=1, max=2**24)] = None,
    compute_capability: Annotated[float | None, _of_gpu("8.9 is Ada, 9.0 Hopper.", min=1, max=20)] = None,
    cpu_kvcache_space: Annotated[
        int | None, _of_gpu("A CPU server with this VLLM_CPU_KVCACHE_SPACE, in GiB.", metavar="GIB", min=1, max=2**20)
    ] = None,
    check: Annotated[
        str | None, typer.Option(metavar="URL", help="Compare with the metrics of this running server.")
    ] = None,
    vllm_version: Annotated[
        str | None,
        typer.Option(
            help="Count as this release does: 0.32.0, pinned and the default, or 0.25.1.",
            metavar="VERSION",
        ),
    ] = None,
    tp: Annotated[int, typer.Option("--tp", min=1, max=1024, help="Tensor parallel size.")] = 2,
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
    draft_method: options.DraftMethod = "draft",
    max_loras: options.MaxLoras = 0,
    max_lora_rank: options.MaxLoraRank = 16,
    as_json: AsJson = False,
) -> None:
    """Show where the memory of one GPU goes, part by part, or whether a running server agrees.

    `tandem size` lists the instance types to choose from.

    Exit status: 0 whether it fits or not, 2 for a mistake in the call or the model's config.json.

    Examples: `tandem memory Qwen/Qwen3-8B --instance-type g6.12xlarge`,
    `tandem memory Qwen/Qwen3-8B --instance-type g6.12xlarge --check http://127.0.0.1:8000`,
    `tandem memory --config config.json --gpu-mib 143156 --compute-capability 9.0 --json`.
    """
    shape, name = options.shape_of("memory", model, config, quantization)
    serving = Serving(
        tensor_parallel_size=tp,
        pipeline_parallel_size=pp,
        gpu_memory_utilization=gpu_memory_utilization,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        kv_cache_dtype=kv_cache_dtype,
        enforce_eager=enforce_eager,
        prefix_caching=prefix_caching,
        speculation=options.speculation(speculative_tokens, draft, draft_method),
        adapter_slots=max_loras,
        adapter_rank=max_lora_rank if max_loras else 0,
        hosts=hosts,
    )
    if cpu_kvcache_space is not None:
        cache = cpu_cache(shape, serving, cpu_kvcache_space)
        tokens, show = cache.kv_cache_tokens, partial(print_cpu, cache, as_json=as_json)
    else:
        sizing = _gpu(shape, serving, gpu_mib, compute_capability, instance_type, vllm_version)
        tokens, show = sizing.kv_cache_tokens, partial(_show, name, sizing, as_json)
    if check:
        print_comparison(tokens, live_cache(check, Http(deadline_seconds=15, timeout_seconds=5)), as_json=as_json)
    else:
        show()


def _show(name: str, sizing: Sizing, as_json: bool) -> None:
    if as_json:
        print_json(one_json(sizing, verdict(sizing)))
    else:
        print_one(name, sizing, verdict(sizing))


def _gpu(
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
    elif gpu_mib is not None and compute_capability is not None:
        gpu = Gpu(mib=gpu_mib, compute_capability=compute_capability)
        if serving.gpu_memory_utilization is None:
            serving = replace(serving, gpu_memory_utilization=DEFAULT_UTILIZATION)
    else:
        both = {"--gpu-mib": gpu_mib, "--compute-capability": compute_capability}
        given = ", ".join(f"{name} {one}" for name, one in both.items() if one is not None)
        raise UserError.of(
            key="--instance-type, or --gpu-mib and --compute-capability",
            wrong="no GPU is named; one is described by its type, or by both others",
            value=given or "none of them",
            allowed="--instance-type g6.12xlarge, or --gpu-mib 22559 --compute-capability 8.9 for an L4",
            fix="add what is missing; `tandem size` lists the instance types",
        )
    return size_model(shape, serving, gpu, release_of(version) if version else PINNED)
