"""Changes of a stack that is up: in which order they come, and the account that they end in, told without its ids."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulumi_rehearsal.aws.provider import AwsProvider
from pulumi_rehearsal.aws.tables import TABLE
from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.kubernetes import charts
from pulumi_rehearsal.moto import ACCOUNT_ID, SimulatedAccount
from pulumi_rehearsal.operations import Operation
from pulumi_rehearsal.plugin import attach
from pulumi_rehearsal.providers import random_provider, time_provider, tls_provider
from pulumi_rehearsal.workspace import Workspace
from rehearsal import expectations, placeholders, rollout
from rehearsal.account import simulated_account
from rehearsal.scene import PROJECT, open_workspace, pins_of
from tandem import type_tokens as types
from tandem.loading import load_stack_file
from tandem.ops import inventory
from tandem.ops.kinds import state_key
from tests.ops import api_stand_in
from tests.rehearsal.kept_objects import Objects
from tests.rehearsal.watched import REGION, done

Settings = Mapping[str, Any]
Change = Sequence[Mapping[str, Any]]
"""One after another, each of settings by path (`fleet.hosts`); None takes one away."""

CI, PLATFORM = f"arn:aws:iam::{ACCOUNT_ID}:role/deployers/ci", f"arn:aws:iam::{ACCOUNT_ID}:role/platform"
DOMAIN, ZONE, CERTIFICATE = "llm.example.com", "<the zone>", "<a certificate>"
"""What an account has beside the stack; the latter two are ids, which each account has its own of."""
HEAD = "acme/qwen3-8b-head"
"""What guesses, in the stack's pins as if it had been looked up."""
PASSING = re.compile(
    r"time|date|created|version|etag|token|used|nextinvocation|callerreference|ipaddress|publicip|privateip|roleid|"
    r"profileid|serial|notafter|notbefore|validationstatus|issuedat",
    re.IGNORECASE,
)
"""Members of AWS's descriptions that tell when and by which number, not what."""
CHANCE = re.compile(r"\d{4}-\d\d-\d\d[T ][\d:.+Z-]*|[0-9a-f]{7,}|[a-z]{10}(?=\.acm-validations\.aws)")
"""Moments, hashes and what AWS makes up, in texts."""
SHORT = 3
"""An id of so few characters is a word, too."""
HOSTS = ("Instance", "Volume", "NetworkInterface")
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
"""moto has most of what it was made with, whatever was said since: what the provider was told last stands for it, as
for what moto has not at all."""
SCHEDULE = "aws:scheduler/schedule:Schedule"
CHANGED_TO = "moto notes what was made with it, not what was changed to it"
TASKS = "moto starts them after a moment"
UNTOLD: Mapping[tuple[str, str], str] = {
    (SCHEDULE, "State"): "moto's UpdateSchedule drops it",
    (types.GROUP, "Instances"): "which zone each starts in is Auto Scaling's choice",
    (types.GROUP, "CapacityRebalance"): "moto's UpdateAutoScalingGroup drops it",
    (types.CERTIFICATE, "Status"): "moto issues it after a minute",
    (types.CERTIFICATE, "InUseBy"): CHANGED_TO,
    (types.TARGET_GROUP, "LoadBalancerArns"): CHANGED_TO,
    **{(types.SERVICES, f"{state}TasksCount"): TASKS for state in ("pending", "running")},
    **{(types.SERVICE, f"{state}Count"): TASKS for state in ("pending", "running")},
    (types.SERVICE, "deployments"): TASKS,
    **{
        (types.SERVICE, key): "moto's UpdateService keeps it, and its CreateService does not"
        for key in ("deploymentConfiguration", "enableExecuteCommand", "healthCheckGracePeriodSeconds")
    },
    (types.CACHE, "NodeGroups"): "which zone its node is in is made up",
    (types.CLUSTER, "certificateAuthority"): "each control plane has its own",
    (types.CLUSTER, "endpoint"): "each control plane has its own",
    (types.CLUSTER, "identity"): "made up",
}
"""Members of AWS's descriptions that two like accounts need not share, and why."""
S3_ROUTE = "DestinationPrefixListId"
"""moto's ModifyVpcEndpoint adds no such route to a table that comes later."""


