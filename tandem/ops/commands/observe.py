"""`tandem observe`: what a Prometheus needs to watch a stack, as files to read, without AWS and without an engine."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from tandem.errors import UserError
from tandem.observing.grafana import board
from tandem.observing.rules import rules_file
from tandem.observing.watched import Watched
from tandem.ops import figures
from tandem.ops.options import AsJson, StackName, print_json, stack_name, stack_settings, write_file, writing
from tandem.settings.schema import Settings

MATCHERS = re.compile(r'[a-zA-Z_]\w*(=|!=|=~|!~)"[^"\\]*"(,[a-zA-Z_]\w*(=|!=|=~|!~)"[^"\\]*")*')
"""Of PromQL, with commas between them."""


def documents(models: list[Watched]) -> dict[str, str]:
    """Everything that there is: name to content."""
    return {
        "rules.yaml": rules_file(models),
        "grafana.json": board(models) + "\n",
    }


def _models(stack: str, settings: Settings, select: str | None) -> list[Watched]:
    """With the labels that the stack's own pods have, or those that somebody else's Prometheus gives them.

    Raises:
        UserError: hosts, and nothing says by which labels their series are known; or labels that are none.
    """
    name = stack_name(stack)
    models = figures.models(settings, name)
    if select is None:
        if settings.platform == "ec2" and not settings.metrics.written:
            raise UserError.of(
                key="--select",
                wrong="no Prometheus reaches this stack's hosts by itself, so whoever asks them must say how their "
                "series are known; their figures and alarms are in CloudWatch",
                value=settings.platform,
                allowed='matchers of PromQL, such as job="vllm"; or metrics.managedPrometheus, remoteWrite',
                fix=f"`tandem observe {stack} --select 'job=\"vllm\"'`",
            )
        return models
    if not MATCHERS.fullmatch(select):
        raise UserError.of(
            key="--select",
            wrong="these are no label matchers",
            value=select,
            allowed='such as namespace="llm",job="vllm-{model}"; {model} becomes the name of each model',
            fix="correct it; in a shell it stands in single quotes",
        )
    if len(models) > 1 and "{model}" not in select:
        raise UserError.of(
            key="--select",
            wrong=f"the stack has {len(models)} models, and by these labels each would be taken for all",
            value=select,
            allowed='such as job="vllm-{model}"; {model} becomes the name of each model',
            fix="name a label that tells them apart",
        )
    return [replace(model, labels=select.replace("{model}", model.name)) for model in models]


def observe(
    stack: StackName,
    document: Annotated[str | None, typer.Argument(help="Print this one, such as rules.yaml.")] = None,
    select: Annotated[
        str | None,
        typer.Option(
            metavar="LABELS", help="Matchers of PromQL by which a Prometheus knows the servers; {model} is its name."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write all documents into this directory.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what your own Prometheus and Grafana need to watch a stack: alert rules and a dashboard.

    From the stack's file alone. Without a document or --output it lists what there is. They are those that
    metrics.operatorLabels puts into the cluster; elsewhere Prometheus takes the rules under `rule_files`, and Grafana
    the dashboard by import.

    Exit status: 0, or 2 for a mistake.

    Examples: `tandem observe prod`, `tandem observe prod grafana.json > tandem.json`,
    `tandem observe prod-ec2 rules.yaml --select 'job="vllm"'`.
    """
    found = documents(_models(stack, stack_settings(stack), select))
    if document not in (None, *found):
        raise UserError.of(
            key="document",
            wrong="there is no such document",
            value=document,
            allowed=", ".join(found),
            fix=f"`tandem observe {stack}` lists them",
        )
    if output:
        with writing(output, "--output", "a directory"):
            output.mkdir(parents=True, exist_ok=True)
        for name, text in found.items():
            write_file(output / name, text, "--output")
    if as_json:
        print_json({"documents": [{"path": name, "text": found[name]} for name in found if document in (None, name)]})
    elif document:
        typer.echo(found[document], nl=False)
    elif output:
        typer.echo(f"{len(found)} files in {output}")
    else:
        for name, text in found.items():
            typer.echo(f"{len(text):>7,}  {name}")
