"""`tandem rehearse --shell`: a shell in which the ordinary commands work against a simulated account."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from rehearsal.engine import Engine
from rehearsal.moto import simulated_account
from rehearsal.scene import set_the_scene

GREETING = """\
[bold]A shell on a simulated AWS account[/], with a copy of stack {stack} and nothing in it yet. Try:

  pulumi preview                  what would be made
  pulumi up                       make it, here and nowhere else
  pulumi stack output             what a client needs
  tandem --help                   the other commands look into this account, too
  python -c 'import boto3; print(boto3.client("autoscaling").describe_auto_scaling_groups())'
  pulumi destroy

What the account holds, in a browser: {url}/moto-api/
Pulumi.{stack}.yaml here is a copy, change it at will. `exit` ends the account and removes everything.
"""


def open_shell(stack: str, engine: Engine, console: Console) -> int:
    """Opens $SHELL, or bash, in a workspace of the stack; returns its exit status when the user leaves it."""
    with simulated_account() as account, set_the_scene(stack, engine, account) as scene:
        environment = {
            **scene.workspace.environment,
            # beside the program's Python lie `tandem` and `python` with boto3
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), scene.workspace.environment["PATH"]]),
            "PS1": f"({stack}, simulated) $ ",
        }
        console.print(GREETING.format(stack=stack, url=account.url), highlight=False)
        return subprocess.run([_shell()], cwd=scene.workspace.directory, env=environment, check=False).returncode


def _shell() -> str:
    return os.environ.get("SHELL") or "bash"
