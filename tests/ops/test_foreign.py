"""Look-ups do not grow with what is not ours: calls counted beside 1,000 foreign resources of each kind, and none."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.client
import pytest
from moto.backends import get_backend
from moto.server import ThreadedMotoServer
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.moto import ACCOUNT_ID, CREDENTIALS, SETTINGS
from pulumi_rehearsal.moto_server import mend
from rehearsal.account import account_gaps
from tandem import type_tokens as types
from tandem.ops import inventory
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.doctor.address import DNS_VARIABLE
from tandem.ops.image import images_in_use
from tandem.tags import STACK_TAG
from tests.ops.account import REGION, Builder

pytestmark = pytest.mark.account

MANY = 1000
FEWER_THAN = 10
EVERY_TOPIC = "recover dev, a topic under way"
"""There a second-old topic must not be missed, so that all are listed, a hundred at once."""
COMMANDS = (
    ["audit", "dev", "--region", REGION],
    ["cost", "dev", "--live"],
    ["doctor", "dev"],
    ["ephemeral", "list"],
    ["reap", "--region", REGION],
    ["region", "list"],
)


@pytest.fixture(scope="module")
def account() -> Iterator[AccountGaps]:
    """A simulated account in this process, so that a thousand resources are made without a thousand calls."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        mend()
        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        yield from _in_a_shell(server, patch)
        server.stop()


def _in_a_shell(server: ThreadedMotoServer, patch: pytest.MonkeyPatch) -> Iterator[AccountGaps]:
    host, port = server.get_host_and_port()
    with account_gaps(f"http://{host}:{port}") as gaps:
        for name, value in {
            "AWS_ENDPOINT_URL": gaps.url,
            "AWS_ACCESS_KEY_ID": CREDENTIALS,
            "AWS_SECRET_ACCESS_KEY": CREDENTIALS,
            "AWS_DEFAULT_REGION": REGION,
            "HF_ENDPOINT": "http://127.0.0.1:1",
            DNS_VARIABLE: "http://127.0.0.1:1",
        }.items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield gaps


def calls(look: Callable[[], object], patch: pytest.MonkeyPatch) -> Counter[str]:
    """Operations that boto3 is asked for, each page and each repetition one call."""
    made: Counter[str] = Counter()
    real = botocore.client.BaseClient._make_api_call

    def counted(self: Any, operation: str, arguments: Any) -> Any:
        made[f"{self.meta.service_model.service_name}:{operation}"] += 1
        return real(self, operation, arguments)

    with patch.context() as here:
        here.setattr(botocore.client.BaseClient, "_make_api_call", counted)
        look()
    return made


def _backend(service: Any, where: str = REGION) -> Any:
    return get_backend(service)[ACCOUNT_ID][where]


