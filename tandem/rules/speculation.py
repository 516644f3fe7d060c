"""What vLLM refuses of speculative decoding, beside it or without it (`vllm/config/speculative.py`, `vllm.py`)."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.models import MODELS
from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import removed, set_to
from tandem.settings.inference import InferenceSettings
from tandem.settings.schema import Settings

TAKEN_FOR = {
    "eagle-": "an EAGLE head",
    "eagle3": "an EAGLE-3 head",
    "dflash": "a DFlash head",
    "dspark": "a DSpark head",
}
"""What vLLM makes of a draft by a part of its name, whatever method it is told."""


def guesses_can_be_made(settings: Settings) -> Iterator[Problem]:
    """The pinned release would not start."""
    for prefix, inference, _ in models(settings):
        yield from _spans(f"{prefix}inference.speculation", inference)
        yield from _of_its_method(f"{prefix}inference.speculation", inference)
        yield from _drafts(f"{prefix}inference.", inference)
        for number, argument in enumerate(inference.extra_arguments):
            yield from _arguments(f"{prefix}inference.", number, argument, inference)


def _spans(key: str, inference: InferenceSettings) -> Iterator[Problem]:
    said = inference.speculation
    if said and (said.prompt_lookup_min or 0) > (most := said.prompt_lookup_max or said.prompt_lookup_min or 0):
        yield Problem(
            key=f"{key}.promptLookupMin",
            wrong="is more than promptLookupMax",
            value=said.prompt_lookup_min,
            allowed=f"1 to {most}",
            fix=f"{set_to(f'{key}.promptLookupMin', most)}, or raise the other",
        )
    batch = inference.max_num_seqs
    if said and "up_to_requests" in said.model_fields_set and batch and said.up_to_requests > batch:
        yield Problem(
            key=f"{key}.upToRequests",
            wrong="is more than a batch, so that guesses never stop",
            value=said.up_to_requests,
            allowed=f"1 to {batch}, which is {key.removesuffix('speculation')}maxNumSeqs",
            fix=f"{set_to(f'{key}.upToRequests', batch)}, or {removed(f'{key}.upToRequests')}",
        )


def _arguments(at: str, number: int, argument: str, inference: InferenceSettings) -> Iterator[Problem]:
    key, (name, _, value) = f"{at}extraArguments[{number}]", argument.partition("=")
    if inference.speculation and inference.speculation.method == "ngram" and name == "--async-scheduling":
        yield Problem(
            key=key,
            wrong="vLLM schedules no step before it knows what n-grams guess, and would refuse to start",
            value=argument,
            allowed=f"without {at}speculation",
            fix=f"{removed(key)}, or {removed(f'{at}speculation')}",
        )
    if not inference.speculation and name == "--per-request-spec-decode-metrics" and value != "none":
        yield Problem(
            key=key,
            wrong="nothing is guessed, and vLLM would refuse to start",
            value=argument,
            allowed=f"together with {at}speculation",
            fix=f"{set_to(f'{at}speculation.tokens', 4)}, or {removed(key)}",
        )


def _of_its_method(key: str, inference: InferenceSettings) -> Iterator[Problem]:
    """What one method has and another has not."""
    if (said := inference.speculation) is None:
        return
    if said.method != "ngram" and said.model is None:
        yield Problem(
            key=f"{key}.model",
            wrong=f"is unset, and {said.method} guesses by a model or a head of its own",
            allowed="a repository on the hub, organisation/name",
            fix=f"{set_to(f'{key}.model', 'ORGANISATION/NAME')}, or {set_to(f'{key}.method', 'ngram')}",
        )
    others = {"model": said.model, "modelConfigFile": said.model_config_file}
    if said.method != "ngram":
        others = {"promptLookupMax": said.prompt_lookup_max, "promptLookupMin": said.prompt_lookup_min}
    for name, value in others.items():
        if value is not None:
            yield Problem(
                key=f"{key}.{name}",
                wrong=f"does nothing with {key}.method: {said.method}",
                value=value,
                allowed="with draft, eagle or eagle3" if said.method == "ngram" else "with ngram",
                fix=f"{removed(f'{key}.{name}')}, or change {key}.method",
            )


def _drafts(at: str, inference: InferenceSettings) -> Iterator[Problem]:
    """What is no draft or head, or could not be one here."""
    said, key = inference.speculation, f"{at}speculation.model"
    if said is None or said.model is None or said.method == "ngram":
        return
    adapters = [adapter.model for adapter in inference.adapters.values()]
    part = next((part for part in TAKEN_FOR if said.method == "draft" and part in said.model.lower()), None)
    wrongs = {
        "is the model itself: guesses would take as long as answers": said.model == inference.model,
        f"is an adapter of {at}adapters": said.model in adapters,
        "is a whole model, no head of one": said.method != "draft" and said.model in MODELS,
        f"vLLM takes it for {TAKEN_FOR.get(part or '')}, for {part} is in its name": part is not None,
    }
    for wrong in (wrong for wrong, holds in wrongs.items() if holds):
        yield Problem(
            key=key,
            wrong=wrong,
            value=said.model,
            allowed="a smaller model with the same tokenizer" if said.method == "draft" else "a head for this model",
            fix=f"{set_to(key, 'ORGANISATION/NAME')}, or {removed(f'{at}speculation')}",
        )
    if inference.weights == "s3":
        yield Problem(
            key=f"{at}weights",
            wrong=f"streams the model from S3, and {key} comes from the hub",
            value="s3",
            allowed="nvme or efs with it",
            fix=f"{set_to(f'{at}weights', 'nvme')} and {removed(f'{at}weightsS3Uri')}",
        )
    if inference.is_pipeline:
        yield Problem(
            key=f"{at}speculation.method",
            wrong="a draft or head beside a model that spans hosts is not sized, and was never started",
            value=said.method,
            allowed=f"ngram, or {at}pipelineParallelSize: 1",
            fix=set_to(f"{at}speculation.method", "ngram"),
        )
