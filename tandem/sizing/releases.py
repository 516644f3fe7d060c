"""What differs between releases of vLLM in how memory is counted. Two are known, both measured on H200.

0.25.1 takes out of its budget: weights, the peak of a profiling pass, and what the driver and NCCL grow by. Buffers of
its new model runner and CUDA graphs come on top of the budget. 0.32.0 takes all of them out of the budget, so the same
`--gpu-memory-utilization` leaves fewer KV-cache tokens and a running server stays nearer to what it was given.
Sources: `vllm/v1/worker/gpu_worker.py` and `vllm/utils/mem_utils.py` of both, and the rows in
`tests/sizing/measured.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.errors import UserError
from tandem.sizing.shapes import ModelShape

_NEW_RUNNER_EXPERTS = ("DeepseekV2ForCausalLM", "Qwen2MoeForCausalLM", "GraniteMoeForCausalLM")
"""In 0.25 the new model runner serves of all mixtures of experts only these (DEFAULT_V2_MODEL_RUNNER_ARCHITECTURES)."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release of vLLM.

    Attributes:
        counts_everything: buffers and an estimate of CUDA graphs are taken out of the budget (0.32).
        old_runner_serves_experts: mixtures of experts and hybrid models run in the old model runner (0.25).
        compiles_split_embedding: torch.compile tries kernels on a copy of the embedding with tensor parallelism too.
        copies_logits: the sampler of the profiling pass makes a float32 copy of the logits.
        hybrid_states: states of fixed size that one request keeps: prefix caching needs a second one.
        mamba_checkpoints: further states of Mamba 2 layers, for prefixes that end inside a prompt.
        batches_in_flight: steps whose tokens a sliding window must still hold.
    """

    version: str
    counts_everything: bool
    old_runner_serves_experts: bool
    compiles_split_embedding: bool
    copies_logits: bool
    hybrid_states: int
    mamba_checkpoints: int
    batches_in_flight: int

    def uses_old_runner(self, shape: ModelShape) -> bool:
        """The model is served by the old model runner, whose sampler needs more memory."""
        if not self.old_runner_serves_experts:
            return False
        is_late = shape.is_mixture_of_experts and shape.architecture not in _NEW_RUNNER_EXPERTS
        return is_late or shape.is_hybrid


MEASURED = Release(
    version="0.25.1",
    counts_everything=False,
    old_runner_serves_experts=True,
    compiles_split_embedding=True,
    copies_logits=True,
    hybrid_states=1,
    mamba_checkpoints=0,
    batches_in_flight=1,
)
PINNED = Release(
    version="0.32.0",
    counts_everything=True,
    old_runner_serves_experts=False,
    compiles_split_embedding=False,
    copies_logits=False,
    hybrid_states=2,
    mamba_checkpoints=1,
    batches_in_flight=2,
)
RELEASES = {release.version: release for release in (MEASURED, PINNED)}


def release_of(version: str) -> Release:
    """The release of this version.

    Raises:
        UserError: for a version whose accounting is not known.
    """
    if version not in RELEASES:
        raise UserError.of(
            key="vLLM version",
            wrong="how this release counts memory is not known",
            value=version,
            allowed=", ".join(RELEASES),
            fix=f"use {PINNED.version}, which is what the images pin",
        )
    return RELEASES[version]
