"""`tandem ephemeral`: stacks that end by themselves, with the laptop that made them switched off."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from tandem import costs, lifetime
from tandem.errors import UserError
from tandem.loading import load_stack_file
from tandem.ops import ephemeral, options, stackfile
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.commands.ephemeral_down import down
from tandem.ops.ephemeral import life, wait_for_token
from tandem.ops.options import AsJson, ProfileName, RegionName, RegionNames, named, print_json, regions_of, stack_file
from tandem.ops.resuming import resume
from tandem.ops.screen import Screen, columns, continued
from tandem.ops.status import Status, Unknown, look
from tandem.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Stacks for an hour or an afternoon, which end by themselves."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `tandem ephemeral list` shows it.", callback=named)]
Ttl = typer.Option("--ttl", metavar="4h", help="Life from the first `up`: minutes, hours or days (90m, 4h, 2d).")
MaxUsd = typer.Option("--max-usd", metavar="30", min=0.01, help="Spend cap in US dollars; the sooner of the two wins.")


@app.command()
def up(
    ttl: Annotated[str, Ttl] = "4h",
    max_usd: Annotated[float, MaxUsd] = 30,
    model: Annotated[str | None, typer.Option(help="Another model than the source's, organisation/name.")] = None,
    name: Annotated[str | None, typer.Option(help="Go on with a stack whose `up` was interrupted.")] = None,
    source: Annotated[str, typer.Option("--from", metavar="STACK", help="The stack whose settings it takes.")] = "dev",
    wait: Annotated[bool, typer.Option(help="Wait for the first token.")] = True,
    wait_minutes: Annotated[float, typer.Option(min=1, help="Minutes to wait at most; the stack stays.")] = 60,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Make a stack with a random name from dev's settings, and wait for its first token.

    Schedules in the account set its fleet to 0 at the sooner of TTL and cap, whatever happens to this machine, and
    warn by SNS half an hour before (costGuard.alertEmails of the source). What still stands then goes with
    `tandem ephemeral down` or `tandem reap`. Interrupted, it is continued with --name.

    Exit status: 0 it made a token (or --no-wait), 1 none came in time, 130 interrupted.

    Examples: `tandem ephemeral up --ttl 4h --max-usd 30`, `tandem ephemeral up --model Qwen/Qwen3-14B --ttl 90m`.
    """
    screen, known = Screen(stderr=True), name is not None
    name = name or ephemeral.random_name()
    engine = options.engine(name, profile)
    path = ephemeral.file(name) if known else stack_file(name)
    with continued(screen, f"tandem ephemeral up --name {name}"):
        if not known:
            made = ephemeral.draft(stack_file(source), ttl, max_usd, model, region)
            aws_clients(made.settings.region, profile)  # before there is a file of a stack that never came up
            for line in made.dropped:
                screen.print(f"left behind, it is {source}'s own: {line}")
            # The file first: whatever happens from here on, this stack has a name and can be taken down by it.
            stackfile.write(path, made.text(f"{ephemeral.MADE_BY} from {source}; it ends by itself."))
        settings = load_stack_file(path)
        _announce(screen, name, settings)
        engine.init()
        for key in stackfile.missing_secrets(stack_file(source), path):
            engine.copy_secret(key, source)
        resume(aws_clients(settings.region, profile), engine, screen.print)
        engine.up(screen.print)
        found = _wait(screen, name, settings, profile, wait, wait_minutes * 60)
    _tell(name, settings, profile, found, as_json)
    if wait and found is None:
        raise typer.Exit(1)


