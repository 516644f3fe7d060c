"""`tandem diagram`: a picture of what a stack is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tandem.errors import UserError
from tandem.ops import diagram as pictures
from tandem.ops import options
from tandem.ops.options import DEFAULT_STACK, AsJson, StackName, print_json, write_file
from tandem.ops.pulumi import Stack


def diagram(
    stack: StackName = DEFAULT_STACK,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE.svg", help="Write here; standard output by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the components of a stack, what is in each and which needs which, as SVG, from the engine's own graph.

    Of a stack that is up, from Pulumi's state. It shows types and numbers and no inputs, so that it can be shared.
    As JSON: each component with its resources by type, and what it needs.

    Exit status: 0, or 2 for a mistake or where nothing is up.

    Examples: `tandem diagram prod > prod.svg`, `tandem diagram dev --output dev.svg`.
    """
    resources = Stack(stack, options.PROJECT).export()["deployment"].get("resources") or ()
    if not any("$" in one["urn"] for one in resources):
        raise UserError.of(
            key=stack,
            wrong="Pulumi's state has no resources of this stack, so there is nothing to draw",
            fix=f"`pulumi up --stack {stack}`, or `tandem rehearse --shell {stack}` and `pulumi up` in it",
        )
    if as_json:
        made, needs = pictures.boxes(pictures.of_state(resources))
        found = [
            {"name": box.alone or box.name, "type": key.partition("::")[0], "resources": box.holds}
            | {"needs": sorted(made[other].alone or made[other].name for other in needs[key])}
            for key, box in sorted(made.items())
        ]
        print_json({"stack": stack, "components": found})
        return
    picture = pictures.svg(stack, pictures.of_state(resources))
    if output is None:
        typer.echo(picture, nl=False)
    else:
        write_file(output, picture, "--output")