def foreign() -> None:
    """A thousand of each, tagged as somebody else's, in a network that is not ours."""
    tags = {"team": "other", STACK_TAG: "dev"}
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    ec2 = _backend("ec2")
    vpc = ec2.create_vpc("10.200.0.0/16").id
    subnets = [ec2.create_subnet(vpc, f"10.200.{n}.0/24", f"{REGION}{'ab'[n]}").id for n in range(2)]
    groups = [ec2.create_security_group("other", "other", vpc_id=vpc).id]
    template = {"LaunchTemplateName": "other-0"}
    arn = _backend("acm").request_certificate("other.test", "", [], pairs)
    certificate = _backend("acm")._certificates[arn]
    cluster = _backend("eks").create_cluster("other", f"arn:aws:iam::{ACCOUNT_ID}:role/x", {}, tags=tags)
    key = _backend("kms").create_key("", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "other", None)
    monthly = {"TimeUnit": "MONTHLY", "BudgetType": "COST"}
    port: dict[str, Any] = {"vpc_id": vpc, "protocol": "HTTP", "port": 80, "target_type": "instance"}
    makes: tuple[Callable[[str], object], ...] = (
        lambda name: ec2.create_launch_template(name, "", {"ImageId": "ami-12c6146b"}, {}),
        lambda name: ec2.create_volume(1, f"{REGION}a", None),
        lambda name: ec2.allocate_address("vpc"),
        lambda name: _backend("elbv2").create_load_balancer(name, groups, subnets, tags=pairs),
        lambda name: _backend("elbv2").create_target_group(name, tags=pairs, **port),
        lambda name: _backend("autoscaling").create_auto_scaling_group(
            name, [], 0, 1, 0, "", template, subnets[0], None, None, None, [], [], "", [], pairs
        ),
        lambda name: _backend("sns").create_topic(name, tags=tags),
        lambda name: _backend("logs").create_log_group(name, tags),
        lambda name: _backend("s3", "aws").create_bucket(name, REGION),
        lambda name: _backend("kms").keys.update({name: _copied(key, id=name, arn=f"{key.arn}-{name}")}),
        lambda name: _backend("scheduler").create_schedule_group(name, pairs),
        lambda name: _backend("sqs").create_queue(name, tags),
        lambda name: _backend("events").put_rule(name, scheduled_expression="rate(1 day)"),
        lambda name: _backend("efs").create_file_system(
            name, "generalPurpose", False, "", "bursting", 0, "", False, pairs
        ),
        lambda name: _backend("iam", "aws").create_role(name, "{}", "/", None, "", pairs, "3600"),
        lambda name: _backend("iam", "aws").create_instance_profile(name, "/", []),
        lambda name: _backend("route53", "aws").create_health_check(name, {"type": "HTTPS", "resource_path": "/"}),
        lambda name: _backend("route53", "aws").create_hosted_zone(f"{name}.test", False),
        lambda name: _backend("acm")._certificates.update({f"{arn}-{name}": _copied(certificate, arn=f"{arn}-{name}")}),
        lambda name: _backend("secretsmanager").create_secret(name, "x", None, None, pairs, None, None, [], False),
        lambda name: _backend("ssm").put_parameter(
            f"/other/{name}", "", "x", "String", "", "", False, pairs, "text", None, []
        ),
        lambda name: _backend("wafv2").create_web_acl(
            name, {}, {"Allow": {}}, "REGIONAL", "", pairs, [], None, None, None, None, []
        ),
        lambda name: _backend("eks").clusters.update({name: _copied(cluster, name=name)}),
        lambda name: _backend("budgets", "aws").create_budget(
            ACCOUNT_ID, {"BudgetName": name, "BudgetLimit": {"Amount": "1", "Unit": "USD"}, **monthly}, []
        ),
    )
    for make in makes:
        for number in range(MANY):
            make(f"other-{number}")


def _copied(resource: Any, **other: str) -> Any:
    """What moto makes slowly, with keys of its own: the same again under another name."""
    made = copy.copy(resource)
    vars(made).update(other)
    return made


def looks() -> dict[str, Callable[[], object]]:
    """Each command that looks, and what those that need an engine look for: `ephemeral down` as audit, status as
    `region list`."""
    clients = aws_clients(REGION)
    commands: dict[str, Callable[[], object]] = {
        " ".join(words): functools.partial(CliRunner().invoke, app, words) for words in COMMANDS
    }
    return commands | {
        "recover dev": lambda: inventory.find(clients, "dev", {types.VPC, types.LOAD_BALANCER}),
        EVERY_TOPIC: lambda: inventory.find(clients, "dev", {types.TOPIC}),
        "image list": lambda: images_in_use(clients("ec2")),
    }


def test_what_is_not_ours_costs_few_calls_more(account: AccountGaps, monkeypatch: pytest.MonkeyPatch) -> None:
    Builder(aws_clients(REGION), "dev", "tandem-dev").everything()
    account.images.clear()
    account.quotas["L-F678F1CE"] = 5000.0
    before = {name: calls(look, monkeypatch) for name, look in looks().items()}
    foreign()
    for name, look in looks().items():
        more = calls(look, monkeypatch) - before[name]
        assert sum(before[name].values()) > 0, name
        assert name == EVERY_TOPIC or more.total() < FEWER_THAN, (name, more)
    found = inventory.find(aws_clients(REGION), None)
    assert not found.unreadable
    assert not [one for one in found.resources if one.name.startswith("other-")]