@app.command()
def extend(
    name: Name,
    ttl: Annotated[str | None, Ttl] = None,
    max_usd: Annotated[float | None, MaxUsd] = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Let a stack live longer; also after its expiry, as long as nobody has removed it.

    TTL and cap count from the first `up`, not from now, so the same command twice is the same as once.

    Exit status: 0 it lives longer, 130 interrupted, 2 a mistake, or `pulumi` or AWS refused.

    Examples: `tandem ephemeral extend eph-3f9a2c --ttl 8h --max-usd 50`.
    """
    screen, engine, path = Screen(stderr=True), options.engine(name, profile), ephemeral.file(name)
    if ttl is None and max_usd is None:
        raise UserError.of(key="extend", wrong="says neither how long nor how much", allowed="--ttl, --max-usd")
    clients = aws_clients(load_stack_file(path).region, profile)  # before the file says what `up` could not do
    made = ephemeral.extended(path, ttl, max_usd)
    with continued(screen, f"tandem ephemeral extend {name} with the same options"):
        whose = ephemeral.MADE_BY if ephemeral.made_here(path) else "Made by hand"
        stackfile.write(path, made.text(f"{whose}, extended since; it ends by itself."))
        settings = load_stack_file(path)
        _announce(screen, name, settings)
        resume(clients, engine, screen.print)
        # The schedule may have stopped the fleet, which the state does not know.
        engine.up(screen.print, refresh=True)
    _tell(name, settings, profile, None, as_json)


@app.command("list")
def list_(regions: RegionNames = None, profile: ProfileName = None, as_json: AsJson = False) -> None:
    """Show the account's ephemeral stacks, whoever made them, and files of stacks that are not up.

    Exit status: 0, or 2 where AWS did not tell.

    Examples: `tandem ephemeral list`, `tandem ephemeral list --region us-east-1 --region eu-west-1 --json`.
    """
    rows: list[dict[str, Any]] = []
    for region in regions_of(None, regions):
        with user_errors(region):
            for row in ephemeral.rows(aws_clients(region, profile)):
                usd = _cost_so_far(row.stack, profile)
                rows.append({"stack": row.stack, "region": region, "expiresAt": row.expires_at, "hosts": row.hosts})
                rows[-1]["costSoFar"] = usd
    up = {row["stack"] for row in rows}
    files = [stack for stack in options.stack_names() if stack.startswith(ephemeral.PREFIX) and stack not in up]
    if as_json:
        print_json({"stacks": rows, "notUp": files})
        return
    table = columns("stack", "region", "expires", "hosts", "cost so far")
    for row in rows:
        table.add_row(row["stack"], row["region"], _when(row["expiresAt"]), str(row["hosts"]), _usd(row["costSoFar"]))
    console = Screen()
    console.print(table if rows else "No ephemeral stack in the regions looked at.")
    for stack in files:
        console.print(f"{stack} has a file and is not up: `tandem ephemeral down {stack} --yes` forgets it.")


app.command()(down)


def _announce(console: Screen, name: str, settings: Settings) -> None:
    console.print(
        f"{name} in {settings.region}: {settings.inference.model} on {', '.join(settings.fleet.instance_types)}, "
        f"${costs.max_usd_per_hour(settings):.2f} an hour at most, stops {life(settings)} after its first `up`: "
        f"${lifetime.usd_at_most(settings, life(settings)):.2f} at most."
    )


def _wait(
    console: Screen, name: str, settings: Settings, profile: str | None, wait: bool, deadline_seconds: float
) -> Status | None:
    if not wait:
        return None
    clients = aws_clients(settings.region, profile)
    started = time.monotonic()

    def told(status: Status) -> None:
        servers = status.servers
        states = (
            str(servers)
            if isinstance(servers, Unknown)
            else ", ".join(machine.state for machine in servers.machines) or "none"
        )
        console.print(f"{time.monotonic() - started:6.0f} s  hosts: {states}; {status.last_token}")

    console.print("Waiting for the first token: driver, 12 GB of image and the model take 15 to 40 minutes.")
    return wait_for_token(
        lambda: look(clients, name, settings, datetime.now(UTC)),
        told,
        deadline_seconds=deadline_seconds,
        clock=time.monotonic,
        sleep=time.sleep,
    )


def _tell(name: str, settings: Settings, profile: str | None, found: Status | None, as_json: bool) -> None:
    """What one needs of a stack: where it is, what it has cost, when it ends."""
    status = found or look(aws_clients(settings.region, profile), name, settings, datetime.now(UTC), probe=False)
    usd = None if isinstance(status.cost_so_far, Unknown) else round(status.cost_so_far, 2)
    if as_json:
        report = {"stack": name, "region": settings.region, "url": str(status.url), "costSoFar": usd}
        print_json({**report, "expiresAt": str(status.expires_at), "firstToken": found is not None})
        return
    console = Screen()
    console.print(f"url          {status.url}")
    console.print(f"cost so far  {_usd(usd)}")
    console.print(f"stops        {status.expires_at}")
    console.print(f"key          tandem keys add {name} me")
    console.print(f"next         tandem status {name}; tandem smoke {name}; tandem ephemeral down {name}")


def _cost_so_far(name: str, profile: str | None) -> float | None:
    """Of a stack whose settings are here; others' settings are not known."""
    path: Path = stack_file(name)
    if not path.exists():
        return None
    settings = load_stack_file(path)
    usd = look(aws_clients(settings.region, profile), name, settings, datetime.now(UTC), probe=False).cost_so_far
    return None if isinstance(usd, Unknown) else round(usd, 2)


def _usd(usd: float | None) -> str:
    return "unknown" if usd is None else f"${usd:,.2f} or more"


def _when(moment: datetime | None) -> str:
    return "unknown" if moment is None else f"{moment:%Y-%m-%d %H:%MZ}"
