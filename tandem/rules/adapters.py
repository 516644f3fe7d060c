"""LoRA adapters: what a server would not start with, or clients could not ask for."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.catalog.models import MODELS
from tandem.errors import Problem
from tandem.rules.cluster import models
from tandem.settings.commands import place, removed, set_to
from tandem.settings.schema import Settings


def adapters_have_names_of_their_own(settings: Settings) -> Iterator[Problem]:
    """A request says by one name what it is for, and so does the list of a client's models."""
    taken = {inference.served_name: f"what {prefix}inference serves" for prefix, inference, _ in models(settings)}
    for prefix, inference, _ in models(settings):
        for name in inference.adapters:
            key = f"{prefix}inference.adapters"
            if name in taken:
                yield Problem(
                    key=f"{key}.{name}",
                    wrong=f"is the name of {taken[name]}",
                    value=name,
                    allowed="a name that nothing else of the stack has",
                    fix=f"{removed(key, name)}, and another name",
                )
            taken.setdefault(name, f"an adapter in {key}")


def adapters_are_adapters(settings: Settings) -> Iterator[Problem]:
    """A whole model beside the one that is served is a further model, or another stack."""
    for prefix, inference, _ in models(settings):
        for name, adapter in inference.adapters.items():
            if adapter.model in MODELS or adapter.model == inference.model:
                key = f"{prefix}inference.adapters"
                yield Problem(
                    key=f"{key}.{name}.model",
                    wrong="is a whole model, no LoRA adapter of one",
                    value=adapter.model,
                    allowed="a repository with adapter_config.json and adapter_model.safetensors",
                    fix=f"`pulumi config set --path '{place(key, name, 'model')}' ORGANISATION/ADAPTER`",
                )


def adapters_come_from_the_hub(settings: Settings) -> Iterator[Problem]:
    """As their model does: what streams its weights from S3 has no hub cache."""
    for prefix, inference, _ in models(settings):
        if inference.adapters and inference.weights == "s3":
            key = f"{prefix}inference.weights"
            yield Problem(
                key=key,
                wrong="streams the model from S3, and inference.adapters come from the hub",
                value="s3",
                allowed="nvme or efs with inference.adapters",
                fix=f"{set_to(key, 'nvme')} and {removed(f'{prefix}inference.weightsS3Uri')}",
            )


def a_batch_has_no_more_adapters_than_there_are(settings: Settings) -> Iterator[Problem]:
    """Each takes memory."""
    for prefix, inference, _ in models(settings):
        at_once, key = inference.adapters_at_once, f"{prefix}inference.adaptersAtOnce"
        if at_once is not None and at_once > len(inference.adapters):
            yield Problem(
                key=key,
                wrong=f"is more than inference.adapters has ({len(inference.adapters)})",
                value=at_once,
                allowed=f"1 to {len(inference.adapters)}" if inference.adapters else "unset, without adapters",
                fix=f"{removed(key)}, or name the adapters in {prefix}inference.adapters",
            )
