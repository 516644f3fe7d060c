"""`tandem pin`: looks up image digests, model revisions, machine images and package versions for images/pins.toml."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from tandem import pins
from tandem.catalog import prices as catalog
from tandem.errors import UserError, merged
from tandem.http import Http
from tandem.ops import newer_kubernetes, price_list
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.options import AsJson, ProfileName, print_json
from tandem.ops.pin import Row, Selection, run
from tandem.ops.price_list import Change
from tandem.ops.screen import Screen, columns

_STYLES = {"written": "green", "empty": "yellow", "outdated": "yellow", "failed": "red"}


def pin(
    image: Annotated[bool, typer.Option("--image", help="The vLLM image's digest.")] = False,
    packages: Annotated[bool, typer.Option("--packages", help="Driver, container toolkit and Docker.")] = False,
    region: Annotated[
        list[str] | None, typer.Option(help="Machine images, or prices, of this region. Repeatable.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="Revision of this Hub model. Repeatable.")] = None,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="What platform eks needs: charts, add-ons, node images.")
    ] = False,
    to: Annotated[
        str | None,
        typer.Option(help="With --kubernetes: the next minor version, such as 1.36, and all pins that belong to it."),
    ] = None,
    prices: Annotated[
        bool, typer.Option("--prices", help="List prices of --region, or of all known regions, from AWS's price list.")
    ] = False,
    update: Annotated[bool, typer.Option("--update", help="Look up again what is already pinned.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 when a pin is empty or out of date.")
    ] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Look nothing up; exit 1 when a pin is empty.")] = False,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Look up the pins that images/pins.toml still lacks, and write them with day and source.

    Without options, every empty pin that platform ec2 needs; `--kubernetes` those of platform eks. Asks the image
    registry, the model hub (HF_TOKEN for gated models), the package and chart repositories, and AWS with the
    credentials of the shell. Each pin is written as soon as it is known. `--prices` is a run of its own: it reads what
    a region asks for instances and for all else, and writes tandem/catalog/prices.json. `--kubernetes --to` writes a
    newer Kubernetes with its node images, add-ons and charts, all or nothing.

    Exit status: 0 all is pinned, 1 with --check or --offline something is empty or out of date, 2 a look-up failed.

    Examples: `tandem pin`, `tandem pin --region eu-west-1 --model Qwen/Qwen3-8B`, `tandem pin --image --update`,
    `tandem pin --prices --region eu-west-1`, `tandem pin --check`, `tandem pin --kubernetes --to 1.36`.
    """
    if prices:
        _prices(region, profile, check=check, as_json=as_json)
        return
    if to is not None:
        _newer_kubernetes(to, alone=kubernetes and not (check or offline), as_json=as_json)
        return
    selection = Selection(
        image=image,
        packages=packages,
        regions=tuple(region or ()),
        models=tuple(model or ()),
        kubernetes=kubernetes,
    )
    mode = "list" if offline else "check" if check else "update" if update else "fill"
    progress = Screen(stderr=True)
    with progress.status("looking up pins") as status:
        rows = run(
            pins.pins_path(),
            selection,
            mode,
            Http(),
            datetime.now(UTC).date(),
            lambda row: status.update(f"{row.pin.key}: {row.outcome}"),
        )
    problems = [row.problem for row in rows if row.problem]
    if as_json:
        causes = [asdict(problem) for problem in merged(problems)]
        print_json({"pins": [_as_json(row) for row in rows], "problems": causes})
    else:
        Screen().print(_table(rows))
    if problems:
        raise UserError(*problems)
    if any(row.outcome in ("empty", "outdated") for row in rows):
        raise typer.Exit(1)


def _newer_kubernetes(version: str, *, alone: bool, as_json: bool) -> None:
    if not alone:
        raise UserError.of(
            key="--to",
            wrong="moves all pins of platform eks, and writes them",
            value=version,
            allowed="with --kubernetes, without --check and --offline",
            fix=f"`tandem pin --kubernetes --to {version}`",
        )
    path, today = pins.pins_path(), datetime.now(UTC).date()
    with Screen(stderr=True).status(f"looking up Kubernetes {version}") as status:
        rows, support = newer_kubernetes.go_to(
            path, version, Http(), today, lambda row: status.update(f"{row.pin.key}: {row.outcome}")
        )
    if as_json:
        support_json = {"version": support.version, "standardSupportUntil": f"{support.standard_until}"}
        print_json({"pins": [_as_json(row) for row in rows], "kubernetes": support_json})
        return
    screen = Screen()
    screen.print(_table(rows))
    screen.print(
        f"Kubernetes {version} is in standard support until {support.standard_until}; then AWS upgrades the control "
        "plane by itself. docs/kubernetes.md has the way there."
    )


def _prices(regions: list[str] | None, profile: str | None, *, check: bool, as_json: bool) -> None:
    today, different = datetime.now(UTC).date(), []
    pricing = aws_clients(catalog.HOME, profile)("pricing")
    for region in regions or catalog.ON_DEMAND:
        with Screen(stderr=True).status(f"prices of {region}"), user_errors(f"prices of {region}"):
            found = price_list.region_prices(pricing, region)
        different += price_list.changes(region, found)
        if not check:
            price_list.write(catalog.PATH, region, found, today)
    if as_json:
        print_json({"prices": [asdict(change) for change in different]})
    else:
        Screen().print(_price_table(different) if different else "The catalog has the price list's figures.")
    if check and different:
        raise typer.Exit(1)


def _price_table(changes: list[Change]) -> Table:
    table = columns("region", "price", "catalog", "price list")
    for change in changes:
        old, new = (f"{usd:g}" if usd is not None else "-" for usd in (change.old, change.new))
        table.add_row(change.region, f"{change.kind} {change.name}", old, new)
    return table


def _as_json(row: Row) -> dict[str, str]:
    return {
        "pin": row.pin.key,
        "outcome": row.outcome,
        "old": row.pin.value,
        "new": row.new,
        "source": row.source or row.pin.source,
    }


def _table(rows: list[Row]) -> Table:
    table = columns("pin", "outcome", "old", "new", "source")
    for row in rows:
        table.add_row(
            row.pin.key,
            row.outcome,
            _short(row.pin.value) or "-",
            _short(row.new) if row.new != row.pin.value else "",
            row.source or row.pin.source,
            style=_STYLES.get(row.outcome),
        )
    return table


def _short(value: str) -> str:
    """A digest or commit as people tell it apart; `--json` has it whole."""
    return value if len(value) <= 21 else f"{value[:19]}…"
