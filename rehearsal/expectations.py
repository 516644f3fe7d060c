"""What a rehearsal expects. Each is a small function: evidence in, what is wrong with it out; nothing wrong means met.

tests/rehearsal/test_expectations.py breaks each of them with a program that does what it forbids.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, ParamSpec

from pulumi_rehearsal.operations import Operation
from rehearsal import scaling
from rehearsal.idle import Alarm, wrong
from rehearsal.played_scaling import Account
from rehearsal.rollout import Seen
from tandem.ops.kinds.kind import Found
from tandem.ops.rights import RIGHTS
from tandem.ops.rights.actions import action_of
from tandem.ops.rights.right import DEPLOYER, VIEWER
from tandem.settings import Settings

LAUNCH_TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
GROUP = "aws:autoscaling/group:Group"

NOBODYS_RIGHTS = ("sts:GetCallerIdentity", "sns:Publish", "autoscaling:ExecutePolicy")
"""The first, everybody has; with the second the rehearsal plays a schedule, whose role has it, with the third AWS."""

P = ParamSpec("P")


@dataclass(frozen=True)
class Verdict:
    """Whether an expectation was met.

    Attributes:
        expectation: in words.
        violations: what was found instead, one line each; empty when met.
    """

    expectation: str
    violations: tuple[str, ...]

    @property
    def met(self) -> bool:
        return not self.violations


def expectation(words: str) -> Callable[[Callable[P, Iterable[str]]], Callable[P, Verdict]]:
    """Makes an expectation of a function that yields its violations."""

    def decorate(function: Callable[P, Iterable[str]]) -> Callable[P, Verdict]:
        @functools.wraps(function)
        def judge(*args: P.args, **kwargs: P.kwargs) -> Verdict:
            return Verdict(words, tuple(function(*args, **kwargs)))

        return judge

    return decorate


@expectation("the operation succeeds")
def succeeds(operation: Operation) -> Iterable[str]:
    if not operation.succeeded:
        yield f"`pulumi {operation.name}` ended with status {operation.status}"
        yield from (message for message in operation.messages if message.startswith("error"))


@expectation("up creates what the preview announced")
def keeps_the_previews_word(preview: Operation, up: Operation) -> Iterable[str]:
    announced, done = ({(step.operation, step.urn) for step in operation.steps} for operation in (preview, up))
    yield from (f"announced, not done: {operation} {urn}" for operation, urn in sorted(announced - done))
    yield from (f"done, not announced: {operation} {urn}" for operation, urn in sorted(done - announced))


@expectation("boto3 finds each resource of the state by its tags")
def is_seen_by_boto3(recorded: Iterable[str], found: Iterable[str]) -> Iterable[str]:
    """What a look by tags misses here, it would miss after destroy, too."""
    yield from (f"not found: {resource}" for resource in sorted(set(recorded) - set(found)))


@expectation("everything carries the stack's tags: name, id, and ephemeral where it is")
def carries_the_tags(stack: str, stack_id: str, ephemeral: bool, found: Iterable[Found]) -> Iterable[str]:
    """By what the account says of what has the stack's name or its id."""
    for one in found:
        if (one.stack, one.stack_id, one.ephemeral) != (stack, stack_id, ephemeral):
            own = f"{one.stack or 'no stack'}, {one.stack_id or 'no id'}{', ephemeral' if one.ephemeral else ''}"
            yield f"{one.type} {one.id} says: {own}"


@expectation("a second up changes nothing")
def changes_nothing(operation: Operation) -> Iterable[str]:
    for step in operation.changing():
        yield f"{step.operation} {step.type} {step.name} ({', '.join(step.changed)})"


@expectation("a new image changes the launch template and the group, in place, and nothing else")
def changes_launch_template_and_group(operation: Operation) -> Iterable[str]:
    found = sorted((step.operation, step.type) for step in operation.changing())
    wanted = sorted([("update", LAUNCH_TEMPLATE), ("update", GROUP)])
    if found != wanted:
        yield f"changed: {', '.join(f'{operation} {type}' for operation, type in found) or 'nothing'}"


@expectation("a rollout replaces one host after another, and no fewer serve than it says")
def replaces_hosts(seen: Seen) -> Iterable[str]:
    for hosts in seen.looks:
        serving = sum(count for (_, state), count in hosts.items() if state == "InService")
        if serving < seen.fewest:
            yield f"{serving} hosts serve, {seen.fewest} should: {dict(hosts)}"
    if versions := {version for version, _ in seen.looks[-1]} - {seen.version}:
        yield f"version {seen.version} should be everywhere in the end, there is {', '.join(sorted(versions))}"


@expectation("a version that makes no token is noticed, and the one before serves all along")
def goes_back(seen: Seen) -> Iterable[str]:
    if seen.noticed is None or not seen.noticed.failures:
        yield "no host that gave up was told of"
    yield from replaces_hosts(seen).violations


