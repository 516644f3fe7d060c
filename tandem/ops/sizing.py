"""What `tandem size` looks up: a model's config.json on the hub, a live server's figures, prices of a region."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import quote

from tandem import loads
from tandem.catalog.instances import INSTANCE_TYPES, OFFERED, InstanceType, unknown_type_problem
from tandem.catalog.measurements import MEASUREMENTS, Measurement, read
from tandem.catalog.models import MODELS, unknown_model_problem
from tandem.catalog.prices import ON_DEMAND
from tandem.errors import Problem, UserError
from tandem.http import Http
from tandem.ops import options
from tandem.sizing.checkpoint import (
    INDEX,
    LARGEST_INDEX,
    LENGTH,
    SINGLE,
    header_length,
    weighed_by_headers,
    weighed_by_index,
)
from tandem.sizing.choice import Candidate
from tandem.sizing.config_file import LARGEST_CONFIG, QUANTIZATION, lacks_quantization, parse_config, quantized_as
from tandem.sizing.fits import Verdict
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import Sizing
from tandem.sizing.reading import read_shape
from tandem.sizing.shapes import ModelShape
from tandem.sizing.units import GIB

_MODEL_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
CLOSE_ENOUGH = 0.05
"""A live server within this share of the plan is as planned."""


def find_shape(model: str, http: Http) -> ModelShape:
    """The shape of a model: from the catalog, else from its config.json on the hub.

    HF_TOKEN is sent where it is set; HF_ENDPOINT names a mirror.

    Raises:
        UserError: not in the catalog, and the hub is not reachable, has no such model, or hides it.
    """
    if model in MODELS:
        return catalog_shape(model)
    if not _MODEL_ID.fullmatch(model):
        raise UserError(unknown_model_problem("model", model))
    config, status = _from_hub(model, "config.json", http)
    if config is None:
        raise UserError(unknown_model_problem("model", model), _hidden(model, status))
    if lacks_quantization(config):
        quantization, _ = _from_hub(model, QUANTIZATION, http)
        config = config if quantization is None else quantized_as(config, quantization)
    return _weighed(read_shape(config), model, http)


def _weighed(shape: ModelShape, model: str, http: Http) -> ModelShape:
    """With the bytes of its checkpoint: by the index, or where one file has all, by the header of that."""
    index, _ = _from_hub(model, INDEX, http, LARGEST_INDEX)
    if index is not None:
        return weighed_by_index(shape, index)
    start = _range_of(model, SINGLE, 0, LENGTH, http)
    if start is None:
        return shape
    header = _range_of(model, SINGLE, LENGTH, header_length(start, SINGLE), http)
    return weighed_by_headers(shape, {SINGLE: header}) if header else shape


def _range_of(model: str, file: str, begin: int, length: int, http: Http) -> bytes | None:
    """Bytes of a model's file; None where the hub has no such file, or would send all of it."""
    headers = {**_token(), "Range": f"bytes={begin}-{begin + length - 1}"}
    with http.get(_address(model, file), key=model, headers=headers, whole=False) as response:
        return response.content if response.status_code == 206 and length <= LARGEST_INDEX else None


def _address(model: str, file: str) -> str:
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    return f"{endpoint}/{quote(model, safe='/')}/resolve/main/{file}"


def _token() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _from_hub(model: str, file: str, http: Http, largest: int = LARGEST_CONFIG) -> tuple[object, int]:
    """A JSON file of a model, None where the hub does not give it; and the status of its answer."""
    url = _address(model, file)
    try:
        response = http.get(url, key=model, headers=_token())
    except UserError as error:
        raise UserError(unknown_model_problem("model", model), *error.problems) from None
    if response.status_code != 200:
        return None, response.status_code
    if len(response.content) > largest:
        raise UserError.of(
            key=model,
            wrong=f"the hub's {file} of this model is too large to be one",
            value=f"{len(response.content)} bytes",
            allowed=f"up to {largest} bytes",
            fix="check the name of the model",
        )
    return parse_config(response.content, url), 200


def _hidden(model: str, status: int) -> Problem:
    return Problem(
        key=model,
        wrong="the hub has no such model, or hides it from this token",
        value=f"HTTP {status}",
        allowed="organisation/name of a model, as in its address",
        fix="check the name; for a gated or private model `export HF_TOKEN=...`",
    )


