"""The `tandem` command: a table of contents. A command is a file of tandem/ops/commands/, imported when called."""

from __future__ import annotations

import signal
import sys

import typer

from tandem.errors import UserError
from tandem.ops.deferred import group_of
from tandem.ops.screen import visible

COMMANDS = {
    "audit": "List what is left of stacks in the account and what it costs a month.",
    "batch": "A file of requests, answered by machines that start for it and stop after it.",
    "canary": "Ask a model the questions of a suite, and say which answers are wrong, or differ from an earlier run.",
    "cost": "Say what a stack costs by hour and month, part by part, and which change would save most.",
    "diagram": "Draw the components of a stack, what is in each and which needs which, as SVG, from the engine's own "
    "graph.",
    "doctor": "Check account, region and settings before `pulumi up`, and say how to fix each problem.",
    "ephemeral": "Stacks for an hour or an afternoon, which end by themselves.",
    "gateway": "Teams of the gateway, and what they may do.",
    "image": "Machine images of your own: bake, list, clean.",
    "keys": "Who may use a stack: keys that start and stop working within a minute.",
    "load": "Find the highest rate of requests at which a stack keeps its objectives, and say what follows from it.",
    "logs": "Ask the logs of edge and servers what became of a request, what was slow, failed or refused, and by whom.",
    "memory": "Show where the memory of one GPU goes, part by part, or whether a running server agrees.",
    "observe": "Print what your own Prometheus and Grafana need to watch a stack: alert rules and a dashboard.",
    "pin": "Look up the pins that images/pins.toml still lacks, and write them with day and source.",
    "ready": "Hold a stack that is up against the checklist for production, and say how to meet each line.",
    "reap": "Remove every ephemeral stack that has expired, with all it has, found by tags alone.",
    "recover": "Remove or adopt what a killed `pulumi up` created and did not record, and release its lock.",
    "region": "The same stack in several regions, behind one name.",
    "rehearse": "Bring stacks up, change them and take them down, on the real Pulumi engine and a simulated AWS "
    "account.",
    "render": "Render user data, systemd units, nginx.conf, and a compose project for a plain GPU box.",
    "rollout": "Show which versions run where, and follow a rollout, which `pulumi up` starts, to its end.",
    "sbom": "List what a stack runs, with versions, digests and licences; with --json as a CycloneDX 1.6 document.",
    "size": "Say on which instance types a model fits, or which fleets carry a load and keep an objective.",
    "smoke": "Ask an API for what clients want and for what nobody should get, and exit 1 on any surprise.",
    "soak": "Load a stack for hours at twice its expected peak, and say what leaks, gets slower, restarts or fails.",
    "status": "Show replicas, hosts or nodes, gateway, versions, last token, load, expiry and cost so far of a stack.",
    "top": "Show servers, load, latencies, tokens, KV cache, GPUs and cost of a stack, live, beside its objectives.",
}
"""Each with the first sentence of its help, which a test holds to it."""

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
