"""Who holds a stack's name in an account and region: the rule by which `up` goes on, and which doctor tells before."""

from __future__ import annotations

from collections.abc import Collection

from tandem.errors import Problem


def against_claim(stack: str, own: str, holders: Collection[str]) -> Problem | None:
    """Why a state that holds no name yet cannot take it; None where it can.

    Args:
        own: the id of its life; empty where it has none yet.
        holders: the ids that hold the name now.
    """
    if not holders:
        return None
    return _unrecorded(stack, own) if own in holders else taken(stack, holders)


def against_hold(stack: str, own: str, holders: Collection[str]) -> Problem | None:
    """Why a state that has taken the name does not hold it alone; None where it does.

    Of two that took it at the same moment, each finds the other, and neither goes on.
    """
    if own not in holders:
        return _gone(stack, own)
    others = [id for id in holders if id != own]
    return taken(stack, others) if others else None


def taken(stack: str, ids: Collection[str]) -> Problem:
    """The sentence, with what has the name."""
    return Problem(
        key=stack,
        wrong="the name is taken in this account and region by another state",
        value=", ".join(sorted(ids)),
        allowed="one state for a name",
        fix="`pulumi login` to where that state is, or give this one another name: `pulumi stack rename NAME`; where "
        'that state is lost, see "A name is taken" in docs/runbook.md',
    )


def _unrecorded(stack: str, own: str) -> Problem:
    return Problem(
        key=stack,
        wrong="an `up` that was killed made what holds the name, and could not write it down",
        value=own,
        fix=f"`tandem recover {stack} --yes`, then `pulumi up --stack {stack}`",
    )


def _gone(stack: str, own: str) -> Problem:
    return Problem(
        key=stack,
        wrong="the stack was removed from the account, by `tandem reap` or by hand, and its state still tells of it",
        value=own,
        fix=f"`pulumi state delete --all --yes --stack {stack}` forgets it, `pulumi up --stack {stack}` makes it anew; "
        f"should `tandem audit {stack}` still show some of this id, `pulumi refresh --stack {stack}` instead",
    )
