"""Whether vLLM serves this model this way on this GPU at all: arithmetic, divisibility, limits. No memory here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tandem.errors import Problem
from tandem.sizing.adapters import LARGEST_VOCABULARY, takers
from tandem.sizing.checkpoint import scale
from tandem.sizing.drafts import misfits
from tandem.sizing.memory import Sizing
from tandem.sizing.quantization import Scheme
from tandem.sizing.serving import Gpu, Serving
from tandem.sizing.shapes import (
    Attention,
    DenseMlp,
    ExpertMlp,
    GatedDeltaNet,
    LatentAttention,
    Mamba2,
    ModelShape,
)
from tandem.sizing.weights import HOPPER

TENSOR_PARALLEL_SIZES = (1, 2, 4, 8)
TENSOR_PARALLEL_SIZE = "--tensor-parallel-size"
KV_CACHE_DTYPES = ("auto", "fp8", "fp8_e4m3", "fp8_e5m2")

OLDEST_CAPABILITY = 7.5
BFLOAT16_CAPABILITY = 8.0
FP8_CAPABILITY = 8.9
FP4_CAPABILITY = 10.0
"""Compute capabilities from which the units exist; below, quantized weights are widened before each product."""

_NEEDS_BFLOAT16 = (
    "Gemma2ForCausalLM",
    "Gemma3ForCausalLM",
    "Gemma3ForConditionalGeneration",
    "Glm4ForCausalLM",
)
"""Model classes that vLLM refuses to serve in float16 (`_FLOAT16_NOT_SUPPORTED_MODELS` in `vllm/config/model.py`)."""


@dataclass(frozen=True)
class Support:
    """What stops a model on a GPU, and what may surprise."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]


def support(sizing: Sizing) -> Support:
    """Checks everything but memory."""
    shape, serving, gpu = sizing.shape, sizing.serving, sizing.gpu
    draft = serving.speculation and serving.speculation.draft
    problems = [
        *_parallel(shape, serving),
        *_hosts(serving),
        *_arithmetic(shape, serving, gpu),
        *_limits(sizing),
        *_adapters(shape, serving),
        *(misfits(draft, shape, sizing.batch.length) if draft else ()),
    ]
    return Support(tuple(problems), tuple(_surprises(shape, serving, gpu)))


def _gpu_name(gpu: Gpu) -> str:
    return gpu.name or f"a GPU of compute capability {gpu.compute_capability}"


def _divided(shape: ModelShape) -> Iterator[tuple[str, int]]:
    """What tensor parallelism must divide, with the name that config.json gives it."""
    for layer in shape.distinct:
        match layer.mixer:
            case Attention() | LatentAttention():
                yield "num_attention_heads", layer.mixer.heads
            case GatedDeltaNet():
                yield "linear_num_key_heads", layer.mixer.key_heads
                yield "linear_num_value_heads", layer.mixer.value_heads
            case Mamba2():
                yield "mamba heads", layer.mixer.heads
                if layer.mixer.groups > 1:
                    yield "n_groups", layer.mixer.groups
            case None:
                pass
        match layer.mlp:
            case DenseMlp():
                yield "intermediate_size", layer.mlp.intermediate
            case ExpertMlp():
                yield "moe_intermediate_size", layer.mlp.intermediate
                if layer.mlp.shared_intermediate:
                    yield "shared_expert_intermediate_size", layer.mlp.shared_intermediate
            case None:
                pass


def _parallel(shape: ModelShape, serving: Serving) -> Iterator[Problem]:
    tp, pp = serving.tensor_parallel_size, serving.pipeline_parallel_size
    possible = [size for size in TENSOR_PARALLEL_SIZES if not _undivided(shape, size)]
    allowed = ", ".join(map(str, possible))
    for name, count in _undivided(shape, tp):
        yield Problem(
            key=TENSOR_PARALLEL_SIZE,
            wrong=f"does not divide {name}, which is {count}",
            value=tp,
            allowed=allowed,
            fix=f"use --tensor-parallel-size {max(size for size in possible if size <= tp)}",
        )
    for wrong in dict.fromkeys(_broken_groups(shape, tp)):
        yield Problem(
            key=TENSOR_PARALLEL_SIZE,
            wrong=wrong,
            value=tp,
            allowed="a size that leaves whole groups on each GPU",
            fix="use a smaller --tensor-parallel-size, or the checkpoint that is not quantized",
        )
    if pp > len(shape.layers):
        yield Problem(
            key="--pipeline-parallel-size",
            wrong=f"is more than the model's {len(shape.layers)} layers",
            value=pp,
            allowed=f"1 to {len(shape.layers)}",
            fix="use --pipeline-parallel-size 1",
        )


