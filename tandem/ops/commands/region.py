"""`tandem region`: a stack's copies in other regions, added, looked at and removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from tandem import costs
from tandem.catalog.prices import source
from tandem.errors import UserError, merged
from tandem.loading import load_stack_file
from tandem.ops import leaving, options, others_objects, stackfile
from tandem.ops.aws import aws_clients, user_errors
from tandem.ops.doctor import Finding, examine, exit_status
from tandem.ops.doctor.examination import examination
from tandem.ops.kinds.kind import Clients
from tandem.ops.leaving import Removal
from tandem.ops.options import AsJson, ProfileName, Yes, named, print_json, stack_file
from tandem.ops.pulumi import Stack
from tandem.ops.recovery import stack_id
from tandem.ops.regions import NewRegion, new_region, offerings, stack_name
from tandem.ops.resuming import resume
from tandem.ops.screen import Screen, columns, continued
from tandem.ops.stackfile import Draft
from tandem.ops.status.row import Row, row
from tandem.ops.whose import own
from tandem.settings import Settings

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The same stack in several regions, behind one name."
)


@app.command()
def add(
    regions: Annotated[list[str], typer.Argument(metavar="REGION...", help="Where the stack is to stand, too.")],
    source: Annotated[str, typer.Option("--from", metavar="STACK", help="The stack whose settings it takes.")] = "prod",
    global_name: Annotated[
        str | None, typer.Option(help="One name for all regions; the source's globalName by default.")
    ] = None,
    at_a_time: Annotated[int, typer.Option(min=1, max=20, help="Regions that come up side by side.")] = 3,
    bring_up: Annotated[bool, typer.Option("--up/--no-up", help="Only write the files with --no-up.")] = True,
    yes: Yes = False,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Make and bring up a stack's copy in each region: prod in eu-west-1 becomes prod-eu-west-1.

    Works out what must differ (VPC range, zones, types that the region lacks, names) and shows it, then runs the
    doctor for the region. With --yes it writes the stack files, and runs `pulumi up`, for --at-a-time regions at once.
    A region whose file exists already is continued as that file says. Run it again after an interruption.

    Exit status: 0 all are up (or the plan is sound), 1 some are not, 2 the doctor found what would fail.

    Examples: `tandem region add eu-west-1 --from prod`, `tandem region add eu-west-1 ap-northeast-1 --yes`.
    """
    screen = Screen(stderr=True)
    with screen.status("looking at the regions"):
        made = _planned(source, list(dict.fromkeys(regions)), global_name, profile)
        findings = {one.stack: _examine(one, profile) for one in made}
    if not as_json:
        _show(Screen(), made, findings)
    broken = [stack for stack, found in findings.items() if exit_status(found) == 2]
    done: dict[str, Outcome] = {}
    if yes and not broken:
        for one in made:
            _write(one, source)
        if bring_up:
            done = _in_parallel(at_a_time, made, lambda one: _bring_up(screen, one, source, profile))
    if as_json:
        print_json(_plan_json(made, findings, done))
    for stack, outcome in done.items():
        screen.print(f"{stack}: {outcome.wrong or 'up'}, {outcome.seconds:.0f} s")
    if broken:
        screen.print(f"Nothing was changed: the doctor found what would fail in {', '.join(broken)}.")
    elif not yes:
        screen.print("Nothing was changed. To do this: the same command with --yes.")
    if broken:
        raise typer.Exit(2)
    raise typer.Exit(1 if any(outcome.wrong for outcome in done.values()) else 0)


