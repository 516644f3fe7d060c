"""What the settings of a stack mean for memory: refused, tight, or planned with figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tandem.catalog.instances import GPUS_PER_REPLICA, INSTANCE_TYPES, OFFERED, InstanceType
from tandem.catalog.models import MODELS
from tandem.errors import Problem, UserError
from tandem.sizing.choice import candidate, cheapest
from tandem.sizing.config_file import load_shape
from tandem.sizing.drafts import Drafted
from tandem.sizing.fits import verdict
from tandem.sizing.gpus import gpu_of
from tandem.sizing.known import catalog_shape
from tandem.sizing.memory import Sizing, size
from tandem.sizing.reading import with_quantization
from tandem.sizing.serving import Serving, Speculation
from tandem.sizing.shapes import ModelShape
from tandem.sizing.steps import step_tokens
from tandem.sizing.task import not_in_stages, not_its_task, pooled
from tandem.sizing.throughput import fastest_token_seconds, guesses_pay
from tandem.tasks import Task

UNSIZED_UTILIZATION = 0.88
"""For a model whose shape is not known: vLLM's 0.92 less what a server took beside its budget on 24 GB cards."""

NOT_COUNTED = (
    "by which inference.speculation guesses, is not counted: it is not in the catalog of models. "
    "inference.speculation.modelConfigFile names its config.json"
)

SETTINGS = {
    "--max-model-len": "inference.maxModelLen",
    "--max-num-seqs": "inference.maxNumSeqs",
    "--max-num-batched-tokens": "inference.maxNumBatchedTokens",
    "--gpu-memory-utilization": "inference.gpuMemoryUtilization",
    "--kv-cache-dtype": "inference.kvCacheDtype",
    "--quantization": "inference.quantization",
    "--tensor-parallel-size": "inference.tensorParallelSize",
    "--pipeline-parallel-size": "inference.model",
    "--enable-lora": "inference.adapters",
    "--max-loras": "inference.adaptersAtOnce",
    "--speculative-config": "inference.speculation.model",
    "model": "inference.model",
    "dtype": "fleet.instanceTypes",
    "compute capability": "fleet.instanceTypes",
}
"""The setting that stands for each of vLLM's flags."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What sizing says about a stack.

    Attributes:
        sized: False when the model's shape is not known here; then nothing below is more than a default.
        problems: what makes the stack impossible; empty when it fits.
        warnings: what is tight or was not checked, one sentence each.
        gpu_memory_utilization: the value to give vLLM: the setting, or the highest that leaves room for what a running
            server takes outside its budget on the smallest GPU of the fleet.
        max_num_batched_tokens: tokens of a step to tell vLLM: the setting, or fewer than its own where a step of those
            would hold up answers; None leaves it to vLLM.
        max_model_len: the longest request in tokens that is served, None when not sized.
        kv_cache_tokens: KV-cache tokens of one replica on the smallest GPU of the fleet, None when not sized.
        max_concurrency: requests of max_model_len tokens that fit at once, None when not sized.
        fastest_token_seconds: what a token takes at least, for a single request on the slowest GPU of the fleet; None
            when not sized.
        guesses_pay: share of guessed tokens that must be right at least, on the GPU of the fleet where that is most,
            by the number of requests in a step; empty when nothing is guessed or not sized.
        reads_text_alone: it takes no images, sound or video; False when not sized.
    """

    sized: bool
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    gpu_memory_utilization: float
    max_model_len: int | None
    kv_cache_tokens: int | None
    max_concurrency: float | None
    max_num_batched_tokens: int | None = None
    fastest_token_seconds: float | None = None
    guesses_pay: Mapping[int, float] = field(default_factory=dict)
    reads_text_alone: bool = False

    @property
    def guesses_pay_from(self) -> float:
        """The most that they need, at whatever number of requests; 0 when nothing is guessed or not sized."""
        return max(self.guesses_pay.values(), default=0.0)

    @property
    def fits(self) -> bool:
        """Nothing makes the stack impossible."""
        return not self.problems


def plan(
    *,
    model: str,
    instance_types: Sequence[str],
    tensor_parallel_size: int = GPUS_PER_REPLICA,
    pipeline_parallel_size: int = 1,
    quantization: str | None = None,
    kv_cache_dtype: str = "auto",
    max_model_len: int | None = None,
    max_num_seqs: int | None = None,
    max_num_batched_tokens: int | None = None,
    gpu_memory_utilization: float | None = None,
    enforce_eager: bool = False,
    speculation: Speculation | None = None,
    drafted: Drafted | None = None,
    adapter_slots: int = 0,
    adapter_rank: int = 0,
    hosts: int = 1,
    config_path: Path | None = None,
    task: Task = "generate",
    overridden: bool = False,
) -> Plan:
    """Sizes one replica on the smallest GPU of the fleet. Pure but for reading config_path; needs no network.

    Args:
        model: id in the catalog of models, such as `Qwen/Qwen3-8B`; another one is not sized, with a warning.
        instance_types: names in the catalog of instance types; every one of them must fit. Names that the catalog lacks
            are left to the settings' own check.
        speculation: what proposes tokens.
        drafted: the draft or head by which it does.
        adapter_slots, adapter_rank: LoRA adapters of one batch, and the largest of their ranks.
        hosts: of one replica; more than one is refused, so a platform that keeps them together says one.
        config_path: the model's `config.json`, for a model that the catalog lacks.
        task: as in `inference.task`.
        overridden: vLLM is told other values than the config.json has, so the class may be another one.
        others: as vLLM's flags of the same name; None means vLLM's own default on that GPU, and for the utilization the
            highest that stays on the card.
    """
    types = [INSTANCE_TYPES[name] for name in instance_types if name in INSTANCE_TYPES]
    serving = Serving(
        tensor_parallel_size=tensor_parallel_size,
        pipeline_parallel_size=pipeline_parallel_size,
        gpu_memory_utilization=gpu_memory_utilization,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=max_num_batched_tokens,
        kv_cache_dtype=kv_cache_dtype,
        enforce_eager=enforce_eager,
        speculation=speculation,
        adapter_slots=adapter_slots,
        adapter_rank=adapter_rank,
        hosts=hosts,
    )
    try:
        shape = load_shape(config_path) if config_path else catalog_shape(model) if model in MODELS else None
        if shape is None or not types:
            return _not_sized(model, serving)
        shape = with_quantization(shape, quantization)
        draft = drafted and drafted.read()
        if draft and speculation:
            serving = replace(serving, speculation=replace(speculation, draft=draft))
        planned = _plan(pooled(shape) if task != "generate" else shape, serving, types)
        unknown = [f"{drafted.model}, {NOT_COUNTED}"] if drafted and not draft else []
        of_task = not_its_task("inference.task", shape, task, overridden)
        return replace(
            planned,
            problems=(*planned.problems, *of_task, *not_in_stages(shape, pipeline_parallel_size)),
            warnings=(*planned.warnings, *unknown),
            guesses_pay={} if unknown else planned.guesses_pay,
            reads_text_alone=shape.vision is None and shape.architecture.endswith("ForCausalLM"),
        )
    except UserError as error:
        return replace(_not_sized(model, serving), problems=tuple(map(_as_setting, error.problems)), warnings=())


