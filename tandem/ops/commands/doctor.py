"""`tandem doctor`: what stands between a stack and its first token."""

from __future__ import annotations

from collections import Counter

import typer

from tandem.errors import UserError
from tandem.ops import options
from tandem.ops.doctor import Finding, examine, exit_status
from tandem.ops.doctor.examination import examination
from tandem.ops.doctor.finding import from_problem
from tandem.ops.options import DEFAULT_STACK, AsJson, ProfileName, RegionName, StackName, print_json, stack_settings
from tandem.ops.pulumi import Stack
from tandem.ops.screen import Screen
from tandem.ops.whose import own

_COLOURS = {"ok": "green", "unknown": "cyan", "warning": "yellow", "error": "red"}


def doctor(
    stack: StackName = DEFAULT_STACK,
    region: RegionName = None,
    profile: ProfileName = None,
    as_json: AsJson = False,
) -> None:
    """Check account, region and settings before `pulumi up`, and say how to fix each problem.

    Looks only: credentials and permissions, who holds the stack's name, region and zones, instance types, quotas with
    what is in use, machine image and driver, model, secrets, domain name and certificate, what is reserved, price and
    spot. The checks that need no AWS are those of `pulumi preview`.

    Exit status: 0 nothing stands in the way, 1 warnings or something that could not be looked at, 2 `up` would fail.

    Examples: `tandem doctor`, `tandem doctor prod --region eu-west-1`, `tandem doctor --json --profile staging`.
    """
    with Screen(stderr=True).status(f"examining {stack}"):
        findings = _examine(stack, region, profile)
    if as_json:
        print_json({"stack": stack, "findings": [finding.as_json() for finding in findings]})
    else:
        _print(findings)
    raise typer.Exit(exit_status(findings))


def _examine(stack: str, region: str | None, profile: str | None) -> list[Finding]:

    try:
        settings = stack_settings(stack, region)
    except UserError as error:
        return [from_problem(problem).of("settings") for problem in error.problems]
    return examine(examination(stack, settings, profile, own(Stack(stack, options.PROJECT)), ask=False))


def _print(findings: list[Finding]) -> None:
    console = Screen()
    for finding in findings:
        value = f": {finding.value}" if finding.value and finding.severity == "ok" else ""
        console.marked(f"{finding.severity:<8}", _COLOURS[finding.severity], f" {finding.check}: {finding.what}{value}")
        if finding.severity == "ok":
            continue
        for label, text in (("value", finding.value), ("needed", finding.needed), ("fix", finding.fix)):
            if text:
                console.print(f"         {label + ':':<8}{text}")
    counts = Counter(finding.severity for finding in findings)
    console.print(f"\n{counts['error']} errors, {counts['warning']} warnings, {counts['unknown']} not looked at")