@app.command("list")
def list_(
    probe: Annotated[bool, typer.Option(help="Ask each API for one token, with the stack's key.")] = False,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Show all stacks of this project with region, version, health and what they cost now.

    The cost is of what runs at this moment, at list prices on demand. What AWS does not tell is `unknown`, and why.

    Exit status: 0 every stack that is up serves with as much as it should, 1 one does not, or AWS does not tell, 2 AWS
    could not be asked at all.

    Examples: `tandem region list`, `tandem region list --probe --json`.
    """
    settings = {stack: load_stack_file(stack_file(stack)) for stack in options.stack_names()}
    with Screen(stderr=True).status("looking at all stacks"), ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda stack: row(stack, settings[stack], profile, probe=probe), settings))
    problems = [problem for row in rows for problem in row.problems]
    if rows and all(row.status is None for row in rows):
        raise UserError(*problems)
    if as_json:
        print_json({"stacks": [row.as_json() for row in rows]})
    else:
        _show_rows(Screen(), rows)
        for problem in merged(problems):
            Screen(stderr=True).print(f"not looked at: {problem}")
    raise typer.Exit(0 if all(row.well for row in rows) else 1)


@app.command()
def remove(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="Such as prod-eu-west-1.", callback=named)],
    drain_seconds: Annotated[
        int | None, typer.Option(min=0, help="Wait after its name is gone; by default TTL and longest answer.")
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Also when no other region serves behind the name: clients find nobody then.")
    ] = False,
    yes: Yes = False,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Take a region out of the global name, wait until its clients are elsewhere, then destroy its stack.

    Draining first means: its record goes, resolvers forget it, running answers end. Hosts drain once more when they
    leave. Without --yes the steps are shown. The last region that serves behind a name goes only with --last. What is
    protected stops it, with what lifts that. Model cache and access logs go where the stack is ephemeral, and stay
    otherwise. Run it again after an interruption: it goes on where it was, and drains again what had not been drained
    to its end.

    Exit status: 0 gone (or the plan was shown), 2 a mistake, or `pulumi` or AWS refused, 130 interrupted.

    Examples: `tandem region remove prod-eu-west-1`, `tandem region remove prod-eu-west-1 --yes`.
    """
    console, engine, path = Screen(stderr=as_json), options.engine(stack, profile), stack_file(stack)
    settings = load_stack_file(path)
    clients = aws_clients(settings.region, profile)
    wait = leaving.drain_seconds(settings) if drain_seconds is None else drain_seconds
    serving = _behind(stack, settings, profile)
    if settings.global_name is not None and leaving.phase(path) != "destroying" and not (serving or last):
        raise _last(stack, settings.global_name.domain_name)
    steps = _steps(stack, settings, serving, wait)
    for line in steps:
        console.print(line)
    if yes:
        _remove(console, clients, engine, wait)
        console.print(f"{stack} is gone. What it left: `tandem audit {stack} --region {settings.region}`")
    else:
        console.print(f"Nothing was changed. To do this: `tandem region remove {stack} --yes`.")
    if as_json:
        print_json({"stack": stack, "region": settings.region, "steps": steps, "removed": yes})


# -- add


def _planned(source: str, regions: Sequence[str], global_name: str | None, profile: str | None) -> list[NewRegion]:
    config = stackfile.read(stack_file(source))
    taken = [load_stack_file(stack_file(name)).network.cidr_block for name in options.stack_names()]
    made: list[NewRegion] = []
    for region in regions:
        name = stack_name(source, region)
        path = stack_file(name)
        if path.exists():
            draft = Draft(stackfile.read(path), load_stack_file(path))
            made.append(NewRegion(name, draft, ["its file is there already, and is taken as it is"]))
            continue
        with user_errors(region):
            offered = offerings(aws_clients(region, profile))
        made.append(new_region(name, config, region, taken, offered, global_name))
        taken.append(made[-1].settings.network.cidr_block)
    return made


def _examine(one: NewRegion, profile: str | None) -> list[Finding]:
    mine = own(options.engine(one.stack, profile))
    return examine(examination(one.stack, one.settings, profile, mine, ask=False))


def _write(one: NewRegion, source: str) -> None:
    path = stack_file(one.stack)
    if not path.exists():
        stackfile.write(path, one.draft.text(f"{source} in {one.settings.region}, made by `tandem region add`."))


def _bring_up(screen: Screen, one: NewRegion, source: str, profile: str | None) -> None:
    def told(line: str) -> None:
        screen.print(f"{one.stack}: {line}")

    engine = options.engine(one.stack, profile)
    engine.init()
    for key in stackfile.missing_secrets(stack_file(source), stack_file(one.stack)):
        engine.copy_secret(key, source)
    resume(aws_clients(one.settings.region, profile), engine, told)
    engine.up(told)


@dataclass(frozen=True)
class Outcome:
    """How a region came up: nothing wrong, or what; and how long that took."""

    wrong: str
    seconds: float


def _in_parallel(
    at_a_time: int, made: Sequence[NewRegion], bring_up: Callable[[NewRegion], None]
) -> dict[str, Outcome]:
    """Each stack's outcome; one that fails leaves the others to go on."""

    def one(new: NewRegion) -> Outcome:
        started, wrong = time.monotonic(), ""
        try:
            bring_up(new)
        except UserError as error:
            wrong = str(error)
        return Outcome(wrong, round(time.monotonic() - started, 1))

    with ThreadPoolExecutor(at_a_time) as pool:
        return dict(zip([new.stack for new in made], pool.map(one, made), strict=True))


def _show(console: Screen, made: Sequence[NewRegion], findings: dict[str, list[Finding]]) -> None:
    for one in made:
        settings = one.settings
        console.print(
            f"{one.stack}: {settings.region}, {settings.network.cidr_block}, zones {', '.join(settings.zones)}, "
            f"{', '.join(settings.fleet.instance_types)}, ${costs.usd_per_hour(settings):,.2f} an hour "
            f"({source(settings.region, settings.fleet.instance_types)})"
        )
        for line in one.told:
            console.print(f"  {line}")
        for found in findings[one.stack]:
            if found.severity != "ok":
                console.print(f"  {found.severity} {found.check}: {found.what}; fix: {found.fix}")


def _plan_json(
    made: Sequence[NewRegion], findings: dict[str, list[Finding]], done: dict[str, Outcome]
) -> dict[str, Any]:
    return {
        "stacks": [
            {
                "stack": one.stack,
                "region": one.settings.region,
                "cidrBlock": str(one.settings.network.cidr_block),
                "zones": one.settings.zones,
                "instanceTypes": one.settings.fleet.instance_types,
                "domainName": one.settings.load_balancer.domain_name,
                "told": one.told,
                "findings": [found.as_json() for found in findings[one.stack] if found.severity != "ok"],
                "outcome": asdict(done[one.stack]) if one.stack in done else None,
            }
            for one in made
        ]
    }


# -- list


def _show_rows(console: Screen, rows: Sequence[Row]) -> None:
    table = columns("stack", "region", "image", "model", "serving", "token", "$/hour now", "expires")
    for one in rows:
        shown = one.as_json()
        usd = "unknown" if shown["usdPerHour"] is None else f"{shown['usdPerHour']:,.2f}"
        cells = [shown[name] for name in ("stack", "region", "image", "model", "serving", "token")]
        table.add_row(*cells, usd, shown["expires"], style="" if one.well else "red")
    console.print(table)


# -- remove


def _steps(stack: str, settings: Settings, serving: Sequence[str], wait: int) -> list[str]:
    begun, name, lines = leaving.phase(stack_file(stack)), settings.global_name, []
    if name is not None and (name.serving or begun == "draining"):
        again = "go on taking" if begun else "take"
        lines.append(f"{again} {stack} out of {name.domain_name}, which leaves {', '.join(serving) or 'nobody'} there")
        lines.append(f"wait {wait} s, until clients have gone elsewhere and their answers have ended")
    if settings.load_balancer.deletion_protection:
        lines.insert(0, f"first, by you: {leaving.unlock_balancer_command(stack)}: its load balancer is protected")
    if not settings.ephemeral:
        lines.append(f"stop at its model cache, which is protected, until {leaving.unprotect_command(stack)}")
    kept = "with its model cache and access logs" if settings.ephemeral else "its data stays"
    verb = "go on destroying" if begun == "destroying" else "destroy"
    return [*lines, f"{verb} the stack in {settings.region}, {kept}; then forget its state and its file"]


def _behind(stack: str, settings: Settings, profile: str | None) -> list[str]:
    """The other stacks of this project that serve under its global name, as the account has them."""
    if settings.global_name is None:
        return []
    found = []
    for other in options.stack_names():
        theirs = load_stack_file(stack_file(other))
        name = theirs.global_name
        same = name is not None and name.domain_name == settings.global_name.domain_name and name.serving
        if other != stack and same and row(other, theirs, profile, probe=False).serves:
            found.append(other)
    return found


def _last(stack: str, name: str) -> UserError:
    return UserError.of(
        key=stack,
        wrong=f"no other region serves behind {name}: its clients would find nobody",
        allowed=f"another stack with globalName.domainName: {name} that serves, as `tandem region list` shows it",
        fix="`tandem region add` one first, or say --last",
    )


def _remove(console: Screen, clients: Clients, engine: Stack, wait: int) -> None:
    if not engine.exists():
        raise UserError.of(
            key=engine.name,
            wrong="Pulumi's backend does not know this stack",
            allowed="a stack that was brought up with this backend",
            fix="`pulumi login` to the right backend; `tandem audit` shows what is in the account",
        )
    with continued(console, "the same command."):
        resume(clients, engine, console.print)
        with user_errors(engine.name):
            others_objects.refuse(clients, engine.name, stack_id(engine.export()) or "", console.print)
        Removal(
            path=stack_file(engine.name),
            engine=engine,
            seconds=wait,
            told=console.print,
            sleep=time.sleep,
        ).run()
