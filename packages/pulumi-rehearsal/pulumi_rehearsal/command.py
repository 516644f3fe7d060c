"""`pulumi-rehearsal STACK`: plays the whole life of a stack of the project in this directory and says what it saw."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from difflib import get_close_matches
from pathlib import Path

from boto3.session import Session

from pulumi_rehearsal import engine
from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.errors import SetupError
from pulumi_rehearsal.instance_types import type_named
from pulumi_rehearsal.kubernetes import build, provider_plugin
from pulumi_rehearsal.kubernetes.control_plane import control_plane
from pulumi_rehearsal.kubernetes.nodes import add_nodes
from pulumi_rehearsal.life import Life, live
from pulumi_rehearsal.moto import simulated_account
from pulumi_rehearsal.stage import Stage, stage
from pulumi_rehearsal.workspace import mapping_in, project_file, stack_file

NODES = "m7i.xlarge"
"""Type of the nodes of a bare cluster, one in each of two zones: large enough for any small program."""

WRONG, CANNOT_START = 1, 2


@contextmanager
def open_stage(
    stack: str, project: Path, engine: Engine, *, kubernetes: bool = False, region: str | None = None
) -> Iterator[Stage]:
    """A stage in an account of its own.

    Args:
        kubernetes: a bare cluster is started, too; KUBECONFIG leads the program to it.
        region: of the account's clients; None takes the stack file's `aws:region`, which a program with providers of
            its own does not have.

    Raises:
        SetupError: there is no such stack file, or there is no region, or AWS has none of that name.
    """
    region = known(region or region_of(stack, project))
    with ExitStack() as up:
        account = up.enter_context(simulated_account())
        if not kubernetes:
            yield up.enter_context(stage(stack, engine, account, region, project))
            return
        plane = up.enter_context(control_plane())
        add_nodes(plane.api, (f"{region}a", f"{region}b"), type_named(NODES, {}))
        variables = {"KUBECONFIG": str(plane.kubeconfig)}
        opened = up.enter_context(stage(stack, engine, account, region, project, variables=variables))
        directory = opened.workspace.directory
        provider_plugin.install(directory / "home", directory / "bin", plane)
        yield opened


def region_of(stack: str, project: Path) -> str:
    """The region that the stack file sets for the provider of AWS."""
    config = mapping_in(stack_file(project, stack)).get("config") or {}
    if not (region := config.get("aws:region")):
        raise SetupError(
            key=f"Pulumi.{stack}.yaml: aws:region",
            wrong="is not set",
            allowed="the name of an AWS region",
            fix=f"pulumi config set --stack {stack} aws:region us-east-1; or --region, for own providers",
        )
    return region


def known(region: str) -> str:
    """The region, which AWS must have: the provider refuses others before it does anything."""
    session = Session()
    every = [one for part in session.get_available_partitions() for one in session.get_available_regions("ec2", part)]
    if region not in every:
        like = get_close_matches(region, every) or ["us-east-1"]
        raise SetupError(
            key="aws:region",
            wrong="AWS has no such region",
            value=region,
            allowed=f"one of {len(every)} regions, such as {', '.join(like)}",
            fix="mend it in the stack file, or in --region",
        )
    return region


def ignored(project: Path) -> Iterator[str]:
    """What Pulumi.yaml says of the program's environment, and this does not do: the program runs in this one."""
    runtime = project_file(project).get("runtime")
    options = (runtime.get("options") or {}) if isinstance(runtime, dict) else {}
    for name in ("virtualenv", "toolchain"):
        if name in options:
            yield f"runtime option {name}: {options[name]} is not followed, the program runs with {sys.executable}"


def lines(life: Life) -> Iterator[str]:
    """The report, for people."""
    for operation in life.operations:
        changes = ", ".join(f"{count} {name}" for name, count in sorted(operation.changes().items()))
        mark = "ok" if operation.succeeded else "FAILED"
        yield f"{operation.name:<8} {operation.seconds:5.1f} s  {mark:<6}  {changes}"
    yield from (f"{one.type}: {one.recorded} only recorded" for one in life.resources if one.recorded)
    for one in life.resources:
        if one.recorded_inputs:
            yield f"{one.type}: only recorded of it: {', '.join(one.recorded_inputs)}"
    yield from (f"chart {name}: only recorded, {why}" for name, why in life.recorded_charts.items())
    yield from (f"{type}: {count} kept on purpose after destroy" for type, count in sorted(life.kept.items()))
    yield from (f"NOT as it should be: {problem}" for problem in life.problems)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Exit status 1 when something is not as it should be, 2 when nothing could be started.

    Ctrl-C and SIGTERM, with which pipelines cancel, leave no process and no file behind.
    """
    parser = argparse.ArgumentParser(prog="pulumi-rehearsal", description=__doc__)
    parser.add_argument("stack", help="of which there is a file Pulumi.STACK.yaml")
    parser.add_argument("--region", help="of the account's clients; the stack's aws:region by default")
    parser.add_argument("--project", type=Path, default=Path(), help="directory of Pulumi.yaml; this one by default")
    parser.add_argument("--kubernetes", action="store_true", help="start a bare cluster, to which KUBECONFIG leads")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        for line in ignored(given.project):
            print(f"pulumi-rehearsal: {line}", file=sys.stderr)
        found = engine.ensure(_progress)
        if given.kubernetes:
            build.ensure((*build.TOOLS_OF_THE_CONTROL_PLANE, build.PROVIDER), _progress)
        with open_stage(
            given.stack, given.project.resolve(), found, kubernetes=given.kubernetes, region=given.region
        ) as opened:
            life = live(opened)
    except SetupError as error:
        print(f"pulumi-rehearsal: {error}", file=sys.stderr)
        return CANNOT_START
    except KeyboardInterrupt:
        print("pulumi-rehearsal: interrupted; the account and all that was in it are gone", file=sys.stderr)
        return 128 + signal.SIGINT
    print(*lines(life), sep="\n")
    return WRONG if life.problems else 0


def _progress(line: str) -> None:
    """In a terminal, each line in place of the last; a log is not filled with them."""
    if sys.stderr.isatty():
        width = os.get_terminal_size(sys.stderr.fileno()).columns
        print(f"\r{line[: width - 1]:<{width - 1}}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