def open_hours() -> dict[str, str]:
    """Business hours that hold for hours from now on, wherever the day stands: on a clock that shows about noon."""
    ahead = 12 - datetime.now(UTC).hour
    return {"start": "00:00", "stop": "23:59", "days": "*", "timeZone": f"Etc/GMT{-ahead:+d}"}


def changed(values: Settings, change: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with a change made."""
    found = json.loads(json.dumps(values))
    for path, value in change.items():
        *sections, key = path.split(".")
        inner = found
        for section in sections:
            inner = inner.setdefault(section, {})
        inner[key] = value
        if value is None:
            del inner[key]
    return found


def final(values: Settings, changes: Mapping[str, Change]) -> Settings:
    """The settings once all changes are made."""
    for steps in changes.values():
        for step in steps:
            values = changed(values, step)
    return values


def in_any_order(changes: Mapping[str, Change], seed: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All steps with the names of their changes, shuffled; those of one change stay in their order."""
    names = [name for name, steps in changes.items() for _ in steps]
    random.Random(seed).shuffle(names)
    left = {name: iter(steps) for name, steps in changes.items()}
    for name in names:
        yield name, next(left[name])


@dataclass
class Stack:
    """A stack on an account of its own.

    Attributes:
        theirs: id to name of what the account had before.
    """

    account: SimulatedAccount
    workspace: Workspace
    objects: Objects
    theirs: Mapping[str, str] = field(default_factory=dict)
    values: Settings = field(default_factory=dict)

    def clients(self, service: str) -> Any:
        return self.account.client(service, REGION)

    def write(self, values: Settings) -> None:
        self.values = values
        text = yaml.safe_dump({"config": {f"tandem:{key}": value for key, value in values.items()}})
        for id, name in self.theirs.items():
            text = text.replace(name, id)
        self.workspace.stack_file.write_text(text)

    def up(self, values: Settings) -> Operation:
        self.write(values)
        return done(self.workspace.up())

    def replaces_hosts(self) -> bool:
        """Whether hosts are being replaced; they are, one after another, when this returns."""
        api = self.clients("autoscaling")
        [group] = api.describe_auto_scaling_groups()["AutoScalingGroups"]
        before = {host["InstanceId"] for host in group["Instances"]}
        settings = load_stack_file(self.workspace.stack_file)
        seen = rollout.roll_out(self.clients, self.workspace.stack, settings)
        assert expectations.replaces_hosts(seen).violations == ()
        [group] = api.describe_auto_scaling_groups()["AutoScalingGroups"]
        now = {host["InstanceId"] for host in group["Instances"]}
        return not (before <= now or now <= before)

    def end(self) -> list[str]:
        """What boto3 finds and the cluster has, with the engine's names in place of ids, without what tells when."""
        names = {**self._names(), **self.theirs}
        known = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
        found = inventory.find(self.clients, self.workspace.stack)
        assert not found.unreadable
        told = [
            [one.type, one.id, _facts(one), dict(one.tags)]
            for one in found.resources
            if not one.type.endswith((*HOSTS, NODE_GROUP))
        ]
        told += [
            [one["type"], one["urn"], one["inputs"]]
            for one in self.workspace.resources()
            if one["type"] == NODE_GROUP or (one["type"] in TABLE and not TABLE[one["type"]].in_moto)
        ]
        lines = (json.dumps(one, default=str, sort_keys=True) for one in [*told, *self.objects.kept.items()])
        plain = (json.loads(known.sub(lambda match: names[match[0]], line)) for line in lines)
        return sorted(json.dumps(_lasting(one), sort_keys=True) for one in plain)

    def _names(self) -> dict[str, str]:
        """By id the engine's name; where several have one id, as a bucket and its policy, the first in the alphabet:
        the order of the state is that in which AWS answered."""
        names = [
            (f"<{one['type']} {one['urn'].rpartition('::')[2]}>", id)
            for one in self.workspace.resources()
            for id in (state_key(one)[1], one.get("id"), (one.get("outputs") or {}).get("arn"))
            if id and len(id) > SHORT
        ]
        return {id: name for name, id in sorted(names, reverse=True)}


def _facts(one: inventory.Found) -> dict[str, Any]:
    return {key: value for key, value in one.facts.items() if (one.type, key) not in UNTOLD}


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lasting(inner) for key, inner in sorted(value.items()) if not PASSING.search(key)}
    if isinstance(value, list):
        return sorted((_lasting(inner) for inner in value if not _is_s3_route(inner)), key=json.dumps)
    return CHANCE.sub("…", value) if isinstance(value, str) else value


