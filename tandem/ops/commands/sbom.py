"""`tandem sbom`: what a stack runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from tandem import pins
from tandem.host.render import render_files
from tandem.ops import sbom as bill
from tandem.ops.commands.render import stack_config
from tandem.ops.options import AsJson, StackName, print_json, stack_settings
from tandem.ops.screen import Screen, columns


def sbom(
    stack: StackName,
    as_json: AsJson = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit status 1 where a part is not pinned.")] = False,
) -> None:
    """List what a stack runs, with versions, digests and licences; with --json as a CycloneDX 1.6 document.

    Images, models, packages of hosts, and on platform eks add-ons, charts and node images; from the stack's file and
    images/pins.toml, so that it is what an `up` brings. What is inside an image is in the SBOM of that image.

    Exit status: 0, with --strict 1 where a part is not pinned, 2 for a mistake.

    Examples: `tandem sbom prod`, `tandem sbom prod --json > tandem-prod.cdx.json`, `tandem sbom prod --strict`.
    """
    settings = stack_settings(stack)
    models = settings.groups if settings.platform == "ec2" else ()
    hosts = [json.loads(render_files(stack_config(stack, model=one))["/etc/tandem/host.json"]) for one in models]
    found = bill.parts(settings, pins.load(), hosts)
    if as_json:
        print_json(bill.cyclonedx(stack, found, datetime.now(UTC)))
    else:
        table = columns("part", "name", "version", "digest", "licence")
        for part in found:
            version = part.version or "the newest on the day"
            style = "" if part.pinned else "yellow"
            table.add_row(part.kind, part.name, version, part.sha256[:12], part.licence, style=style)
        Screen().print(table)
        loose = sum(not part.pinned for part in found)
        Screen().print(f"{len(found)} parts, {loose} not pinned.")
    if strict and not all(part.pinned for part in found):
        raise typer.Exit(1)
