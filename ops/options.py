"""What all operator commands take: a stack, a region, a profile, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from infra.settings import Settings, load_stack_file

PROJECT = Path(__file__).resolve().parents[1]
"""Stack files are found here, whatever the working directory."""

StackName = Annotated[
    str, typer.Argument(metavar="STACK", envvar="PULUMI_STACK", help="Name of the stack.", show_default=True)
]
RegionName = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="Another region than the stack file's.")
]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Profile of the AWS configuration; the shell's own by default."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]

DEFAULT_STACK = "dev"


def stack_file(stack: str) -> Path:
    """Where a stack's settings are: `Pulumi.STACK.yaml` of this project, or the file itself where a path is given."""
    return Path(stack) if stack.endswith((".yaml", ".yml")) else PROJECT / f"Pulumi.{stack}.yaml"


def stack_settings(stack: str, region: str | None = None) -> Settings:
    """The settings of a stack, as if for another region where one is named.

    The zones of a stack file belong to its own region; in another one the defaults stand in for them.

    Raises:
        UserError: unknown stack, or settings that are wrong.
    """
    settings = load_stack_file(stack_file(stack))
    if region in (None, settings.region):
        return settings
    network = settings.network.model_copy(update={"zones": ()})
    return settings.model_copy(update={"region": region, "network": network})


def print_json(value: Any) -> None:
    """JSON as programs read it and people can."""
    typer.echo(json.dumps(value, indent=2, default=str))
