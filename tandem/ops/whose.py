"""Whose a stack is: what the state here tells of its life, beside what the account tells of all lives of the name."""

from __future__ import annotations

from dataclasses import dataclass

from tandem import type_tokens as types
from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.kinds.kind import Clients
from tandem.ops.pulumi import Deployment, Stack

RANDOM_ID, IDENTITY = "random:index/randomId:RandomId", "tandem:index:StackIdentity$"
"""What keeps the id of a stack's life in its state."""


@dataclass(frozen=True)
class Own:
    """What a state tells of its life.

    Attributes:
        id: empty where it has none: nothing was made yet, or it is from before stacks had ids.
        holds_name: it has what holds the name in the account.
        made: it tells of something in an account.
    """

    id: str = ""
    holds_name: bool = False
    made: bool = False

    @property
    def from_before(self) -> bool:
        return self.made and not self.id

    @property
    def life(self) -> str | None:
        """The only one to look at; None for all that carries the name, as what is from before ids does."""
        return None if self.from_before else self.id


def own(engine: Stack) -> Own | None:
    """What the state here tells; None where there is no `pulumi`, or its backend does not answer."""
    try:
        return of_state(engine.export()) if engine.exists() else Own()
    except UserError:
        return None


def life_here(stack: str) -> str | None:
    """The id of the life that this project's state tells of; None where it tells none, and any of the name is meant."""
    mine = own(Stack(stack, options.PROJECT))
    return mine.life if mine and mine.made else None


def of_state(deployment: Deployment) -> Own:
    """What an exported state tells."""
    found = [resource["type"] for resource in deployment["deployment"].get("resources") or []]
    made = any(type_.startswith("aws:") for type_ in found)
    return Own(stack_id(deployment) or "", types.PARAMETER in found, made)


def refuse_elsewhere(deployment: Deployment, stack: str, clients: Clients) -> None:
    """Where nothing of a stack is looked for, nothing of it is found: its state must be neither forgotten for that, nor
    taken for what else is there.

    Raises:
        UserError: the state tells of another account or region than the one that is looked into.
        botocore's errors.
    """
    places = _places(deployment)
    here = clients("sts")
    account, region = here.get_caller_identity()["Account"], here.meta.region_name
    if places and not {(account, region), ("", region)} & places:
        raise UserError.of(
            key=stack,
            wrong="its state tells of another account or region than the one that was looked into",
            value=f"{account} in {region}",
            allowed=", ".join(sorted(f"{one or 'its account'} in {where}" for one, where in places)),
            fix="credentials of that account, and --region or tandem:region of that region",
        )


def _places(deployment: Deployment) -> set[tuple[str, str]]:
    """Account and region of what holds the name; where nothing was made yet, the regions in which it was to be made."""
    resources = deployment["deployment"].get("resources") or []
    names = [one.get("outputs", {}).get("arn", "").split(":") for one in resources if one["type"] == types.PARAMETER]
    providers = [one for one in resources if one["type"] == "pulumi:providers:aws"]
    return {(arn[4], arn[3]) for arn in names if len(arn) > 4} or {("", one["inputs"]["region"]) for one in providers}


def stack_id(deployment: Deployment) -> str | None:
    """The id of the life that a state tells of; None for an empty state, or one from before stacks had ids."""
    for resource in deployment["deployment"].get("resources") or []:
        if resource["type"] == RANDOM_ID and IDENTITY in resource["urn"]:
            return resource["outputs"]["hex"]
    return None
