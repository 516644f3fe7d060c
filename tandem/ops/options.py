"""What all operator commands take: a stack, a region, a profile, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem.catalog import prices
from tandem.errors import UserError
from tandem.files import HERE, PROJECT
from tandem.loading import load_stack_file
from tandem.ops.pulumi import Stack
from tandem.settings import Settings


def named(stack: str | None) -> str | None:
    """A stack's name; every argument of that kind goes through it.

    Raises:
        UserError: it is empty, as from a shell variable that is not set.
    """
    if stack is not None and not stack.strip():
        raise UserError.of(key="STACK", wrong="no stack has an empty name", value=stack, allowed="such as dev")
    return stack


StackName = Annotated[
    str,
    typer.Argument(
        metavar="STACK", envvar="PULUMI_STACK", help="Name of the stack.", show_default=True, callback=named
    ),
]


def known_region(region: str, key: str = "--region") -> str:
    """The region's name, if AWS has such a one.

    Args:
        key: where it is from.

    Raises:
        UserError: it has none that boto3 has heard of.
    """
    if region in prices.ON_DEMAND:
        return region
    from botocore.session import Session  # half a second, which only a region without listed prices costs

    names = Session().get_available_regions("ec2")
    if region in names:
        return region
    nearest = get_close_matches(region, names, n=1)
    raise UserError.of(
        key=key,
        wrong="AWS has no such region",
        value=region,
        allowed="a region's name, such as us-east-1; `aws account list-regions` names all",
        fix=f"did you mean {nearest[0]}?" if nearest else "correct it",
    )


def _region(region: str | None) -> str | None:
    return known_region(region) if region else region


def _regions(regions: list[str] | None) -> list[str] | None:
    return [known_region(region) for region in regions] if regions else regions


RegionName = Annotated[
    str | None,
    typer.Option("--region", metavar="REGION", help="Another region than the stack file's.", callback=_region),
]
ProfileName = Annotated[
    str | None,
    typer.Option("--profile", metavar="NAME", help="Profile of the AWS configuration; the shell's own by default."),
]
RegionNames = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="REGION",
        help="Look here; repeatable. The stack files' regions by default.",
        callback=_regions,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; without this the plan is only shown.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, for programs.")]
GatewayUrl = Annotated[
    str,
    typer.Option(
        "--url", metavar="URL", help="LiteLLM's admin interface: the tunnel's end, or the public name if forwarded."
    ),
]

DEFAULT_STACK = "dev"
GATEWAY_URL = "http://127.0.0.1:4000"
"""Where the command of the output gatewayAdminCommand leads from."""


def stack_file(stack: str) -> Path:
    """Where a stack's settings are: `Pulumi.STACK.yaml` of this project, or the file itself where a path is given."""
    return Path(stack) if stack.endswith((".yaml", ".yml")) else PROJECT / f"Pulumi.{stack}.yaml"


def stack_name(stack: str) -> str:
    """What a stack is called, that is named or whose file is."""
    return stack_file(stack).stem.removeprefix("Pulumi.")


def engine(stack: str, profile: str | None) -> Stack:
    """A stack of the shell's project, to be changed.

    Raises:
        UserError: the shell is in none. What the installed project has is looked at from anywhere, and changed there.
    """

    if HERE is None:
        raise UserError.of(
            key=stack,
            wrong="a stack is changed in its project, and this directory is in none",
            value=str(Path.cwd()),
            allowed="a directory that holds tandem's Pulumi.yaml, or one below it",
            fix="`cd` there, then the same command",
        )
    return Stack(stack, PROJECT, {"AWS_PROFILE": profile} if profile else {})


def stack_settings(stack: str, region: str | None = None) -> Settings:
    """The settings of a stack, as if for another region where one is named.

    The zones of a stack file belong to its own region; in another one the defaults stand in for them.

    Raises:
        UserError: unknown stack, or settings that are wrong.
    """
    settings = load_stack_file(stack_file(stack))
    known_region(settings.region, "region")
    if region in (None, settings.region):
        return settings
    network = settings.network.model_copy(update={"zones": (), "existing": None})
    return settings.model_copy(update={"region": region, "network": network})


def stack_names() -> list[str]:
    """Stacks that have a file in this project."""
    return sorted(stack_name(path.name) for path in PROJECT.glob("Pulumi.*.yaml"))


def regions_of(stack: str | None, regions: Sequence[str] | None) -> list[str]:
    """The regions to look in: those named, else the stack's own, else those of all stack files.

    Raises:
        UserError: no region is named, and the stack has no file (any more), or the project none at all.
    """
    if regions:
        return list(dict.fromkeys(regions))
    names = [stack] if stack else stack_names()
    if stack and not stack_file(stack).exists():
        raise UserError.of(
            key="--region",
            wrong=f"stack {stack} has no file that would name its region",
            allowed="one or more --region",
            fix="name each region that the stack may have been in",
        )
    if not names:
        raise UserError.of(
            key="--region",
            wrong="no region is named, and there is no stack file here that would",
            value=str(PROJECT),
            allowed="one or more --region",
            fix="name each region to look in, or call it in the project's directory",
        )
    return list(dict.fromkeys(load_stack_file(stack_file(name)).region for name in names))


def write_file(path: Path, text: str, option: str) -> None:
    """Writes what an option names a file for.

    Raises:
        UserError: it cannot be written.
    """
    with writing(path, option):
        path.write_text(text, encoding="utf-8")


@contextmanager
def writing(path: Path, option: str, allowed: str = "a file in a directory that exists") -> Iterator[None]:
    """What is written where an option says.

    Raises:
        UserError: it cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError.of(
            key=option,
            wrong=f"cannot be written ({error.strerror})",
            value=str(path),
            allowed=allowed,
            fix="name another one",
        ) from None


def print_json(value: Any) -> None:
    """JSON as programs read it and people can: keys in camelCase, as in stack files."""
    typer.echo(json.dumps(camel(value), indent=2, default=str))


def camel(value: Any) -> Any:
    """Field names become camelCase; keys that are names of things, such as regions, have no underscore."""
    if isinstance(value, Mapping):
        return {_camel_key(str(key)): camel(one) for key, one in value.items()}
    return [camel(one) for one in value] if isinstance(value, list | tuple) else value


def _camel_key(key: str) -> str:
    return re.sub(r"(?<=[a-z0-9])_([a-z0-9])", lambda match: match[1].upper(), key)
