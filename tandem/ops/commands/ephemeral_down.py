"""`tandem ephemeral down`: removes one life of an ephemeral stack with all it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tandem.errors import Problem, UserError
from tandem.loading import load_stack_file
from tandem.ops import ephemeral, inventory, options, others_objects, removal
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.ephemeral import made_here
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.lives import against_removal
from tandem.ops.options import AsJson, ProfileName, RegionName, Yes, named, print_json, regions_of, stack_file
from tandem.ops.pulumi import Deployment, Stack
from tandem.ops.screen import Screen, continued
from tandem.ops.whose import Own, of_state, refuse_elsewhere


def down(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `tandem ephemeral list` shows it.", callback=named)],
    yes: Yes = False,
    by_tags: Annotated[
        bool, typer.Option("--by-tags", help="Without Pulumi: where the state is lost or elsewhere.")
    ] = False,
    stack_id: Annotated[
        str | None, typer.Option("--stack-id", metavar="ID", help="Which life of the name, with --by-tags.")
    ] = None,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Remove an ephemeral stack with all it has, then its state and its file.

    Shows what would go; with --yes destroys it, removes what only its tags tell of, and forgets it. Can be run again.
    Only what carries this stack's id goes, and only if all of it carries the tag of ephemeral stacks.

    Exit status: 0 nothing is left (or nothing was to be done yet), 2 something could not be removed, or AWS refused.

    Examples: `tandem ephemeral down eph-3f9a2c`, `tandem ephemeral down eph-3f9a2c --yes --by-tags --region us-east-1`.
    """
    console = Screen(stderr=as_json)
    engine = None if by_tags else options.engine(name, profile)
    path = ephemeral.file(name) if engine else stack_file(name)
    if path.exists():
        ephemeral.refuse_others(name, load_stack_file(path).ephemeral)
    (where,) = regions_of(name, [region] if region else None)
    clients = aws_clients(where, profile)
    deployment = engine.export() if engine and engine.exists() else None
    if deployment:
        refuse_elsewhere(deployment, name, clients)
    carries_name = _listed(clients, name)
    found = _of_life(name, stack_id if by_tags else _own_id(name, deployment), carries_name)
    kinds = Counter(item.type.rpartition(":")[2] for item in found)
    listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "nothing in the account"
    what = f"{name} ({stack_id})" if stack_id else name
    console.print(f"{what} in {where}: {listed}")
    for other in sorted({one.stack_id for one in carries_name} - {one.stack_id for one in found}):
        console.print(f"left alone: {other}, which is another life of the name")
    if yes:
        with continued(console, f"tandem ephemeral down {name} --yes"):
            _remove(console, clients, name, engine, found)
            kept = _forget(engine, path)
        console.print(f"{what} is gone." + (f" {path} stays: no `tandem ephemeral up` made it." if kept else ""))
    else:
        console.print(f"Nothing was changed. To remove it: `tandem ephemeral down {name} --yes`.")
    if as_json:
        print_json({"stack": name, "region": where, "found": dict(kinds), "removed": yes})


def _own_id(name: str, deployment: Deployment | None) -> str:
    """The life that a state tells of; empty where it has made nothing yet.

    Raises:
        UserError: it has made something and has no id.
    """
    own = of_state(deployment) if deployment else Own()
    if own.from_before:
        wrong = "its state is from before stacks had an id, so nothing in the account can be told to be its own"
        fix = f"`pulumi up --stack {name}` gives it one; or `pulumi destroy --stack {name}`"
        raise UserError.of(key=name, wrong=wrong, fix=fix)
    return own.id


def _listed(clients: Clients, name: str) -> Sequence[Found]:
    """What carries the name.

    Raises:
        UserError: something cannot be looked at.
    """
    with user_errors(name):
        found = inventory.find(clients, name)
    if found.unreadable:
        raise UserError(*found.unreadable)
    return found.resources


def _of_life(name: str, stack_id: str | None, resources: Sequence[Found]) -> list[Found]:
    """What one life of a stack has in the account; all of it says that it is ephemeral.

    Args:
        stack_id: None for the only life of the name.
        resources: what carries the name.

    Raises:
        UserError: something does not say that it is ephemeral, or there are two lives.
    """
    ids = sorted({one.stack_id for one in resources if one.stack_id})
    if stack_id is None and len(ids) > 1:
        wrong, fix = "two lives of this name are in the account", "name the one to remove: --by-tags --stack-id ID"
        raise UserError.of(key=name, wrong=wrong, value=", ".join(ids), fix=fix)
    if stack_id == "" and ids:
        wrong = "no state here tells of the life that the account has under this name"
        fix = (
            f"`pulumi login` to where its state is; if that is lost, `tandem ephemeral down {name} --by-tags`; if that "
            f"life is somebody else's, `pulumi stack rm {name}` forgets the empty state here"
        )
        raise UserError.of(key=name, wrong=wrong, value=", ".join(ids), fix=fix)
    whose = next(iter(ids), "") if stack_id is None else stack_id
    against = [
        Problem(
            key=f"{one.type} {one.id}",
            wrong=f"{why}, so nothing of {name} is removed",
            fix="if it is the stack's, `pulumi up` gives it its tags; if not, it has to lose the stack's",
        )
        for one, why in against_removal(name, whose, resources)
    ]
    if against:
        raise UserError(*against)
    return [one for one in resources if whose and one.stack_id == whose]


def _remove(console: Screen, clients: Clients, name: str, engine: Stack | None, found: Sequence[Found]) -> None:
    """By the engine, then what it did not know of, in the order in which an interrupted removal is found again.

    Args:
        engine: None where the state is lost or elsewhere.
        found: what the stack has in the account. Where nothing is left, a state from before a reap could only name what
            another life has made since.
    """
    if not found:
        return
    if engine:
        with user_errors(name):
            others_objects.refuse(clients, name, found[0].stack_id, console.print)
        engine.destroy(console.print)
    rest = _of_life(name, found[0].stack_id, _listed(clients, name))
    with user_errors(name):
        left = removal.remove_stack(clients, rest, report=removal.reporting(console.print))
    removal.refuse_left(left, "could not be removed", "the same command")


def _forget(engine: Stack | None, path: Path) -> bool:
    """Whether a file is there that is not ours to remove."""
    by_hand = path.exists() and not made_here(path)
    if engine and engine.exists():
        engine.remove(keep_file=by_hand)
    if options.HERE and not by_hand:  # by tags it works from anywhere
        path.unlink(missing_ok=True)
    return by_hand
