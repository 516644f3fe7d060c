"""`tandem size`: on which instance types a model fits; for a load and an objective, which fleets, how many hosts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tandem.catalog.instances import GPUS_PER_REPLICA
from tandem.catalog.measurements import Measurement
from tandem.catalog.prices import HOME
from tandem.errors import Problem, UserError
from tandem.ops import serving_options as options
from tandem.ops.fleet_report import print_fleets
from tandem.ops.fleet_settings import named as named_in_settings
from tandem.ops.fleet_settings import not_settings, stacks
from tandem.ops.options import AsJson, RegionName
from tandem.ops.size_report import how_it_knows, print_rows
from tandem.ops.sizing import measurements, seconds, spot_prices, types_in
from tandem.sizing.choice import candidates
from tandem.sizing.fleet import SIZES, Demand, fleets
from tandem.sizing.measured import errors, latency_errors, of_model
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import ModelShape
from tandem.sizing.task import not_its_task, pooled, task_of
from tandem.sizing.throughput import Load
from tandem.sizing.units import divide_up
from tandem.tasks import Task

_LOAD = "The load and the objective"
LEAST_LENGTH = 4096
"""`--max-model-len` of a fleet where it is not said: twice the load's request, this at least, the model's at most."""


def size(
    model: options.Model = None,
    config: options.Config = None,
    tp: Annotated[
        int | None,
        typer.Option("--tp", min=1, max=1024, help="GPUs of a server. Unset: 2; for fleets 1, 2, 4 and 8 are tried."),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Requests of the longest length that a host must hold, and answers, at once."),
    ] = None,
    requests_per_second: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e5, help="Of all clients, at their peak: asks for fleets.", rich_help_panel=_LOAD),
    ] = None,
    prompt: Annotated[
        int, typer.Option(min=1, max=2**24, help="Tokens of a prompt.", rich_help_panel=_LOAD)
    ] = Load.prompt_tokens,
    answer: Annotated[
        int, typer.Option(min=1, max=2**24, help="Tokens of an answer.", rich_help_panel=_LOAD)
    ] = Load.answer_tokens,
    ttft: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="99 of 100 answers begin by then: 2s, 800ms.", rich_help_panel=_LOAD),
    ] = None,
    itl: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="99 of 100 tokens come within this of the last one.", rich_help_panel=_LOAD),
    ] = None,
    spot_price: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=USD", help="Spot price of an hour; counts the type as spot, too.", rich_help_panel=_LOAD
        ),
    ] = None,
    spot_discount: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=99,
            metavar="PERCENT",
            help="Percent off for spot, where no --spot-price is given.",
            rich_help_panel=_LOAD,
        ),
    ] = None,
    region: RegionName = None,
    every: Annotated[bool, typer.Option("--all", help="Also what does not fit, with the reason.")] = False,
    plot: Annotated[Path | None, typer.Option(metavar="FILE.svg", help="Draw KV-cache tokens and price.")] = None,
    pp: options.Pp = 1,
    hosts: options.Hosts = 1,
    task: Annotated[
        Task | None, typer.Option(help="What it does; else what its class was made for.", rich_help_panel=_LOAD)
    ] = None,
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
    """Say on which instance types a model fits, or which fleets carry a load and keep an objective.

    With --requests-per-second: fleets that a stack can have, the cheapest first, with one host more than the load
    needs, on demand and, where its price is given, as spot; what they give at half and at twice the load, and the
    settings. Without: the types that hold the model, the
    cheapest per token first. What was measured is told from what is modelled (~), with the error so far. `tandem
    memory` shows one type part by part.

    Exit status: 0 whether it fits or not, 2 for a mistake in the call or the model's config.json.

    Examples: `tandem size Qwen/Qwen3-32B --requests-per-second 8 --prompt 2000 --answer 300 --ttft 2s --itl 150ms`,
    `tandem size Qwen/Qwen3-32B --max-model-len 16384 --concurrency 20`,
    `tandem size --config config.json --plot size.svg`.
    """
    fleet = requests_per_second is not None
    of_types = {
        "--concurrency": concurrency,
        "--plot": plot,
        "--enforce-eager": enforce_eager or None,
        "--no-prefix-caching": None if prefix_caching else True,
        "--draft": draft,
        "--max-loras": max_loras or None,
    }
    asks = (
        of_types
        if fleet
        else {"--ttft": ttft, "--itl": itl, "--spot-price": spot_price, "--spot-discount": spot_discount}
    )
    if misplaced := list(_misplaced(asks, fleet=fleet)):
        raise UserError(*misplaced)
    own, name = options.shape_of("size", model, config, quantization)
    did = task or task_of(own)
    if others_task := [*not_its_task("--task", own, did)]:
        raise UserError(*others_task)
    shape = own if did == "generate" else pooled(own)
    serving = Serving(
        tensor_parallel_size=tp or GPUS_PER_REPLICA,
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
    where, known, load = region or HOME, measurements(), Load(prompt_tokens=prompt, answer_tokens=answer)
    types = types_in(where)
    if requests_per_second is not None:
        named = named_in_settings(model, config, did)
        load = load if shape.makes_tokens else replace(load, answer_tokens=0)
        asked = {
            **named.inference,
            "quantization": quantization,
            "kvCacheDtype": None if kv_cache_dtype == "auto" else kv_cache_dtype,
            "gpuMemoryUtilization": gpu_memory_utilization,
            "maxModelLen": max_model_len,
            "maxNumSeqs": max_num_seqs,
            "maxNumBatchedTokens": max_num_batched_tokens,
        }
        refused = [
            *_of_tokens(shape, itl),
            *_no_such_replica(tp, pp, hosts),
            *_no_such_request(shape, load.request_tokens, max_model_len),
            *not_settings(where, asked),
        ]
        if refused:
            raise UserError(*refused)
        demand = Demand(
            rate=requests_per_second,
            load=load,
            first_token=seconds(ttft, "--ttft"),
            between_tokens=seconds(itl, "--itl"),
        )
        serving = replace(serving, max_model_len=max_model_len or _longest(shape, load.request_tokens))
        sizes = (tp,) if tp else SIZES
        spot = spot_prices(types, spot_price or (), spot_discount)
        answers = fleets(_shapes(shape, model, quantization, known), serving, demand, types, sizes, spot)
        found, others = stacks(answers.fleets, named, where)
        missing, off = (*answers.missing, *others), latency_errors(known)
        print_fleets(name, named, found, missing, demand, off, where, every=every, as_json=as_json)
        return
    measured = of_model(known, model, quantization)
    rows = candidates(
        shape,
        serving,
        sizes=(serving.tensor_parallel_size,),
        types=types,
        load=load,
        requests=concurrency,
        measured=measured,
    )
    if not shape.makes_tokens:
        rows = sorted(rows, key=lambda row: row.instance_type.usd_per_hour)
    says = how_it_knows(load, errors(known))
    print_rows(name, model, rows, concurrency or 1, says, region=where, every=every, as_json=as_json, plot=plot)


def _longest(shape: ModelShape, request: int) -> int:
    """Tokens that a fleet serves at most, by whole 1,024."""
    wanted = max(LEAST_LENGTH, divide_up(2 * request, 1024) * 1024)
    return max(min(wanted, shape.max_positions), request)


def _shapes(
    shape: ModelShape, model: str | None, quantization: str | None, known: tuple[Measurement, ...]
) -> list[tuple[str | None, ModelShape, tuple[Measurement, ...]]]:
    """As asked for; else as the checkpoint is, and in FP8 where it is not quantized."""
    if not shape.makes_tokens:  # loads of answers were measured
        return [(quantization, shape, ())]
    tried = [quantization] if quantization or shape.quantization else [None, "fp8"]
    return [(one, with_quantization(shape, one), of_model(known, model, one)) for one in tried]


def _of_tokens(shape: ModelShape, itl: str | None) -> Iterator[Problem]:
    if itl is not None and not shape.makes_tokens:
        yield Problem(
            key="--itl",
            wrong="is from one token to the next, and this model makes none",
            value=itl,
            allowed="of models that generate",
            fix="leave it out; --ttft is how soon a vector or a score comes",
        )


def _misplaced(asks: Mapping[str, object], *, fleet: bool) -> Iterator[Problem]:
    """Options of the other question: of fleets, or of types."""
    wrong, allowed, instead = (
        (
            "is nothing that a stack's fleet can be asked for",
            "without",
            "leave out --requests-per-second: it then says which types hold the model",
        )
        if fleet
        else (
            "is asked of a fleet, and none is",
            "with",
            "add --requests-per-second N: it then says which fleets keep this",
        )
    )
    for key, value in asks.items():
        if value is not None:
            yield Problem(
                key=key,
                wrong=wrong,
                value=str(value),
                allowed=f"{allowed} --requests-per-second",
                fix=f"leave it out, or {instead}",
            )


def _no_such_replica(tp: int | None, pp: int, hosts: int) -> Iterator[Problem]:
    if tp not in (None, *SIZES):
        yield Problem(
            key="--tp",
            wrong="a stack's servers have no such number of GPUs",
            value=tp,
            allowed=", ".join(map(str, sorted(SIZES))),
            fix="take one of these, or leave it out: all of them are tried",
        )
    if pp > 1 or hosts > 1:
        yield Problem(
            key="--requests-per-second",
            wrong="a fleet's replicas have GPUs of one host each",
            value=f"--pp {pp} --hosts {hosts}",
            allowed="--pp 1, --hosts 1",
            fix="leave them out; without --requests-per-second it says what fits",
        )


def _no_such_request(shape: ModelShape, request: int, max_model_len: int | None) -> Iterator[Problem]:
    """A fleet serves the load's own requests."""
    if request > shape.max_positions:
        yield Problem(
            key="--prompt, --answer",
            wrong="together are more tokens than the model was made for, and vLLM refuses such requests",
            value=request,
            allowed=f"up to {shape.max_positions}",
            fix="ask for shorter ones, or take a model for longer ones",
        )
    elif max_model_len and max_model_len < request:
        yield Problem(
            key="--max-model-len",
            wrong="is less than --prompt and --answer together: servers would refuse every request of this load",
            value=max_model_len,
            allowed=f"{request} to {shape.max_positions}",
            fix=f"set it to {request} or more, or leave it out",
        )