def _is_s3_route(value: Any) -> bool:
    return isinstance(value, dict) and S3_ROUTE in value


@contextmanager
def a_stack(engine: Engine, account: SimulatedAccount, directory: Path) -> Iterator[Stack]:
    """One that is to be made, on an account that has nothing but a domain.

    Args:
        directory: empty; it becomes the project.
    """
    account.reset()
    account, theirs = _session(account), _with_a_domain(account)
    for name in ("Pulumi.yaml", "infra", "images"):
        (directory / name).symlink_to(PROJECT / name)
    (directory / "Pulumi.dev.yaml").write_text("config: {}\n")
    objects = Objects()
    charts.ensure(print)
    own = (AwsProvider(account), random_provider(), tls_provider(), time_provider(), objects)
    with (
        attach(*own) as providers,
        open_workspace("dev", engine, providers, account.environment(REGION), directory) as workspace,
        charts.repository(placeholders.charts(pins_of(workspace))) as served,
    ):
        placeholders.fill(pins_of(workspace))
        placeholders.pin_charts(pins_of(workspace), served)
        placeholders.pin_model(pins_of(workspace), HEAD)
        objects.kubectl = workspace.directory / "bin" / "kubectl"
        yield Stack(account, workspace, objects, theirs)


def _session(account: SimulatedAccount) -> SimulatedAccount:
    """The account for a session of the role CI, with which pipelines run `up`."""
    for path, name in (("/deployers/", "ci"), ("/", "platform")):
        account.client("iam", REGION).create_role(Path=path, RoleName=name, AssumeRolePolicyDocument="{}")
    session = account.client("sts", REGION).assume_role(RoleArn=CI, RoleSessionName="run-7")
    return SimulatedAccount(account.url, session["Credentials"]["AccessKeyId"])


def _with_a_domain(account: SimulatedAccount) -> dict[str, str]:
    key, signed = api_stand_in.certificate()
    zones, certificates = account.client("route53", REGION), account.client("acm", REGION)
    zone = zones.create_hosted_zone(Name=DOMAIN, CallerReference="theirs")["HostedZone"]["Id"].rpartition("/")[2]
    arn = certificates.import_certificate(Certificate=signed, PrivateKey=key)["CertificateArn"]
    return {zone: ZONE, arn: CERTIFICATE}


def differences(one: Collection[str], other: Collection[str]) -> str:
    """What only one of two accounts has, line by line; empty where they are alike."""
    return "\n".join(sorted({*one} ^ {*other}))


Open = Callable[[], AbstractContextManager[Stack]]
"""Opens a stack, the one after the other."""


@pytest.fixture(scope="module")
def account() -> Iterator[SimulatedAccount]:
    with simulated_account() as account:
        yield account


@pytest.fixture(scope="module")
def open_stack(account: SimulatedAccount, pulumi_engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Open:
    return lambda: a_stack(pulumi_engine, account, tmp_path_factory.mktemp("project"))
