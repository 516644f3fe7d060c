"""`tandem recover`: puts state and account in step again after a `pulumi up` that was killed."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tandem.ops.aws import aws_clients
from tandem.ops.helm_releases import RELEASE
from tandem.ops.kinds.kind import Found
from tandem.ops.options import AsJson, named, print_json
from tandem.ops.pulumi import Stack
from tandem.ops.recovery import Plan
from tandem.ops.resuming import carry_out, look
from tandem.ops.screen import Screen, columns


def recover(
    stack: Annotated[str, typer.Argument(help="The stack whose `up` was killed.", callback=named)],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this the plan is only shown.")] = False,
    region: Annotated[str | None, typer.Option(help="Another region than the stack's configuration names.")] = None,
    profile: Annotated[str | None, typer.Option(help="Profile of the AWS configuration.")] = None,
    as_json: AsJson = False,
) -> None:
    """Remove or adopt what a killed `pulumi up` created and did not record, and release its lock.

    What AWS and the cluster left for the stack goes, too: interfaces of pods whose node is gone, which keep `pulumi
    destroy` from the network, the security group of a cluster that is gone, and a log group that EKS wrote anew. A Helm
    release that a killed `up` left pending is freed, which takes `kubectl` and the way to the cluster.

    Run it in the directory of Pulumi.yaml, with the same environment as `pulumi up`, and only when no `pulumi` works on
    the stack any more. Nothing is changed without --yes. Safe to run again, also after an interruption.

    Exit status: 0 done (or the plan was shown), 2 something could not be removed, or AWS or `pulumi` refused.

    Examples: `tandem recover dev`, `tandem recover dev --yes && pulumi up --stack dev`.
    """
    console = Screen(stderr=as_json)
    engine = Stack(stack)
    clients = aws_clients(region or engine.region(), profile)
    if yes:
        engine.release_lock()
    deployment = engine.export()
    with console.status("looking for what the state does not know"):
        plan = look(clients, stack, deployment)
    _show(console, plan)
    if yes:
        carry_out(clients, engine, deployment, plan, console.print)
    _tell(console, stack, plan, yes)
    if as_json:
        print_json(_as_json(plan) | {"stack": stack, "done": yes})


def _tell(console: Screen, stack: str, plan: Plan, yes: bool) -> None:
    if plan.is_empty:
        agree = "Nothing was under way, and what is kept is left alone" if plan.keep else "State and account agree"
        console.print(f"{agree}. Go on with `pulumi up --stack {stack}`.")
        if not yes:
            console.print(f"Should it say that the stack is locked: `tandem recover {stack} --yes` releases the lock.")
    elif yes:
        console.print(f"Done. Go on with `pulumi up --stack {stack}`.")
    else:
        console.print(f"Nothing was changed. To do this: `tandem recover {stack} --yes`.")


def _as_json(plan: Plan) -> dict[str, Any]:
    def named(resource: Found, why: str) -> dict[str, str]:
        return {"type": resource.type, "id": resource.id, "why": why}

    return {
        "remove": [named(resource, "created and not recorded") for resource in plan.remove]
        + [named(resource, resource.left_by) for resource in plan.sweep],
        "mend": [{"type": RELEASE, "id": one.id, "why": one.status} for one in plan.helm.stuck],
        "notLookedAt": [str(problem) for problem in plan.helm.unseen],
        "adopt": [named(adoption.resource, adoption.reason) for adoption in plan.adopt],
        "keep": [named(kept.resource, kept.reason) for kept in plan.keep],
        "pending": [{"urn": urn, "kind": kind} for urn, kind in plan.pending],
    }


def _show(console: Screen, plan: Plan) -> None:
    table = columns("what", "type", "id", "why")
    for resource in plan.remove:
        table.add_row("remove", resource.type, resource.id, "created and not recorded; `up` makes it anew")
    for resource in plan.sweep:
        table.add_row("remove", resource.type, resource.id, resource.left_by)
    for one in plan.helm.stuck:
        why = f"{one.status}, and nobody is at work on it: Helm would refuse the next `up`"
        table.add_row("forget", RELEASE, one.id, why)
    for adoption in plan.adopt:
        table.add_row("adopt", adoption.resource.type, adoption.resource.id, adoption.reason)
    for kept in plan.keep:
        table.add_row("keep", kept.resource.type, kept.resource.id, kept.reason)
    for urn, kind in plan.pending:
        table.add_row("clear", kind, urn.rpartition("::")[2], "was under way when `up` was killed")
    if table.row_count:
        console.print(table)
    for problem in plan.helm.unseen:
        console.print(f"not looked at: whether a Helm release is pending: {problem}")
