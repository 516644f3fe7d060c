"""`tandem keys`: who may use a stack."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from tandem.errors import UserError
from tandem.ops import key_store, keys
from tandem.ops.aws import aws_clients
from tandem.ops.key_store import Store
from tandem.ops.keys import Client, Document, Key
from tandem.ops.options import AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.screen import Screen, columns
from tandem.ops.whose import life_here
from tandem.settings import Settings
from tandem.settings.types import REQUEST_RATES, STREAMS

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Who may use a stack: keys that start and stop working within a minute.",
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the client, as logs and metrics show it.")]


def _one_of(numbers: Sequence[int]) -> Callable[[str], int]:
    """Parses one of these numbers."""

    def number(text: str) -> int:
        if text not in (allowed := [str(one) for one in numbers]):
            raise typer.BadParameter(f"{text!r} is none of {', '.join(allowed)}")
        return int(text)

    return number


@dataclass(frozen=True)
class _Stack:
    settings: Settings
    store: Store
    now: datetime


@app.command()
def add(
    stack: StackName,
    name: Name,
    requests_per_second: Annotated[
        int | None,
        typer.Option(metavar="1|2|5|...|1000", parser=_one_of(REQUEST_RATES), help="Above this: 429, at each edge."),
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option(metavar="1|2|4|...|512", parser=_one_of(STREAMS), help="Requests at once, likewise."),
    ] = None,
    models: Annotated[
        list[str] | None, typer.Option("--model", help="It may ask for this model only; repeatable. Every model else.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="30d", help="When the key expires: after a time, or at a moment.")
    ] = None,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Make a client and its key, which is printed this once and stored nowhere.

    Only the key is printed on standard output. It works on every server of the stack within a minute.

    Exit status: 0 it has a key, 2 a mistake, the name is taken, or AWS refused.

    Examples: `KEY=$(tandem keys add dev me)`, `tandem keys add prod alice --streams 4 --until 30d`.
    """
    found = _of(stack, region, profile)
    for model in models or ():
        _refuse_unserved(model, found.settings)
    end = keys.moment(until, found.now) if until else None

    def changed(document: Document, made: Key) -> Document:
        limits = {
            "requests_per_second": requests_per_second,
            "streams": streams,
            "models": tuple(dict.fromkeys(models)) if models else None,
        }
        return keys.add(document, name, Client(keys=(made.model_copy(update={"until": end}),), **limits), found.now)

    _issue(found, name, changed, as_json)


