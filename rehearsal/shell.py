"""`tandem rehearse --shell`: a shell in which the ordinary commands work against a simulated account."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from pulumi_rehearsal.engine import Engine
from rehearsal.account import account_gaps, simulated_account
from rehearsal.scene import pins_of, set_the_scene

GREETING = """\
[bold]A shell on a simulated AWS account[/], with a copy of stack {stack} and nothing in it yet. Try:

  pulumi preview                  what would be made
  pulumi up                       make it, here and nowhere else
  pulumi stack output             what a client needs
  tandem doctor {stack}               this and the other tandem commands look into this account, too
  {look}
  pulumi destroy

What the account holds, in a browser: {url}/moto-api/
AWS answers at {endpoint} (AWS_ENDPOINT_URL). The stack's own `url` names a load balancer that only this account knows:
the name does not resolve, and no server is behind it, so there is nothing to send a request to.
Pulumi.{stack}.yaml here is a copy, change it at will. `exit` ends the account and removes everything.
"""
IN_THE_ACCOUNT = "python -c 'import boto3; print(boto3.client(\"autoscaling\").describe_auto_scaling_groups())'"
IN_THE_CLUSTER = "kubectl get pods -A             the cluster, where KUBECONFIG leads already"


def open_shell(stack: str, engine: Engine, console: Console) -> int:
    """Opens $SHELL, or bash, in a workspace of the stack; returns its exit status when the user leaves it."""
    with (
        simulated_account() as account,
        account_gaps(account.url) as gaps,
        set_the_scene(stack, engine, account) as scene,
    ):
        inherited = scene.workspace.environment
        gaps.add_images(pins_of(scene.workspace))
        environment = {
            **inherited,
            "AWS_ENDPOINT_URL": gaps.url,
            # beside the program's Python lie `tandem` and `python` with boto3
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited["PATH"]]),
            "PS1": f"({stack}, simulated) $ ",
        }
        if scene.cluster:
            own = scene.workspace.directory / "home" / "kubeconfig"
            environment["KUBECONFIG"] = str(shutil.copy(scene.cluster.plane.kubeconfig, own))
        look = IN_THE_CLUSTER if scene.cluster else IN_THE_ACCOUNT
        console.print(GREETING.format(stack=stack, look=look, url=account.url, endpoint=gaps.url), highlight=False)
        with _left_to_the_shell(signal.SIGINT):
            shell = os.environ.get("SHELL") or "bash"
            return subprocess.run([shell], cwd=scene.workspace.directory, env=environment, check=False).returncode


@contextmanager
def _left_to_the_shell(number: signal.Signals) -> Iterator[None]:
    """Ctrl-C is for the command that runs in the shell. Not ignored: the shell would inherit that."""
    before = signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(number, before)
