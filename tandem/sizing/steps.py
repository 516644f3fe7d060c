"""Tokens of a step where the settings leave them open: vLLM's own, or fewer where such a step would hold up answers."""

from __future__ import annotations

from collections.abc import Iterable

from tandem.catalog.instances import InstanceType
from tandem.sizing.gpus import gpu_of
from tandem.sizing.memory import size
from tandem.sizing.serving import Serving
from tandem.sizing.shapes import ModelShape
from tandem.sizing.throughput import prompt_token_seconds

TOO_LONG = 0.2
"""Seconds of a step of prompts. An 8B model on two H200 takes 0.12 s for vLLM's own 8,192 tokens, keeps the default
objective of 0.1 s between tokens with them, and had later first tokens with fewer; a 70B takes 0.6 s."""
WANTED = 0.1
"""The default of `objectives.betweenTokensSeconds` on all but the slowest GPUs."""
LEAST = 1024
"""Fewer were not measured."""
PAYS = 2048
"""Fewer only where these would be TOO_LONG. On two H200 a step of 1,024 tokens of a 70B took 0.11 to 0.13 s, 0.08 of it
arithmetic: WANTED was not kept, and it made 5 % fewer tokens a second with 32 requests at once, a quarter with 256."""


def step_tokens(shape: ModelShape, serving: Serving, types: Iterable[InstanceType]) -> int | None:
    """`--max-num-batched-tokens`: a power of two that each of these types computes in WANTED seconds, PAYS or more in
    TOO_LONG; None for vLLM's own, as set, or where no step of it is TOO_LONG. Images may be larger than a step, so
    models that see keep it, too; and what makes no tokens has no answers that a step could hold up.
    """
    sizings = [(size(shape, serving, gpu), rates) for gpu, rates in map(gpu_of, types)]
    if serving.max_num_batched_tokens or shape.vision or not shape.makes_tokens or not sizings:
        return serving.max_num_batched_tokens
    own = min(sizing.batch.tokens for sizing, _ in sizings)
    each = max(prompt_token_seconds(sizing, rates) for sizing, rates in sizings)
    if own <= 2 * LEAST or own * each <= TOO_LONG:
        return None
    fitting = 1 << int(WANTED / each).bit_length() - 1 if each < WANTED else LEAST
    least = PAYS if PAYS * each <= TOO_LONG else LEAST
    return max(least, min(own, fitting), serving.max_num_seqs or 0)
