"""The `tandem` command: a table of contents. Each command is a file in ops/commands/, imported when it is called."""

from __future__ import annotations

import signal
import sys

import typer

from infra.errors import UserError
from ops.deferred import Place, group_of
from ops.screen import visible

COMMANDS = {
    "audit": Place("ops.commands.audit:audit", "List what is left of stacks in the account and what it costs a month."),
    "cost": Place(
        "ops.commands.cost:cost",
        "Say what a stack costs by hour and month, part by part, and which change would save most.",
    ),
    "doctor": Place(
        "ops.commands.doctor:doctor",
        "Check account, region and settings before `pulumi up`, and say what mends each thing.",
    ),
    "ephemeral": Place("ops.commands.ephemeral:app", "Stacks for an hour or an afternoon, which end by themselves."),
    "image": Place("ops.commands.image:image", "Machine images of one's own: bake, list, clean."),
    "pin": Place(
        "ops.commands.pin:pin",
        "Look up the pins that images/pins.toml still lacks, and write them with day and source.",
    ),
    "reap": Place(
        "ops.commands.reap:reap",
        "Remove every ephemeral stack that has expired, with all it has, found by tags alone.",
    ),
    "recover": Place(
        "ops.commands.recover:recover",
        "Remove or adopt what a killed `pulumi up` created and did not record, and release its lock.",
    ),
    "region": Place("ops.commands.region:app", "The same stack in several regions, behind one name."),
    "rehearse": Place(
        "ops.commands.rehearse:rehearse",
        "Brings stacks up, changes them and takes them down, on the real Pulumi engine and a simulated AWS account.",
    ),
    "render": Place(
        "ops.commands.render:render",
        "Render user data, systemd units, nginx.conf, and a compose project for a plain GPU box.",
    ),
    "rollout": Place(
        "ops.commands.rollout:rollout",
        "Show which versions run where, and follow a rollout, which `pulumi up` starts, to its end.",
    ),
    "size": Place(
        "ops.commands.size:size",
        "Say whether a model fits, how many KV-cache tokens that leaves, on which instance types, and what a token "
        "costs.",
    ),
    "smoke": Place(
        "ops.commands.smoke:smoke",
        "Ask an API for what clients want and for what nobody should get, and exit 1 on any surprise.",
    ),
    "status": Place(
        "ops.commands.status:status",
        "Show replicas, hosts or nodes, versions, last token, load, expiry and cost so far of a stack.",
    ),
}

app = typer.Typer(
    name="tandem",
    cls=group_of(COMMANDS),
    help="vLLM on AWS GPUs: rehearse it, size it, run it, stop paying for it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _root() -> None:
    """Makes a group of it: Typer sees no command here."""


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