# -- a live server -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Live:
    """What a running vLLM server says about its KV cache, in the labels of `vllm:cache_config_info`.

    Attributes:
        kv_cache_tokens: all tokens that fit.
        utilization: its `--gpu-memory-utilization`.
    """

    kv_cache_tokens: int
    utilization: float | None

    def difference(self, planned: int) -> float:
        """How far the server is from the plan, as a share of the server's figure; above 0 the plan promised more."""
        return planned / self.kv_cache_tokens - 1 if self.kv_cache_tokens else 0.0


def live_cache(url: str, http: Http) -> Live:
    """Reads `/metrics` of a server.

    Raises:
        UserError: not reachable, or no vLLM server.
    """
    address = f"{url.rstrip('/')}/metrics"
    response = http.get(address, key="--check")
    labels = _cache_labels(response.text) if response.status_code == 200 else {}
    tokens = _number(labels.get("kv_cache_size_tokens"))
    if tokens is None:
        blocks, size = _number(labels.get("num_gpu_blocks")), _number(labels.get("block_size"))
        tokens = blocks * size if blocks and size else None
    if tokens is None:
        raise UserError.of(
            key="--check",
            wrong="this server does not tell the size of its KV cache (no vllm:cache_config_info in its metrics)",
            value=f"{address}: HTTP {response.status_code}",
            allowed="the address of a vLLM server; the load balancer and the edge do not forward /metrics",
            fix="ask the server itself, through a tunnel to the host: http://127.0.0.1:8000",
        )
    return Live(int(tokens), _number(labels.get("gpu_memory_utilization")))


def _cache_labels(metrics: str) -> dict[str, str]:
    line = next((line for line in metrics.splitlines() if line.startswith("vllm:cache_config_info{")), "")
    return dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', line))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


# -- measured throughput -----------------------------------------------------------------------------------------------


def measurements() -> tuple[Measurement, ...]:
    """tandem's, and those of the project.

    Raises:
        UserError: the project's file holds none.
    """
    path = options.PROJECT / loads.DIRECTORY / loads.MEASUREMENTS
    try:
        return (*MEASUREMENTS, *read(path))
    except ValueError as error:
        fix = "mend it, or remove it: `tandem load --measure` writes it anew"
        raise UserError.of(key=str(path), wrong=str(error), fix=fix) from None


# -- prices of a region ------------------------------------------------------------------------------------------------


def types_in(region: str) -> list[InstanceType]:
    """The types whose price in a region is known, at that price, most wanted for being cheap first.

    Raises:
        UserError: none is.
    """
    listed = ON_DEMAND.get(region)
    if not listed:
        raise UserError.of(
            key="--region",
            wrong="the prices of this region are not in tandem/catalog/prices.json",
            value=region,
            allowed=", ".join(ON_DEMAND),
            fix=f"`tandem pin --prices --region {region}` asks AWS for them, and writes them there",
        )
    return [
        replace(one, usd_per_hour=listed.usd[name])
        for name, one in sorted(INSTANCE_TYPES.items(), key=lambda pair: listed.usd.get(pair[0], 0.0))
        if name in listed.usd
    ]


def spot_prices(types: Iterable[InstanceType], given: Iterable[str], discount: float | None) -> dict[str, float]:
    """US dollars of an hour as spot, by type, as somebody gives them: nobody publishes them, and they change.

    Args:
        given: `TYPE=USD` each.
        discount: percent off a type's price on demand, where none is given; None leaves those out.

    Raises:
        UserError: one is no price of a type.
    """
    listed = {one.name: one.usd_per_hour for one in types}
    off = {one.name: one.usd_per_hour * (1 - discount / 100) for one in types} if discount is not None else {}
    prices: dict[str, float] = {}
    for text in given:
        name, usd = _spot_price(text)
        if prices.setdefault(name, usd) != usd:
            raise UserError.of(
                key="--spot-price",
                wrong=f"{name} has two prices",
                value=text,
                allowed="one of each type",
                fix="leave one out",
            )
        if usd >= listed.get(name, math.inf):
            raise UserError.of(
                key="--spot-price",
                wrong=f"{name} costs no more than that on demand, and is not taken back",
                value=text,
                allowed=f"less than {listed[name]:.2f}",
                fix="leave it out",
            )
    return {**off, **prices}


