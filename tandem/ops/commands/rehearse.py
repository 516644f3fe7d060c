"""`tandem rehearse`: the whole life of a stack on the real engine, against a simulated account."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from pulumi_rehearsal import engine
from pulumi_rehearsal.errors import SetupError
from pulumi_rehearsal.kubernetes import cluster
from pulumi_rehearsal.kubernetes.build import CONTROL_PLANE
from rehearsal import report
from rehearsal.run import rehearse_all
from rehearsal.scene import PROJECT, on_kubernetes
from rehearsal.screen import Interrupted, screen, status_line
from rehearsal.shell import open_shell
from tandem.errors import UserError
from tandem.ops.options import AsJson, print_json

DEFAULT_STACKS = ("dev", "prod-ec2")


@contextmanager
def _said_as_ours() -> Iterator[None]:
    """What the simulator says a user can mend is printed as the other commands print it."""
    try:
        yield
    except SetupError as error:
        raise UserError.of(
            key=error.key, wrong=error.wrong, value=error.value, allowed=error.allowed, fix=error.fix
        ) from None


@_said_as_ours()
def rehearse(
    stacks: Annotated[list[str] | None, typer.Argument(help="Stacks to rehearse; dev and prod-ec2 by default.")] = None,
    shell: Annotated[
        str | None, typer.Option(metavar="STACK", help="Open a shell with STACK in a simulated account instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring stacks up, change them and take them down, on the real Pulumi engine and a simulated AWS account.

    Needs neither an account nor a GPU. Exit status 1 when anything is not as expected.
    """
    progress, started = Console(stderr=True), time.monotonic()
    names = [shell] if shell else list(dict.fromkeys(stacks or DEFAULT_STACKS))
    on_clusters = any(on_kubernetes(PROJECT, name) for name in names)
    with status_line(progress) as status:
        found = engine.ensure(status)
        if on_clusters:
            cluster.ensure(status)
    progress.print(f"Pulumi {found.version} ({found.origin})", highlight=False)
    if on_clusters:
        progress.print(f"Kubernetes {CONTROL_PLANE.version}, built from Go modules", highlight=False)
    if shell:
        raise typer.Exit(open_shell(shell, found, progress))
    try:
        with screen(progress, names) as watcher:
            reports = rehearse_all(names, found, watcher)
    except Interrupted:
        raise typer.Exit(130) from None
    seconds = time.monotonic() - started
    if as_json:
        print_json(report.as_json(found, seconds, reports))
    else:
        console = Console()
        for stack in reports:
            console.print(report.as_text(stack), "")
        console.print(report.summary(seconds, reports))
    raise typer.Exit(0 if all(stack.met for stack in reports) else 1)
