"""`make bench`: what the program costs an engineer who waits for it, in one run, beside what cannot be faster.

A preview of production is timed beside a preview of as many trivial resources: same engine, same language host, same
provider, nothing but names and values. The two alternate, so that a noisy machine is noisy for both; the medians and
their ratio count.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import yaml

from pulumi_rehearsal import engine
from pulumi_rehearsal.workspace import Workspace
from rehearsal.account import simulated_account
from rehearsal.scene import set_the_scene

STACK = "prod-ec2"
ROUNDS = 5
RATIO_BAR = 1.35
USER_DATA_BAR_BYTES = 15_360

TRIVIAL_PROGRAM = """\
import pulumi
import pulumi_aws as aws

region = pulumi.Config().require("region")
provider = aws.Provider(region, region=region)
for number in range({number}):
    aws.ssm.Parameter(
        f"trivial-{{number}}", type="String", value=str(number), opts=pulumi.ResourceOptions(provider=provider)
    )
"""


def trivial_project(directory: Path, number: int) -> Path:
    """A project whose program declares so many parameters."""
    (directory / "program").mkdir()
    (directory / "program" / "__main__.py").write_text(TRIVIAL_PROGRAM.format(number=number))
    project = {"name": "tandem", "main": "program", "runtime": {"name": "python"}}
    (directory / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (directory / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump({"config": {"tandem:region": "us-east-1"}}))
    return directory


def seconds_of_preview(workspace: Workspace) -> float:
    """One preview's wall time.

    Raises:
        SystemExit: it failed; a time of it would mean nothing.
    """
    done = workspace.preview()
    if not done.succeeded:
        raise SystemExit("\n".join(done.messages))
    return done.seconds


def main() -> int:
    """Prints the table; exit status 1 when a bar is missed."""
    built = engine.ensure(lambda line: print(line, file=sys.stderr))
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="tandem-bench-") as name:
        account = stack.enter_context(simulated_account())
        production = stack.enter_context(set_the_scene(STACK, built, account)).workspace
        first = production.preview()
        resources = first.changes()["create"]
        project = trivial_project(Path(name), resources)
        trivial = stack.enter_context(set_the_scene(STACK, built, account, project)).workspace
        seconds_of_preview(trivial)
        pairs = [(seconds_of_preview(production), seconds_of_preview(trivial)) for _ in range(ROUNDS)]
        if not production.up().succeeded:
            raise SystemExit("`pulumi up` of production failed; `make rehearse` says why")
        user_data_bytes = production.outputs()["userDataBytes"]
    ours, theirs = (statistics.median(times) for times in zip(*pairs, strict=True))
    ratio = statistics.median(mine / other for mine, other in pairs)
    print(f"preview of production, {resources} resources       {ours:6.2f} s   (median of {ROUNDS})")
    print(f"preview of as many trivial resources       {theirs:6.2f} s")
    print(f"ratio                                      {ratio:6.2f}     (bar: {RATIO_BAR})")
    print(f"user data of production                    {user_data_bytes:6,} bytes (bar: {USER_DATA_BAR_BYTES:,})")
    return 0 if ratio <= RATIO_BAR and user_data_bytes <= USER_DATA_BAR_BYTES else 1


if __name__ == "__main__":
    raise SystemExit(main())