def _spot_price(text: str) -> tuple[str, float]:
    name, _, usd = text.partition("=")
    if name not in INSTANCE_TYPES:
        raise UserError(unknown_type_problem("--spot-price", name))
    if not re.fullmatch(r"\d{1,4}(\.\d{1,6})?", usd) or not float(usd):
        raise UserError.of(
            key="--spot-price",
            wrong="is no price above 0",
            value=text,
            allowed="TYPE=USD, US dollars an hour",
            fix=f"`aws ec2 describe-spot-price-history --instance-types {name}` tells it; {name}=1.23",
        )
    return name, float(usd)


def seconds(text: str | None, key: str) -> float | None:
    """Of `2s` or `50ms`; a bare number would be a second for one reader and a millisecond for another.

    Raises:
        UserError: it is no time.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|)", text.strip())
    if not found or not found[2] or not float(found[1]):
        bare = found is not None and not found[2] and float(found[1]) > 0
        raise UserError.of(
            key=key,
            wrong="is a time without a unit" if bare else "is no time above 0",
            value=text,
            allowed="a number of s or ms",
            fix=f"{text.strip()}ms or {text.strip()}s" if bare else "such as 2s, 0.5s or 50ms",
        )
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


# -- JSON --------------------------------------------------------------------------------------------------------------


def _gib(amount: int) -> float:
    return round(amount / GIB, 4)


def reasons(verdict: Verdict) -> list[str]:
    """Each problem on one line."""
    return [
        f"{problem.key}: {problem.wrong}; is {problem.value}; allowed: {problem.allowed}; {problem.fix}"
        for problem in verdict.problems
    ]


def sizing_json(sizing: Sizing, verdict: Verdict) -> dict[str, Any]:
    """One sizing as an object; all memory is of one GPU."""
    parts = sizing.parts
    return {
        "fits": verdict.fits,
        "reasons": reasons(verdict),
        "warnings": list(verdict.warnings),
        "vllm": sizing.release.version,
        "tensor_parallel_size": sizing.serving.tensor_parallel_size,
        "pipeline_parallel_size": sizing.serving.pipeline_parallel_size,
        "weights_gib_per_gpu": _gib(parts.weights),
        "adapters_gib_per_gpu": _gib(parts.adapters),
        "kv_cache_gib_per_gpu": _gib(max(0, parts.kv_cache)),
        "kv_cache_tokens": sizing.kv_cache_tokens,
        "max_concurrency": round(sizing.max_concurrency, 2) if sizing.layout else None,
        "overhead_gib_per_gpu": _gib(parts.overhead),
        "overhead_parts_gib": {
            "activation": _gib(parts.activation),
            "cuda_graphs": _gib(parts.graphs),
            "runner_buffers": _gib(parts.buffers),
            "driver": _gib(parts.driver),
        },
        "budget_gib_per_gpu": _gib(parts.budget),
        "beyond_budget_gib_per_gpu": _gib(parts.context + parts.outside),
        "gpu_memory_utilization": sizing.utilization,
        "highest_gpu_memory_utilization": sizing.safe_utilization,
        "max_model_len": sizing.batch.length,
        "longest_max_model_len": sizing.longest_request,
        "max_num_seqs": sizing.batch.requests,
        "max_num_batched_tokens": sizing.batch.tokens,
    }


def candidate_json(row: Candidate) -> dict[str, Any]:
    """One row of the table as an object."""
    return {
        "instance_type": row.instance_type.name,
        "gpu": row.instance_type.gpu,
        "replicas_per_host": row.replicas,
        "usd_per_hour": row.instance_type.usd_per_hour,
        "network_gbps": row.instance_type.network_gbps,
        "efa": row.instance_type.efa,
        "peer_to_peer": row.instance_type.peer_to_peer,
        **sizing_json(row.sizing, row.verdict),
        "estimates": _estimates(row) if row.sizing.shape.makes_tokens else None,
    }


def _estimates(row: Candidate) -> dict[str, Any]:
    return {
        **asdict(row.throughput),
        "tokens_per_second_each": row.throughput.tokens_per_second_each,
        "tokens_per_second_per_host": round(row.tokens_per_second),
        "usd_per_million_tokens": round(row.usd_per_million_tokens, 4),
    }


def prices_source(region: str) -> str:
    """Where the prices come from, and for which region they hold."""
    listed = ON_DEMAND[region]
    unknown = len({one.name for one in OFFERED} - set(listed.usd))
    left_out = f"; {unknown} types have none there, and are left out" if unknown else ""
    return f"list prices of {region}, on demand, read on {listed.read_on}{left_out}"