@app.command()
def rotate(
    stack: StackName,
    name: Name,
    overlap: Annotated[
        str, typer.Option(metavar="24h", help="How long the old keys keep working; 0m ends them at once.")
    ] = "24h",
    until: Annotated[
        str | None, typer.Option(metavar="30d", help="The new key's end; where all old ones had one, the last of them.")
    ] = None,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Give a client a new key beside its old ones, which end after a while.

    Limits stay. Where all old keys had an end, the new one has the last of them, or --until. For a key that leaked,
    `revoke` it.

    Exit status: 0 it has a new key, 2 a mistake, there is no such client, or AWS refused.

    Examples: `KEY=$(tandem keys rotate prod alice)`, `tandem keys rotate prod alice --overlap 7d --until 365d`.
    """
    beside = keys.span(overlap, "--overlap")
    found = _of(stack, region, profile)
    end = keys.moment(until, found.now) if until else None
    _issue(found, name, lambda before, made: keys.rotate(before, name, made.sha256, found.now, beside, end), as_json)


@app.command()
def revoke(
    stack: StackName,
    name: Name,
    key: Annotated[
        str | None,
        typer.Option(metavar="DIGEST", help="Only the key whose digest begins like this, as `list` shows it."),
    ] = None,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """End a client's keys, all or one; every server refuses them within a minute.

    Answers that are on their way are finished or cut, as `edge.revokedStreams` says. Nobody else notices. Keys that the
    settings declare go on; which ones, and what ends them, is said.

    Exit status: 0 they are ended, 2 a mistake, there is no such client or key, or AWS refused.

    Examples: `tandem keys revoke prod alice`, `tandem keys revoke prod alice --key 1f3a9c02`.
    """
    found, gone = _of(stack, region, profile), list[Key]()

    def changed(document: Document) -> Document:
        made = keys.revoke(document, name, key)
        left = made.clients.get(name, Client(keys=())).keys
        gone[:] = [one for one in document.clients[name].keys if one not in left]
        return made

    found.store.change(changed, found.now)
    good = keys.still_good(keys.declared(found.settings.clients), name, gone)
    ended = [one for one in gone if one.sha256 not in good]
    if as_json:
        print_json({"client": name, "revoked": _short(one.sha256 for one in ended), "declared": _short(good)})
        return
    screen = Screen()
    if ended:
        screen.print(f"{name}: {keys.shown(ended)} refused on every server within a minute")
    for sha256, owner in good.items():
        screen.print(
            f"{sha256[: keys.SHOWN]} goes on: the settings declare it. Take it out of clients.{owner}.sha256 in the "
            "stack's file, then `pulumi up`; no server restarts.",
            style="yellow",
        )


@app.command("list")
def list_(stack: StackName, region: RegionName = None, profile: ProfileName = None, as_json: AsJson = False) -> None:
    """Show a stack's clients, also those in its settings: when their keys were made and expire, and their limits.

    A key is shown by the first eight digits of its SHA-256, which is all that is known of it.

    Exit status: 0, or 2 where AWS did not tell.

    Examples: `tandem keys list prod`, `tandem keys list prod --json`.
    """
    found = _of(stack, region, profile)
    issued, declared = found.store.read()[0], keys.declared(found.settings.clients)
    rows = [*_rows(declared, "declared", found.now), *_rows(issued, "issued", found.now)]
    both = {sha256: name for sha256, name in keys.owners(issued).items() if sha256 in keys.owners(declared)}
    if as_json:
        print_json({"stack": stack, "keys": rows, "both": _short(both)})
        return
    table = columns("client", "key", "from", "made", "until", "requests/s", "streams", "models")
    for row in rows:
        cells = [row[name] for name in ("made", "until", "requestsPerSecond", "streams")]
        style = "" if row["works"] else "dim"
        texts = [str(cell or "") for cell in cells]
        table.add_row(row["client"], row["key"], row["from"], *texts, ", ".join(row["models"] or ()), style=style)
    screen = Screen()
    screen.print(table if rows else f"No client yet: `tandem keys add {stack} NAME` makes one.")
    for sha256, name in both.items():
        screen.print(
            f"{sha256[: keys.SHOWN]} is both, and then the settings say whose it is ({keys.owners(declared)[sha256]}): "
            f"`tandem keys revoke {stack} {name} --key {sha256[: keys.SHOWN]}` leaves it to them.",
            style="yellow",
        )


@app.command()
def digest(as_json: AsJson = False) -> None:
    """Read a key from standard input, and print the digest by which the settings declare it.

    Exit status: 0, or 2 where it is no key that a header could carry.

    Examples: `tandem keys digest < key.txt`, `pass show alice | tandem keys digest`.
    """
    found = keys.digest(sys.stdin.read().rstrip("\r\n"))
    print_json({"sha256": found}) if as_json else typer.echo(found)


def _of(stack: str, region: str | None, profile: str | None) -> _Stack:
    settings = stack_settings(stack, region)
    store = key_store.find(aws_clients(settings.region, profile), stack, life_here(stack))
    return _Stack(settings, store, datetime.now(UTC).replace(microsecond=0))


def _issue(found: _Stack, name: str, change: Callable[[Document, Key], Document], as_json: bool) -> None:
    """The key once on standard output, and nothing else there."""
    key = keys.new_key()
    made = Key(sha256=keys.digest(key), made=found.now)
    document = found.store.change(lambda before: change(before, made), found.now)
    client = document.clients[name]
    (made,) = [one for one in client.keys if one.sha256 == made.sha256]
    end = f"until {made.until:%Y-%m-%dT%H:%MZ}" if made.until else "without an end"
    screen = Screen(stderr=True)
    screen.print(f"{name} has the key {keys.shown([made])}, {end}; it works on every server within a minute.")
    screen.print("It is shown this once, and stored nowhere.")
    if name in found.settings.clients:
        screen.print(f"The settings declare {name}, too: their keys work beside it, and limits that they set win.")
    if as_json:
        print_json({"client": name, "key": key, "sha256": made.sha256, "until": _text(made.until)})
    else:
        typer.echo(key)


def _short(digests: Iterable[str]) -> list[str]:
    return [one[: keys.SHOWN] for one in digests]


def _refuse_unserved(model: str, settings: Settings) -> None:
    if model not in settings.names_served:
        raise UserError.of(
            key="--model",
            wrong="is not served by this stack",
            value=model,
            allowed=", ".join(settings.names_served),
            fix="the name that clients send as `model`",
        )


def _rows(document: Document, source: str, now: datetime) -> Iterable[dict[str, Any]]:
    for name, client in sorted(document.clients.items()):
        for key in client.keys:
            yield {
                "client": name,
                "key": keys.shown([key]),
                "from": source,
                "made": _text(key.made),
                "until": _text(key.until),
                "works": key.works(now),
                "requestsPerSecond": client.requests_per_second,
                "streams": client.streams,
                "models": client.models and list(client.models),
            }


def _text(moment: datetime | None) -> str | None:
    return moment and f"{moment:%Y-%m-%dT%H:%M:%SZ}"