def _plan(shape: ModelShape, serving: Serving, types: Sequence[InstanceType]) -> Plan:
    serving = replace(serving, max_num_batched_tokens=step_tokens(shape, serving, types))
    if serving.gpu_memory_utilization is None:
        safe = min(size(shape, serving, gpu_of(one)[0]).safe_utilization for one in types)
        serving = replace(serving, gpu_memory_utilization=safe)
    sizings = {one.name: size(shape, serving, gpu_of(one)[0]) for one in types}
    verdicts = {name: verdict(sizing) for name, sizing in sizings.items()}
    problems = [
        _as_setting(_with_choice(problem, name, sizings[name]))
        for name, found in verdicts.items()
        for problem in found.problems
    ]
    warnings = [f"{name}: {_renamed(text)}" for name, found in verdicts.items() for text in found.warnings]
    gpus = {one.name: gpu_of(one)[1] for one in types}
    least = min(sizings.values(), key=lambda sizing: sizing.kv_cache_tokens)
    return Plan(
        sized=True,
        problems=tuple(dict.fromkeys(problems)),
        warnings=tuple(dict.fromkeys(warnings)),
        gpu_memory_utilization=least.utilization,
        max_num_batched_tokens=serving.max_num_batched_tokens,
        max_model_len=least.batch.length,
        kv_cache_tokens=least.kv_cache_tokens,
        max_concurrency=round(least.max_concurrency, 2),
        fastest_token_seconds=max(fastest_token_seconds(sizings[name], gpu) for name, gpu in gpus.items()),
        guesses_pay=_on_all([guesses_pay(sizings[name], gpu) for name, gpu in gpus.items()]),
    )


def _on_all(shares: Sequence[Mapping[int, float]]) -> dict[int, float]:
    numbers = sorted({number for one in shares for number in one})
    return {number: round(max(one[number] for one in shares if number in one), 3) for number in numbers}


def _with_choice(problem: Problem, name: str, sizing: Sizing) -> Problem:
    """Adds which instance type it is, and the cheapest one that works with the same settings."""
    wrong = f"{name}: {problem.wrong}"
    if problem.key not in ("model", "--max-model-len", "dtype", "compute capability"):
        return replace(problem, wrong=wrong)
    serving = replace(sizing.serving, gpu_memory_utilization=None, hosts=1)
    rows = (candidate(sizing.shape, serving, one) for one in OFFERED if one.gpus >= _gpus(serving))
    if (row := cheapest(rows)) is None:
        return replace(problem, wrong=wrong)
    price = f"${row.instance_type.usd_per_hour:.2f} an hour, {row.sizing.kv_cache_tokens:,} KV-cache tokens"
    works = f"the cheapest type that works is {row.instance_type.name} ({price})"
    return replace(problem, wrong=wrong, fix=f"{problem.fix}; {works}")


def _gpus(serving: Serving) -> int:
    return serving.tensor_parallel_size * serving.pipeline_parallel_size


def _not_sized(model: str, serving: Serving) -> Plan:
    return Plan(
        sized=False,
        problems=(),
        warnings=(
            f"{model} is not in the catalog of models, so it was not sized: only a start tells whether it fits. "
            "inference.modelConfigFile names its config.json, or `tandem size --config PATH` sizes it",
        ),
        gpu_memory_utilization=serving.gpu_memory_utilization or UNSIZED_UTILIZATION,
        max_num_batched_tokens=serving.max_num_batched_tokens,
        max_model_len=serving.max_model_len,
        kv_cache_tokens=None,
        max_concurrency=None,
    )


def _as_setting(problem: Problem) -> Problem:
    """The problem in the words of the settings."""
    return replace(
        problem,
        key=SETTINGS.get(problem.key, problem.key),
        wrong=_renamed(problem.wrong),
        allowed=_renamed(problem.allowed),
        fix=_renamed(problem.fix),
    )


def _renamed(text: str) -> str:
    for flag, setting in SETTINGS.items():
        if flag.startswith("--"):
            text = text.replace(flag, setting)
    return text
