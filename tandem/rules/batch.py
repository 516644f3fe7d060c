"""What must hold between batch, queue and what looks at them."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.instances import INSTANCE_TYPES
from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import set_to
from tandem.settings.inference import InferenceSettings
from tandem.settings.schema import Settings
from tandem.sizing.gpus import smallest_step


def _smallest_step(settings: Settings, inference: InferenceSettings) -> tuple[int, int]:
    """Requests and tokens of a step on the fleet's smallest GPU; vLLM chooses there what is unset."""
    types = [INSTANCE_TYPES[name] for name in settings.fleet.instance_types if name in INSTANCE_TYPES]
    limits = inference.max_num_seqs, inference.max_num_batched_tokens
    return smallest_step(types, *limits) if types else (0, 0)


def batch_fits_into_a_step(settings: Settings) -> Iterator[Problem]:
    """vLLM refuses a step of fewer tokens than its batch has requests: each takes a token a step."""
    for prefix, inference, _ in models(settings):
        sequences, tokens = _smallest_step(settings, inference)
        if tokens >= sequences:
            continue
        if inference.max_num_batched_tokens:
            yield Problem(
                key=f"{prefix}inference.maxNumBatchedTokens",
                wrong=f"is smaller than inference.maxNumSeqs ({sequences}); each request takes a token a step",
                value=tokens,
                allowed=f"{sequences} to 131072",
                fix=f"{set_to(f'{prefix}inference.maxNumBatchedTokens', max(2048, sequences))}, or lower "
                "inference.maxNumSeqs",
            )
        else:
            yield Problem(
                key=f"{prefix}inference.maxNumSeqs",
                wrong=f"is more than the {tokens} tokens of a step that vLLM takes on the fleet's smallest GPU",
                value=sequences,
                allowed=f"1 to {tokens}, or more together with inference.maxNumBatchedTokens",
                fix=f"{set_to(f'{prefix}inference.maxNumBatchedTokens', sequences)}, or lower it",
            )


def queue_can_reach_the_autoscaler(settings: Settings) -> Iterator[Problem]:
    """What is refused neither waits nor runs, so a figure above the bound never brings a replica."""
    for prefix, inference, scaling in models(settings):
        if scaling.waiting_requests_per_replica >= inference.max_queued_requests:
            yield Problem(
                key=f"{prefix}inference.maxQueuedRequests",
                wrong=f"no replica would ever come for requests that wait: no more of them wait than "
                f"scaling.waitingRequestsPerReplica ({scaling.waiting_requests_per_replica}), the others are refused",
                value=inference.max_queued_requests,
                allowed=f"more than {scaling.waiting_requests_per_replica}",
                fix=f"{set_to(f'{prefix}inference.maxQueuedRequests', 2 * scaling.waiting_requests_per_replica)}, or "
                "lower the other",
            )
        batch, _ = _smallest_step(settings, inference)
        if scaling.running_requests_per_replica > batch > 0:
            yield Problem(
                key=f"{prefix}scaling.runningRequestsPerReplica",
                wrong=f"is more than a replica runs at once ({batch}, inference.maxNumSeqs)",
                value=scaling.running_requests_per_replica,
                allowed=f"1 to {batch}",
                fix=f"{set_to(f'{prefix}scaling.runningRequestsPerReplica', batch)}, or raise inference.maxNumSeqs",
            )
