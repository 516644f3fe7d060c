"""`tandem smoke`: whether an API does what its clients expect, and nothing that strangers hope for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from infra.errors import Problem, UserError
from infra.settings import Settings
from ops import endpoint
from ops.aws import aws_clients, user_errors
from ops.endpoint import key_of
from ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from ops.screen import Screen
from ops.smoke import Result, Smoke, Target, run

KEY_VARIABLE = "TANDEM_API_KEY"
TIMEOUT_SECONDS = 120
_COLOURS = {"ok": "green", "surprise": "red", "skipped": "cyan"}


def smoke(
    stack: StackName = DEFAULT_STACK,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Test this API instead of the stack's.")] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"Holds the API key, or a JSON object of keys; else {KEY_VARIABLE} does."),
    ] = None,
    ca: Annotated[Path | None, typer.Option(metavar="FILE.pem", help="Trust this certificate authority, too.")] = None,
    model: Annotated[str | None, typer.Option(help="Model to ask; the first that the API lists by default.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one connection and one pause.")] = TIMEOUT_SECONDS,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Ask an API for what clients want and for what nobody should get, and exit 1 on any surprise.

    A chat, a stream, a structured output, a long prompt, a client that hangs up; a wrong key, forbidden paths and
    tricks with paths; certificate and headers. Works against any URL. Without --url, the stack's load balancer, its
    certificate and its key are found in the account by their tags. The key is never printed.

    Exit status: 0 no surprise, 1 a surprise, 2 a mistake in how it was called.

    Examples: `tandem smoke dev`, `tandem smoke --url https://llm.example.com --api-key-file key.txt`,
    `TANDEM_API_KEY=... tandem smoke --url http://localhost:8000 --json`.
    """
    if url:
        target = _given(url, api_key_file, ca, timeout)
    else:
        target = of_stack(stack, stack_settings(stack, region), profile, ca, timeout)
    console, results = Screen(), []
    for result in run(Smoke(target, model)):
        results.append(result)
        if not as_json:
            show(console, result)
    if as_json:
        print_json({"url": target.url, "results": [result.as_json() for result in results]})
    raise typer.Exit(1 if any(result.outcome == "surprise" for result in results) else 0)


def _given(url: str, api_key_file: Path | None, ca: Path | None, timeout: float) -> Target:
    if not url.startswith(("http://", "https://")):
        raise UserError(
            Problem(key="--url", wrong="is not a URL", value=url, allowed="https://HOST, with :PORT where it needs one")
        )
    text = _read(api_key_file, "--api-key-file") if api_key_file else os.environ.get(KEY_VARIABLE, "")
    if not text.strip():
        raise UserError(
            Problem(
                key="--api-key-file",
                wrong="there is no API key",
                allowed=f"a file with the key, or the variable {KEY_VARIABLE}",
                fix="`pulumi stack output apiKeyCommand` prints the command that shows the key",
            )
        )
    return Target(url.rstrip("/"), key_of(text), _read(ca, "--ca") if ca else None, timeout)


def of_stack(
    stack: str, settings: Settings, profile: str | None, ca: Path | None = None, timeout: float = TIMEOUT_SECONDS
) -> Target:
    """The stack's load balancer, its certificate and its key, as its tags tell of them.

    Raises:
        UserError: there is none, or AWS refuses.
    """
    clients = aws_clients(settings.region, profile)
    with user_errors(stack):
        found = endpoint.find(clients, stack, settings.load_balancer.domain_name)
        if found is None:
            raise UserError(
                Problem(
                    key=stack,
                    wrong=f"the stack has no load balancer in {settings.region}",
                    allowed="a stack that is up, or --url",
                    fix="`pulumi up`, or name another --region or --profile",
                )
            )
        key = endpoint.api_key(clients, stack)
    return Target(found.url, key, _read(ca, "--ca") if ca else found.ca_pem, timeout)


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError(
            Problem(key=option, wrong=f"cannot be read ({reason})", value=str(path), allowed="a readable text file")
        ) from None


def show(console: Screen, result: Result) -> None:
    """One check, in a line."""
    text = f"{result.check:<19}{result.seconds:6.2f} s  {result.detail}"
    console.marked(f"{result.outcome:<9}", _COLOURS[result.outcome], text)
