"""The GPUs of instance types, and the batch that suits several of them: what rules and command lines ask of sizing."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from tandem.catalog.gpus import GPU_MODELS, GpuModel
from tandem.catalog.instances import InstanceType
from tandem.sizing.serving import Gpu, batch_limits


@cache
def gpu_of(instance_type: InstanceType) -> tuple[Gpu, GpuModel]:
    """The GPU of an instance type as torch sees it, and its rates."""
    model = GPU_MODELS[instance_type.gpu, instance_type.gpu_mib]
    gpu = Gpu(
        mib=model.torch_gib * 1024,
        compute_capability=instance_type.compute_capability,
        name=instance_type.gpu,
        l2_mib=model.l2_mib,
        multiprocessors=model.multiprocessors,
    )
    return gpu, model


def smallest_step(
    instance_types: Iterable[InstanceType], max_num_seqs: int | None, max_num_batched_tokens: int | None
) -> tuple[int, int]:
    """Requests and tokens of a step that every one of these types serves: as set, else the least of vLLM's own."""
    return min(batch_limits(gpu_of(one)[0], max_num_seqs, max_num_batched_tokens) for one in instance_types)


def batch_size(
    instance_types: Iterable[InstanceType], max_num_seqs: int | None, max_num_batched_tokens: int | None
) -> int:
    """`--max-num-seqs` of that step."""
    return smallest_step(instance_types, max_num_seqs, max_num_batched_tokens)[0]