@expectation("an expiry schedule names the fleet")
def stops_the_fleet(fleet: str | None, targets: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    if not any(target.get("AutoScalingGroupName") == fleet for target in targets):
        yield f"no schedule of the stack acts on {fleet}"


@expectation("the schedule's role may do what the schedule asks")
def role_allows(action: str, role: str, documents: Iterable[str]) -> Iterable[str]:
    for document in documents:
        for statement in _listed(json.loads(document)["Statement"]):
            granted = [granted.lower() for granted in _listed(statement.get("Action", []))]
            if statement["Effect"] == "Allow" and action.lower() in granted:
                return
    yield f"{role} has no policy that allows {action}"


@expectation("nothing is called that the shipped rights of who deploys lack")
def are_within_the_rights(calls: Iterable[tuple[str, str]]) -> Iterable[str]:
    """Args:
    calls: boto3's name of a service, and AWS's of an operation.
    """
    granted = [name for right in RIGHTS if {DEPLOYER, VIEWER} & {*right.who} for name in right.names]
    for action in sorted({action_of(*call) for call in calls}):
        if not any(fnmatchcase(action, name) for name in [*granted, *NOBODYS_RIGHTS]):
            yield f"{action} is in no right of tandem/ops/rights"


@expectation("hosts run within business hours, each day of a week, and not outside of them")
def follow_the_hours(
    week: Iterable[tuple[datetime, Sequence[int]]], is_open: Callable[[datetime], bool]
) -> Iterable[str]:
    """Args:
    week: moments at which a schedule has called, with the hosts of each group after it.
    """
    played = list(week)
    yield from (f"{hosts} hosts at {moment:%a %H:%MZ}" for moment, hosts in played if any(hosts) is not is_open(moment))
    if len({any(hosts) for _, hosts in played}) != 2:
        yield "no schedule opens, or none closes"


@expectation("after expiry the fleet is at 0")
def is_at_zero(groups: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """Args:
    groups: Auto Scaling groups, as AWS describes them.
    """
    for group in groups:
        for key in ("MinSize", "MaxSize", "DesiredCapacity"):
            if group[key] != 0:
                yield f"{key} of {group['AutoScalingGroupName']} is {group[key]}"
        if group["Instances"]:
            hosts = ", ".join(instance["InstanceId"] for instance in group["Instances"])
            yield f"still in {group['AutoScalingGroupName']}: {hosts}"


@expectation("the alarm rings after so long without a request, and only then")
def rings_only_when_idle(alarm: Alarm) -> Iterable[str]:
    yield from wrong(alarm)


@expectation("an idle stack has no host, and may have some again")
def has_no_host(groups: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for group in groups:
        if group["DesiredCapacity"] or group["Instances"] or not group["MaxSize"]:
            name, wanted, most = (group[key] for key in ("AutoScalingGroupName", "DesiredCapacity", "MaxSize"))
            yield f"{name}: {wanted} wanted of at most {most}, {len(group['Instances'])} in it"


@expectation("hosts come back when they are asked for")
def comes_back(groups: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    yield from (f"{group['AutoScalingGroupName']} stays at 0" for group in groups if not group["DesiredCapacity"])


@expectation("hosts follow the load, soon, within their bounds, and nothing else")
def follow_the_load(settings: Settings, account: Account | None, day: scaling.Course | None) -> Iterable[str]:
    """Args:
    account: with the policies and alarms that it keeps; None where it has none.
    day: of traffic.
    """
    if account is None or day is None:
        yield "no alarm calls a policy of the group"
        return
    yield from scaling.wrong(settings, account)
    yield from day.restless


@expectation("`pulumi up` leaves the hosts that a policy has asked for")
def leaves_the_hosts(before: Iterable[Mapping[str, Any]], after: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for was, now in zip(before, after, strict=True):
        if was["DesiredCapacity"] != now["DesiredCapacity"]:
            yield f"{now['AutoScalingGroupName']}: {was['DesiredCapacity']} wanted, then {now['DesiredCapacity']}"


@expectation("a protected stack refuses to go")
def refuses_to_go(operation: Operation, before: set[str], after: set[str]) -> Iterable[str]:
    """Args:
    before, after: the state's resources, before and after the attempt to destroy.
    """
    if operation.succeeded:
        yield "`pulumi destroy` went through, although the state holds protected resources"
    yield from (f"gone all the same: {urn}" for urn in sorted(before - after))


@expectation("destroy leaves nothing but what is kept on purpose")
def leaves_nothing_but(kept: Iterable[str], left: Iterable[str]) -> Iterable[str]:
    wanted, found = set(kept), set(left)
    yield from (f"left behind: {resource}" for resource in sorted(found - wanted))
    yield from (f"not kept: {resource}" for resource in sorted(wanted - found))


@expectation("the secrets that were set are in the secret store")
def reach_the_secret_store(secrets: Mapping[str, str], stored: Mapping[str, str]) -> Iterable[str]:
    """A search for a value proves nothing when the program never used the value."""
    yield from (f"{name} is not stored" for name, value in secrets.items() if value not in stored.values())


@expectation("no secret in plain text")
def shows_no_secret(secrets: Mapping[str, str], places: Mapping[str, str]) -> Iterable[str]:
    """Args:
    secrets: values by name.
    places: text by where it was found.
    """
    for place, text in places.items():
        yield from (f"{name} is in {place}" for name, value in secrets.items() if value in text)
        if "PRIVATE KEY-----" in text:
            yield f"a private key is in {place}"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
