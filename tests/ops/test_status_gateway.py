"""`tandem status` with a gateway for teams, and that nothing takes one of its copies for a server."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem.ops import endpoint
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.kinds.kind import Clients
from tandem.ops.status import Absent, Status, Unknown, look
from tandem.ops.status.report import Gateway
from tandem.settings import Settings
from tests.ops.account import Builder
from tests.ops.test_status import EKS, STATUS, models_on_a_cluster

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WAYS_IN = {
    "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    "gateway": {"hostName": "teams.example.com"},
}
ON = {
    "ec2": Settings.model_validate({"region": "us-east-1", **WAYS_IN}),
    "eks": Settings.model_validate({**EKS.model_dump(by_alias=True), **WAYS_IN}),
}


def built(clients: Clients, stack: str = "dev", ready: int = 1) -> None:
    """A stack whose gateway is to have one copy, with so many that the load balancer calls healthy."""
    made = Builder(clients, stack, f"tandem-{stack}-one")
    made.network()
    made.serving()
    targets = [{"Id": f"10.20.130.{100 + number}", "Port": 4000} for number in range(ready)]
    clients("elbv2").register_targets(TargetGroupArn=made.copies, Targets=targets)


@pytest.mark.parametrize("platform", ON)
def test_copies_ready_of_those_that_are_wanted_and_the_database(clients: Clients, platform: str) -> None:
    built(clients)
    found = look(clients, "dev", ON[platform], NOW, probe=False)
    assert found.gateway == Gateway(ready=1, wanted=1, database="available")
    assert found.as_json()["gateway"] == {"ready": 1, "wanted": 1, "database": "available"}


def test_a_stack_without_one_has_no_line_and_asks_for_none(aws_account: AccountGaps) -> None:
    aws_account.refused["ecs:ListClusters"] = ("AccessDeniedException", "not authorized to perform: ecs:ListClusters")
    found = look(aws_clients("us-east-1"), "dev", Settings(region="us-east-1"), NOW, probe=False)
    assert found.gateway is None
    assert found.as_json()["gateway"] is None


def test_one_that_is_not_there_is_none_and_one_that_is_not_told_unknown(aws_account: AccountGaps) -> None:
    clients = aws_clients("us-east-1")
    found = look(clients, "dev", ON["ec2"], NOW, probe=False)
    assert found.gateway == Absent("the stack has no service of ECS in this account and region")
    message = "User: arn:aws:iam::1:user/x is not authorized to perform: ecs:ListClusters"
    aws_account.refused["ecs:ListClusters"] = ("AccessDeniedException", message)
    assert "may not do ecs:ListClusters" in str(look(clients, "dev", ON["ec2"], NOW, probe=False).gateway)


@pytest.mark.parametrize(
    ("gateway", "well"),
    [
        (Gateway(ready=2, wanted=2, database="backing-up"), True),
        (Gateway(ready=3, wanted=2, database="available"), True),
        (Gateway(ready=1, wanted=2, database="available"), False),
        (Unknown("refused"), False),
    ],
)
def test_too_few_copies_are_not_well(gateway: Gateway | Unknown, well: bool) -> None:
    found: Status = replace(STATUS, gateway=gateway)
    assert found.well is well


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_the_command_says_it_in_a_line_and_as_json(
    aws_account: AccountGaps, monkeypatch: pytest.MonkeyPatch, stack: str
) -> None:
    settings = ON["ec2" if stack == "dev" else "eks"]
    monkeypatch.setattr("tandem.ops.commands.status.stack_settings", lambda *_: settings)
    built(aws_clients("us-east-1"), stack)
    text = CliRunner().invoke(app, ["status", stack, "--no-probe"], env={"COLUMNS": "200"}).output
    assert "gateway                1 of 1 copies ready, database available" in text
    told = json.loads(CliRunner().invoke(app, ["status", stack, "--no-probe", "--json"]).stdout)
    assert told["gateway"] == {"ready": 1, "wanted": 1, "database": "available"}


# -- a copy is no server -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("platform", ON)
def test_a_copy_is_no_server(clients: Clients, platform: str) -> None:
    """Nor is its probe, which asks for the database, that of a server."""
    built(clients, "prod", ready=5)
    models_on_a_cluster(clients, main=2)
    assert endpoint.servers(clients, "prod") == 3  # two pods, and the group's host
    found = look(clients, "prod", ON[platform], NOW, probe=False)
    assert not isinstance(found.servers, Unknown)
    assert found.servers.replicas_serving == 2  # of the host, or pods
