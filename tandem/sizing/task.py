"""What a model class does, by vLLM's own rules: it generates, embeds, or scores (`vllm/config/model.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tandem.errors import Problem
from tandem.sizing.architectures import family_of
from tandem.sizing.reading import CLASSIFIES
from tandem.sizing.shapes import ModelShape
from tandem.tasks import Task


def pooled(shape: ModelShape) -> ModelShape:
    """As vLLM's pooling runner makes it, without the head that makes tokens (`models/adapters.py`)."""
    return replace(shape, makes_tokens=False, tied_embeddings=True) if shape.makes_tokens else shape


def task_of(shape: ModelShape) -> Task:
    """What its class was made for."""
    return "generate" if shape.makes_tokens else "score" if shape.labels else "embed"


def not_its_task(key: str, shape: ModelShape, task: Task, overridden: bool = False) -> Iterator[Problem]:
    """What vLLM cannot make of it: it would refuse to start, or answer none of the task's paths.

    Args:
        key: of the setting or the option that says the task.
        overridden: vLLM is told another class, or another number of labels.
    """
    own = task_of(shape)
    if overridden or (own, task) == ("generate", "embed"):
        return
    if own != task:
        yield Problem(
            key=key,
            wrong=f"is not what {shape.architecture} does",
            value=task,
            allowed="generate or embed" if own == "generate" else own,
            fix=_instead(key, own, task),
        )
    elif task == "score" and shape.labels != 1:
        yield Problem(
            key=key,
            wrong=f"vLLM scores by models with one label, and this one has {shape.labels}",
            value=task,
            allowed=f"a {CLASSIFIES} class whose config.json has one label in id2label",
            fix="choose a model that ranks; one that sorts texts into classes has no path under /v1",
        )


def not_in_stages(shape: ModelShape, stages: int) -> Iterator[Problem]:
    """Of all classes that are sized vLLM gives those of BERT and RoBERTa alone no pipeline (`SupportsPP`), and would
    refuse to start."""
    if stages > 1 and family_of(shape.architecture).attention == "encoder":
        yield Problem(
            key="inference.pipelineParallelSize",
            wrong=f"vLLM spreads {shape.architecture} over no hosts",
            value=stages,
            allowed="1, which is the default: such a model fits one GPU",
            fix="unset inference.pipelineParallelSize",
        )


def _instead(key: str, own: Task, task: Task) -> str:
    if (own, task) == ("generate", "score"):
        return (
            f"set {key} to embed, which scores by how alike two vectors are, or choose a model that ranks; one that "
            "was converted is told so by --hf-overrides in inference.extraArguments"
        )
    return f"set {key} to {own}, or choose another model"