def _undivided(shape: ModelShape, tp: int) -> list[tuple[str, int]]:
    found = [(name, count) for name, count in dict.fromkeys(_divided(shape)) if count % tp]
    for mixer in shape.attentions:
        if mixer.kv_heads % tp and tp % mixer.kv_heads:
            found.append(("num_key_value_heads", mixer.kv_heads))
    return found


def _broken_groups(shape: ModelShape, tp: int) -> Iterator[str]:
    """Scales are for groups or blocks of weights; splitting must not cut through one."""
    quantization = shape.quantization
    if quantization is None or tp == 1:
        return
    for index in (alike[0] for alike in shape.alike):
        layer = shape.layers[index]
        width, module = _down_projection(layer.mlp)
        scheme = quantization.scheme(f"layers.{index}.{module}") if width else None
        unit = _unit(scheme)
        if unit and width % tp == 0 and (width // tp) % unit:
            yield f"cuts through groups of {unit} weights: a GPU would hold {width // tp} inputs of the down projection"


def _down_projection(mlp: DenseMlp | ExpertMlp | None) -> tuple[int, str]:
    match mlp:
        case DenseMlp():
            return mlp.intermediate, "mlp.down_proj"
        case ExpertMlp():
            return mlp.intermediate, "mlp.experts.0.down_proj"
        case None:
            return 0, ""


def _unit(scheme: Scheme | None) -> int:
    """Inputs that share a scale; 0 where splitting cannot hurt (MXFP4 experts are padded)."""
    if scheme is None or (scheme.kind == "fp4" and scheme.group == 32):
        return 0
    return scheme.block[1] if scheme.block else max(0, scheme.group)


def _hosts(serving: Serving) -> Iterator[Problem]:
    if serving.hosts == 1:
        return
    tp, pp = serving.tensor_parallel_size, serving.pipeline_parallel_size
    yield Problem(
        key="--pipeline-parallel-size" if pp > 1 else "--tensor-parallel-size",
        wrong="a replica over several hosts is not served by platform ec2: an Auto Scaling group starts and "
        "replaces hosts one by one, while Ray and vLLM's own --nnodes need all of them at fixed addresses at once",
        value=f"{tp * pp} GPUs on {serving.hosts} hosts",
        allowed="all GPUs of a replica on one host",
        fix=f"{f'set it to {tp // serving.hosts}, ' if pp == 1 else ''}use an instance type with more or larger GPUs, "
        "a quantized checkpoint, or platform eks, which keeps the pods of one replica together",
    )


def _arithmetic(shape: ModelShape, serving: Serving, gpu: Gpu) -> Iterator[Problem]:
    capability = gpu.compute_capability
    if capability < OLDEST_CAPABILITY:
        yield Problem(
            key="compute capability",
            wrong="is older than the pinned vLLM serves",
            value=capability,
            allowed=f"{OLDEST_CAPABILITY} or more",
            fix="use a GPU of the Turing generation or later",
        )
    elif capability < BFLOAT16_CAPABILITY and shape.architecture in _NEEDS_BFLOAT16:
        yield Problem(
            key="dtype",
            wrong=f"{_gpu_name(gpu)} has no bfloat16, and this model is not numerically sound in float16",
            value=shape.dtype,
            allowed=f"bfloat16 from compute capability {BFLOAT16_CAPABILITY}",
            fix="use a GPU of the Ampere generation or later (A10G, L4, L40S, A100 and newer)",
        )
    method, kinds = shape.quantization.method if shape.quantization else None, _schemes(shape)
    # `get_min_capability` of vLLM's ModelOptFp8Config and ModelOptMxFp8Config; other FP8 runs from Turing on.
    fp8 = kinds == {"fp8"} and method == "modelopt"
    if capability < BFLOAT16_CAPABILITY and (fp8 or "fp4" in kinds):
        yield Problem(
            key="--quantization",
            wrong=f"{_gpu_name(gpu)} cannot run {'ModelOpt FP8' if fp8 else 'FP4'} checkpoints",
            value=method,
            allowed=f"compute capability {BFLOAT16_CAPABILITY} or more",
            fix="use a GPU of the Ampere generation or later",
        )
    if serving.kv_cache_dtype not in KV_CACHE_DTYPES:
        yield Problem(
            key="--kv-cache-dtype",
            wrong="there is no rule for the size of this kind of KV cache",
            value=serving.kv_cache_dtype,
            allowed=", ".join(KV_CACHE_DTYPES),
            fix="use auto or fp8",
        )
    elif serving.kv_cache_dtype != "auto" and capability < BFLOAT16_CAPABILITY:
        yield Problem(
            key="--kv-cache-dtype",
            wrong=f"{_gpu_name(gpu)} has no attention kernel for an FP8 KV cache",
            value=serving.kv_cache_dtype,
            allowed=f"fp8 from compute capability {BFLOAT16_CAPABILITY}",
            fix="use --kv-cache-dtype auto",
        )


def _schemes(shape: ModelShape) -> set[str]:
    return {scheme.kind for _, scheme in shape.quantization.rules} if shape.quantization else set()


def _limits(sizing: Sizing) -> Iterator[Problem]:
    shape, batch = sizing.shape, sizing.batch
    if batch.length > shape.max_positions:
        yield Problem(
            key="--max-model-len",
            wrong=f"is more than the {shape.max_positions} tokens that the model was made for, and vLLM refuses it",
            value=batch.length,
            allowed=f"1 to {shape.max_positions}",
            fix=f"set it to {shape.max_positions} or less",
        )
    if shape.is_encoder and batch.tokens < batch.length:
        yield Problem(
            key="--max-num-batched-tokens",
            wrong=f"is less than a request of {batch.length} tokens, which an encoder reads in one step, and vLLM "
            "refuses to start",
            value=batch.tokens,
            allowed=f"{batch.length} or more",
            fix="leave it unset, or lower --max-model-len",
        )
    if batch.tokens < batch.requests:
        yield Problem(
            key="--max-num-batched-tokens",
            wrong=f"is less than --max-num-seqs, which is {batch.requests}, and vLLM refuses to start",
            value=batch.tokens,
            allowed=f"{batch.requests} or more",
            fix=f"set it to {max(2048, batch.requests)}, or lower --max-num-seqs",
        )


def _adapters(shape: ModelShape, serving: Serving) -> Iterator[Problem]:
    if not serving.adapter_slots:
        return
    key, fix = "--enable-lora", "serve them with another model, or merge one into a checkpoint of its own"
    known = takers()
    if shape.architecture not in known:
        yield Problem(
            key=key,
            wrong="the pinned vLLM gives this model class no LoRA adapters, and would refuse to start",
            value=shape.architecture,
            allowed=", ".join(sorted(known)),
            fix=fix,
        )
    elif known[shape.architecture][0] and shape.vocabulary > LARGEST_VOCABULARY:
        yield Problem(
            key=key,
            wrong="the vocabulary is larger than the head's adapters may be",
            value=shape.vocabulary,
            allowed=f"up to {LARGEST_VOCABULARY}",
            fix=fix,
        )


def _surprises(shape: ModelShape, serving: Serving, gpu: Gpu) -> Iterator[str]:
    capability, name = gpu.compute_capability, _gpu_name(gpu)
    kinds = _schemes(shape)
    if shape.dtype == "bfloat16" and OLDEST_CAPABILITY <= capability < BFLOAT16_CAPABILITY:
        yield f"{name} has no bfloat16: vLLM serves the model in float16, which some models do not tolerate"
    if "fp8" in kinds and capability < FP8_CAPABILITY:
        yield f"{name} has no FP8 units: the weights take half the memory, but the arithmetic is that of bf16"
    if "fp4" in kinds and capability < FP4_CAPABILITY:
        yield f"{name} has no FP4 units: the weights take a quarter of the memory, but the arithmetic is that of bf16"
    if serving.kv_cache_dtype != "auto" and capability < FP8_CAPABILITY:
        yield f"an FP8 KV cache on {name} needs FlashInfer, and is slower than on cards with FP8 units"
    if capability >= 12 and serving.tensor_parallel_size > 1:
        yield (
            f"{name} has no NVLink: a hang with tensor parallelism 2 was reported (vllm issue 51513); if it happens, "
            "set --disable-custom-all-reduce and NCCL_P2P_DISABLE=1"
        )
    if serving.adapter_slots and shape.is_mixture_of_experts and shape.quantization:
        yield "whether the kernel of quantized experts takes LoRA adapters, only a start tells"
    if (factor := scale(shape, capability == HOPPER)) != 1:
        yield (
            f"the checkpoint's files have {abs(factor - 1):.0%} {'more' if factor > 1 else 'less'} to load than its "
            "config.json tells, and weights are scaled to them: which GPU gets what of the difference is not known"
        )
    if shape.is_encoder:
        yield "an encoder keeps no KV cache, and vLLM bounds nothing that it takes: on an H200 1.5 GiB beside weights"
    if shape.vision:
        yield (
            "the image encoder's own peak is not in the figures: leave 1 to 4 GiB, or serve text only with "
            "--language-model-only"
        )
    if any(mixer.kv_heads < serving.tensor_parallel_size for mixer in shape.attentions):
        yield (
            f"the model has fewer key-value heads than {serving.tensor_parallel_size} GPUs, so each GPU keeps a copy: "
            "more tensor parallelism adds no KV-cache tokens"
        )
