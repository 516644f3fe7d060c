"""The `tandem` command: a table of contents. Each command is a file in ops/commands/."""

from __future__ import annotations

import signal
import sys

import typer

from infra.errors import UserError
from ops.commands import ephemeral, region
from ops.commands.audit import audit
from ops.commands.cost import cost
from ops.commands.doctor import doctor
from ops.commands.image import image
from ops.commands.pin import pin
from ops.commands.reap import reap
from ops.commands.recover import recover
from ops.commands.rehearse import rehearse
from ops.commands.render import render
from ops.commands.rollout import rollout
from ops.commands.size import size
from ops.commands.smoke import smoke
from ops.commands.status import status
from ops.screen import visible

app = typer.Typer(
    name="tandem",
    help="vLLM on AWS GPUs: rehearse it, size it, run it, stop paying for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Keeps sub-commands sub-commands while there is only one of them."""


app.command()(audit)
app.command()(cost)
app.command()(doctor)
app.add_typer(ephemeral.app, name="ephemeral")
app.add_typer(image, name="image")
app.command()(pin)
app.command()(reap)
app.command()(recover)
app.add_typer(region.app, name="region")
app.command()(rehearse)
app.command()(render)
app.command()(rollout)
app.command()(size)
app.command()(smoke)
app.command()(status)


def main() -> None:
    """Entry point: a user's mistake is a message and exit status 2, never a traceback.

    SIGTERM, with which pipelines cancel, leaves no server behind.
    """
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        app()
    except UserError as error:
        print(f"tandem: {visible(error)}", file=sys.stderr)
        raise SystemExit(2) from None
