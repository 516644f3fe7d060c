"""`tandem smoke`: whether an API does what its clients expect, and nothing that strangers hope for."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem.errors import UserError
from tandem.ops import endpoint, key_store
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.endpoint import KEY_VARIABLE
from tandem.ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.screen import Screen
from tandem.ops.smoke import Result, Smoke, Surprise, Target, run, send
from tandem.ops.smoke.script import script
from tandem.ops.tasks import called
from tandem.ops.whose import life_here
from tandem.settings import Settings
from tandem.tasks import Task

OWN_CLIENT = "tandem-smoke"
"""Whose name is in logs and metrics while the stack is tried with a key of its own."""
TIMEOUT_SECONDS = 120
KNOWN_WITHIN_SECONDS = 60
"""In which every server knows a new key."""
ASKED_EACH = 6
"""Times the number of servers: so often in a row a new connection must be let in. One that does not know the key yet is
missed by all of them once in 400 times where the load balancer draws lots; it takes turns."""
ModelName = Annotated[str | None, typer.Option(help="Model to ask; the first that the API lists by default.")]
KeyFile = Annotated[Path | None, typer.Option(metavar="FILE", help="Holds a key; as for `smoke`.")]
Authority = Annotated[Path | None, typer.Option(metavar="FILE.pem", help="Trust this certificate authority, too.")]
_COLOURS = {"ok": "green", "surprise": "red", "skipped": "cyan"}


def smoke(
    stack: StackName = DEFAULT_STACK,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Test this API instead of the stack's.")] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"Holds a key; else {KEY_VARIABLE} does."),
    ] = None,
    ca: Authority = None,
    model: ModelName = None,
    task: Annotated[Task | None, typer.Option(help="What it does; else as the settings say.")] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds for one connection and one pause.")] = TIMEOUT_SECONDS,
    as_script: Annotated[
        bool, typer.Option("--script", help="Print the checks as one file of Python without dependencies, and end.")
    ] = False,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Ask an API for what clients want and for what nobody should get, and exit 1 on any surprise.

    A chat, a stream, a structured output, a long prompt, a client that hangs up, or vectors and scores of a model that
    makes those; a wrong key, forbidden paths and tricks with paths; certificate and headers. Works against any URL
    (--task for what does not generate). Without --url, the stack's load balancer and its certificate are found in the
    account by their tags; without a key of yours it makes one for itself, `tandem-smoke` in logs, which it revokes at
    the end, also when interrupted, and which ends after 15 minutes by itself.

    Exit status: 0 no surprise, 1 a surprise, 2 a mistake in how it was called.

    Examples: `tandem smoke dev`, `tandem smoke --url https://llm.example.com --api-key-file key.txt`,
    `TANDEM_API_KEY=... tandem smoke --url http://localhost:8000 --json`, `tandem smoke --script > smoke.py`.
    """
    if as_script:
        typer.echo(script(), nl=False)
        return
    console, results = Screen(), []
    key = key_of_caller(api_key_file)
    if url:
        tried = nullcontext(given(url, key, ca, timeout))
    else:
        settings = stack_settings(stack, region)
        own = settings.of(called(settings, model))
        task = task or own.inference.task
        tried = of_stack(stack, own, profile, key=key, ca=ca, timeout=timeout)
    with tried as target:
        for result in run(Smoke(target, model, task or "generate")):
            results.append(result)
            if not as_json:
                show(console, result)
    if as_json:
        print_json({"url": target.url, "results": [result.as_json() for result in results]})
    raise typer.Exit(1 if any(result.outcome == "surprise" for result in results) else 0)


def key_of_caller(file: Path | None) -> str:
    """The caller's own; empty where there is none."""
    return (_read(file, "--api-key-file") if file else os.environ.get(KEY_VARIABLE, "")).strip()


def given(url: str, key: str, ca: Path | None, timeout: float) -> Target:
    """An API by its address.

    Raises:
        UserError: it is none, or there is no key.
    """
    if not url.startswith(("http://", "https://")):
        raise UserError.of(
            key="--url", wrong="is not a URL", value=url, allowed="https://HOST, with :PORT where it needs one"
        )
    if not key:
        raise UserError.of(
            key="--api-key-file",
            wrong="there is no API key",
            allowed=f"a file with the key, or the variable {KEY_VARIABLE}",
            fix=f"`export {KEY_VARIABLE}=$(tandem keys add STACK NAME)` makes one",
        )
    return Target(url.rstrip("/"), key, _read(ca, "--ca") if ca else None, timeout)


@contextmanager
def of_stack(
    stack: str,
    settings: Settings,
    profile: str | None,
    *,
    key: str = "",
    ca: Path | None = None,
    timeout: float = TIMEOUT_SECONDS,
    client: str = OWN_CLIENT,
    lasting: timedelta = key_store.LENT_FOR,
) -> Iterator[Target]:
    """The stack's load balancer and its certificate, as its tags tell of them, with a key while the block runs.

    Args:
        key: the caller's; empty has one made, which every server knows, and which is gone after the block.
        client: whose it then is in logs.
        lasting: when it ends by itself, should this process be killed.

    Raises:
        UserError: there is none, or AWS refuses.
    """
    clients, life = aws_clients(settings.region, profile), life_here(stack)
    with user_errors(stack):
        found = endpoint.find(clients, stack, settings.load_balancer.domain_name, life)
        servers = endpoint.servers(clients, stack, life)
        if found is None:
            raise UserError.of(
                key=stack,
                wrong=f"the stack has no load balancer in {settings.region}",
                allowed="a stack that is up, or --url",
                fix="`pulumi up`, or name another --region or --profile",
            )
    trusted = _read(ca, "--ca") if ca else found.ca_pem
    with nullcontext(key) if key else key_store.lent(key_store.find(clients, stack, life), client, lasting) as one:
        target = Target(found.url, one, trusted, timeout, found.internal)
        if not key:
            wait_until_known(target, servers)
        yield target


def listed(target: Target, name: str | None) -> dict[str, Any]:
    """What the API says of a model, or of the first that it has.

    Raises:
        UserError: it does not answer, or has no such model.
    """
    try:
        models = send(target, "GET", "/v1/models").expect(200).json()["data"]
        found = next((one for one in models if name in (None, one["id"])), None)
        allowed = ", ".join(one["id"] for one in models)
    except (Surprise, KeyError, TypeError) as error:
        raise no_answer(target, error) from None
    if found is None:
        raise UserError.of(key="--model", wrong="the API has no such model", value=name, allowed=allowed)
    return found


def no_answer(target: Target, error: Exception) -> UserError:
    """An API that answers otherwise than an API does."""
    fix = "`tandem smoke` says what is wrong with it"
    return UserError.of(key=target.url, wrong="does not answer", value=str(error), fix=fix)


def wait_until_known(
    target: Target,
    servers: int,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Until a new key is let in by every server, or for so long as that may take; what else is wrong, checks tell."""
    end, row = clock() + KNOWN_WITHIN_SECONDS, 0
    while row < ASKED_EACH * max(servers, 1) and clock() < end:
        try:
            status = send(target, "GET", "/v1/models").status
        except Surprise:
            return
        if status not in (200, 401, 429):
            return
        row = row + 1 if status == 200 else 0  # 429 is what an address gets that the edge has often refused
        sleep(0.1 if status == 200 else 1)


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise UserError.of(
            key=option, wrong=f"cannot be read ({reason})", value=str(path), allowed="a readable text file"
        ) from None


def show(console: Screen, result: Result) -> None:
    """One check, in a line."""
    console.marked(f"{result.outcome:<9}", _COLOURS[result.outcome], result.line())
