"""`tandem status`: unknown where nothing can be known, and the dev stack that the real program built, read by boto3."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from typer.testing import CliRunner

from pulumi_rehearsal import engine
from pulumi_rehearsal.account_gaps import PUBLIC_IMAGE, AccountGaps
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.account import account_gaps
from rehearsal.scene import set_the_scene
from tandem import costs, lifetime, pins
from tandem import type_tokens as types
from tandem.alarms import NAMESPACE, dimensions
from tandem.loading import load_stack_file
from tandem.ops import endpoint, key_store
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.run import run_check
from tandem.ops.keys import Document
from tandem.ops.kinds import ours
from tandem.ops.kinds.kind import Clients
from tandem.ops.options import stack_file
from tandem.ops.status import Absent, Cluster, Fleet, Host, Status, Unknown, look
from tandem.ops.status.group import host_file, scaled
from tandem.ops.status.look import cost_so_far
from tandem.settings import Settings
from tests.ops.account import Builder

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOST = Host(
    id="i-1",
    type="g6.12xlarge",
    zone="us-east-1a",
    purchase="spot",
    state="InService",
    target="healthy",
    version="3",
    current=True,
    since=NOW - timedelta(hours=2),
    replicas=2,
)
FLEET = Fleet(name="fleet", minimum=1, desired=2, maximum=3, hosts=(HOST, replace(HOST, id="i-2")))
STATUS = Status(
    stack="dev",
    region="us-east-1",
    url="https://llm.example.com",
    servers=FLEET,
    running={"image": "vllm"},
    last_token="now, after 0.20 s",
    requests="12 in the last hour, 0 failed",
    queue=Unknown("no metrics"),
    start=Unknown("no metrics"),
    usd_per_hour=4.8,
    cost_so_far=1.5,
    expires_at="never",
)


def user_data(content: str) -> str:
    return base64.b64encode(gzip.compress(content.encode(), mtime=0)).decode()


def test_an_empty_account_is_unknown_and_not_well(clients: Clients) -> None:
    found = look(clients, "dev", Settings(region="us-east-1"), NOW)
    assert not found.well
    assert found.url == Absent("the stack has no load balancer in this account and region")
    assert found.servers == Absent("the stack has no Auto Scaling group in this account and region")
    assert found.running == Absent("there is no launch template")
    assert found.last_token == found.url
    assert found.cost_so_far == found.servers
    assert found.expires_at == "never"
    assert found.as_json()["queue"] == {"absent": "no server has told CloudWatch of itself in the last half hour"}
    assert found.as_json()["start"] == {"absent": "no machine has come in a week"}


def test_the_last_start_is_told_for_a_week(clients: Clients) -> None:
    now, of = datetime.now(UTC), [{"Name": name, "Value": value} for name, value in dimensions("dev", "main").items()]
    for days, whole in ((3, 412.0), (2, 322.0)):
        told = {"StartWhole": whole, "StartReady": 121.4, **({"StartImage": 95.6} if days == 3 else {})}
        data = [{"MetricName": name, "Value": value, "Dimensions": of} for name, value in told.items()]
        at = now - timedelta(days=days)
        clients("cloudwatch").put_metric_data(
            Namespace=NAMESPACE, MetricData=[{**one, "Timestamp": at} for one in data]
        )
    found = str(look(clients, "dev", Settings(region="us-east-1"), now, probe=False).start)
    assert found.startswith("322 s: server 121, in the hour from ")
    silent = Settings.model_validate({"region": "us-east-1", "metrics": {"cloudwatch": False}})
    assert "metrics.cloudwatch is false" in str(look(clients, "dev", silent, now, probe=False).start)


def test_a_denied_look_is_unknown_with_the_action(aws_account: AccountGaps) -> None:
    message = "User: arn:aws:iam::1:user/x is not authorized to perform: autoscaling:DescribeAutoScalingGroups"
    aws_account.refused["autoscaling:DescribeAutoScalingGroups"] = ("AccessDenied", message)
    found = look(aws_clients("us-east-1"), "dev", Settings(region="us-east-1"), NOW, probe=False)
    assert "may not do autoscaling:DescribeAutoScalingGroups" in str(found.servers)


def test_as_many_hosts_as_wanted_make_it_well() -> None:
    assert STATUS.well
    assert FLEET.replicas_serving == 4
    assert STATUS.as_json()["servers"]["replicasServing"] == 4


@pytest.mark.parametrize(
    "broken",
    [
        replace(STATUS, servers=replace(FLEET, hosts=(HOST, replace(HOST, target="draining")))),
        replace(STATUS, servers=replace(FLEET, hosts=(HOST, replace(HOST, state="Pending:Wait")))),
        replace(STATUS, servers=replace(FLEET, hosts=(HOST,))),
        replace(STATUS, last_token=Unknown("the API makes none")),
        replace(STATUS, servers=Unknown("no group")),
    ],
)
def test_anything_less_does_not(broken: Status) -> None:
    assert not broken.well


def test_cost_so_far_is_hosts_and_what_always_runs() -> None:
    settings = Settings.model_validate({"region": "us-east-1", "fleet": {"rootVolumeGib": 730}})
    fixed = costs.total(costs.fixed_costs(settings))
    fleet = replace(FLEET, hosts=(HOST, replace(HOST, since=NOW - timedelta(hours=1))))
    assert cost_so_far(settings, fleet, NOW) == pytest.approx(3 * (4.6016 + 0.08 + 60e-5) + 2 * fixed)
    assert isinstance(cost_so_far(settings, replace(fleet, hosts=()), NOW), Unknown)
    strange = replace(fleet, hosts=(replace(HOST, type="m5.large"),))
    assert cost_so_far(settings, strange, NOW) == Unknown("the catalog has no price of m5.large")


def test_why_hosts_came_or_went_is_said_in_auto_scalings_words() -> None:
    """The newest activity of a policy's, whatever has replaced hosts since."""
    acted = (
        "At 2026-11-29T21:00:10Z a monitor alarm tandem-dev-out-1 in state ALARM triggered policy tandem-dev-out-1 "
        "changing the desired capacity from 3 to 4"
    )
    causes = [
        "At 2026-11-29T21:30:00Z an instance was started in response to an instance refresh.",
        f"{acted}.  At 2026-11-29T21:00:20Z an instance was started in response to a difference between desired and "
        "actual capacity, increasing the capacity from 3 to 4.",
        acted.replace("from 3 to 4", "from 2 to 3"),
    ]
    scaling = mock.Mock()
    scaling.describe_scaling_activities.return_value = {"Activities": [{"Cause": cause} for cause in causes]}
    assert scaled(lambda _service: scaling, "fleet") == acted
    scaling.describe_scaling_activities.return_value = {"Activities": [{"Cause": causes[0]}]}
    assert scaled(lambda _service: scaling, "fleet") == ""


def test_a_fleet_that_sleeps_says_what_wakes_it() -> None:
    values = {"region": "us-east-1", "fleet": {"hosts": 0, "maxHosts": 2, "followLoad": True}}
    assert lifetime.why_idle(Settings.model_validate(values)) == (
        "asleep: no request for 65 min, or none yet; the next one gets 503 and starts hosts"
    )


@pytest.mark.parametrize("text", ["", "bm90IGd6aXA=", user_data("#!/bin/sh"), user_data("[1, 2]"), user_data("{:")])
def test_strange_user_data_tells_nothing(text: str) -> None:
    assert host_file(text) == {}


def test_the_host_file_is_found_in_user_data() -> None:
    files = [{"path": "/etc/other", "content": "x"}, {"path": "/etc/tandem/host.json", "content": '{"engine": 1}'}]
    assert host_file(user_data(f"#cloud-config\n{json.dumps({'write_files': files})}")) == {"engine": 1}


def at_0(most: int = 1, expires: str = "2030-01-01T00:00:00") -> Clients:
    """A stack's group without hosts, which may have so many."""
    clients = aws_clients("us-east-1")
    Builder(clients, "dev", "tandem-dev-one", expires=expires).everything()
    (group,) = ours(clients, "dev", types.GROUP)
    sizes = {"MinSize": 0, "DesiredCapacity": 0, "MaxSize": most}
    clients("autoscaling").update_auto_scaling_group(AutoScalingGroupName=group.id, **sizes)
    return clients


@pytest.mark.parametrize(
    ("guard", "expires", "most", "told"),
    [
        ({}, "2030-01-01T00:00:00", 1, "stopped after 60 min without a request, or by hand"),
        ({}, "2026-11-21T11:00:00", 0, "the time of this stack ended at 2026-11-21 11:00Z"),
        ({"businessHours": {}}, "2030-01-01T00:00:00", 1, "it is outside the business hours"),
        ({"idleAfter": None}, "2030-01-01T00:00:00", 1, "its settings, or somebody by hand, have set it to 0"),
    ],
)
def test_a_stack_at_0_says_why_and_what_starts_it(
    aws_account: AccountGaps, guard: dict[str, Any], expires: str, most: int, told: str
) -> None:
    clients = at_0(most, expires)
    values = {"region": "us-east-1", "costGuard": {"idleAfter": "60m", "expiresAfter": "4h"} | guard}
    found = look(clients, "dev", Settings.model_validate(values), NOW)
    assert found.stopped.startswith(told)
    assert "`pulumi up --refresh`" in found.stopped or "until these begin" in found.stopped
    assert found.as_json()["stopped"] == found.stopped


def test_the_command_says_that_a_stack_has_stopped_for_idleness(aws_account: AccountGaps) -> None:
    at_0()
    result = CliRunner().invoke(app, ["status", "dev"], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "stopped                stopped after 60 min without a request, or by hand; `pulumi up" in result.output
    assert "last token             none: no host is wanted" in result.output


def test_what_is_not_there_is_none_and_not_unknown(aws_account: AccountGaps) -> None:
    said = CliRunner().invoke(app, ["status", "dev"], env={"COLUMNS": "200"}).output
    assert "last token             none: as above" in said
    assert "unknown: as above" not in said


# -- platform eks ------------------------------------------------------------------------------------------------------

EKS = Settings.model_validate(
    {
        "region": "us-east-1",
        "platform": "eks",
        "fleet": {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 4},
        "scaling": {"minReplicas": 2, "maxReplicas": 4},
    }
)
TAGS = {"tandem:project": "tandem", "tandem:stack": "prod", "tandem:region": "us-east-1"}
TAG_LIST = [{"Key": key, "Value": value} for key, value in TAGS.items()]


def start(clients: Clients, instance_type: str, count: int, stack: str = "prod") -> None:
    tags = [{"Key": "tandem:stack", "Value": stack}, *TAG_LIST[:1]]
    clients("ec2").run_instances(
        ImageId=PUBLIC_IMAGE,
        InstanceType=instance_type,
        MinCount=count,
        MaxCount=count,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )


def models_on_a_cluster(clients: Clients, **pods: int) -> None:
    """A cluster, its controllers' nodes, two GPU nodes, somebody else's, and so many pods of each model."""
    eks, elb, ec2 = clients("eks"), clients("elbv2"), clients("ec2")
    role = "arn:aws:iam::123456789012:role/cluster"
    eks.create_cluster(name="tandem-prod", roleArn=role, resourcesVpcConfig={}, tags=TAGS)
    eks.create_nodegroup(
        clusterName="tandem-prod",
        nodegroupName="system",
        nodeRole=role,
        subnets=["subnet-1"],
        scalingConfig={"minSize": 2, "desiredSize": 2, "maxSize": 3},
        tags=TAGS,
    )
    start(clients, "m7i.large", 2)
    start(clients, "g6e.12xlarge", 2)
    start(clients, "g6e.12xlarge", 1, "another")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    ec2.create_tags(Resources=[vpc], Tags=TAG_LIST)
    for model, count in pods.items():
        group = elb.create_target_group(
            Name=model,
            Protocol="HTTP",
            Port=8080,
            VpcId=vpc,
            TargetType="ip",
            Tags=[*TAG_LIST, {"Key": "tandem:model", "Value": model}],
        )["TargetGroups"][0]["TargetGroupArn"]
        targets = [{"Id": f"10.20.130.{number}", "Port": 8080} for number in range(1, count + 1)]
        if targets:
            elb.register_targets(TargetGroupArn=group, Targets=targets)


def cluster_of(found: Status) -> Cluster:
    assert isinstance(found.servers, Cluster)
    return found.servers


def test_a_cluster_is_its_models_and_its_gpu_nodes(clients: Clients) -> None:
    models_on_a_cluster(clients, main=2)
    found = look(clients, "prod", EKS, datetime.now(UTC), probe=False)
    cluster = cluster_of(found)
    assert (cluster.name, cluster.state, cluster.summary) == ("tandem-prod", "ACTIVE", "2 of 2 replicas, 2 nodes")
    assert [(group.name, group.desired) for group in cluster.node_groups] == [("system", 2)]
    assert [node.type for node in cluster.nodes] == ["g6e.12xlarge", "g6e.12xlarge"]
    assert cluster.enough
    assert not cluster.stopped
    assert isinstance(found.cost_so_far, float)
    assert found.as_json()["servers"]["replicasServing"] == 2
    assert "kubectl --namespace inference" in str(found.running)


def test_each_model_needs_its_own_replicas(clients: Clients) -> None:
    models_on_a_cluster(clients, main=3, small=1)
    small = {"hostName": "small.example.com", "inference": {"model": "Qwen/Qwen3-8B"}, "scaling": {"minReplicas": 2}}
    domain = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
    values = {**EKS.model_dump(by_alias=True), "models": {"small": small}, "loadBalancer": domain}
    cluster = cluster_of(look(clients, "prod", Settings.model_validate(values), NOW, probe=False))
    assert [(model.name, model.serving, model.minimum) for model in cluster.models] == [("main", 3, 2), ("small", 1, 2)]
    assert not cluster.enough


def test_a_model_that_sleeps_is_well_and_left_alone(clients: Clients) -> None:
    models_on_a_cluster(clients, main=0)
    asleep = EKS.model_copy(update={"scaling": EKS.scaling.model_copy(update={"min_replicas": 0})})
    found = look(clients, "prod", asleep, NOW)
    assert cluster_of(found).asleep
    awake = replace(found, url="https://llm.example.com", servers=replace(cluster_of(found)))
    assert replace(awake, last_token=Unknown("it sleeps")).well
    assert not replace(awake, servers=cluster_of(look(clients, "prod", EKS, NOW))).well


def test_a_schedule_has_stopped_the_nodes(clients: Clients) -> None:
    models_on_a_cluster(clients, main=0)
    size = {"minSize": 0, "desiredSize": 0, "maxSize": 2}
    clients("eks").update_nodegroup_config(clusterName="tandem-prod", nodegroupName="system", scalingConfig=size)
    assert cluster_of(look(clients, "prod", EKS, NOW)).stopped


def test_no_cluster_is_unknown(clients: Clients) -> None:
    found = look(clients, "prod", EKS, NOW)
    assert found.servers == Absent("the stack has no EKS cluster in this account and region")
    assert not found.well


def test_the_command_prints_a_cluster(aws_account: AccountGaps) -> None:
    models_on_a_cluster(aws_clients("us-east-1"), main=2)
    text = CliRunner().invoke(app, ["status", "prod", "--no-probe"], env={"COLUMNS": "200"}).stdout
    assert "2 of 3 replicas, 2 nodes" in text
    assert "aws eks update-kubeconfig --region us-east-1 --name tandem-prod" in text
    assert "system (2 wanted, 2 to 3), ACTIVE" in text


# -- on what the real program built ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dev_stack(moto_server: SimulatedAccount) -> Iterator[AccountGaps]:
    """The dev stack, brought up by the real engine in the simulated account."""
    moto_server.reset()
    with (
        set_the_scene("dev", engine.ensure(print), moto_server) as scene,
        account_gaps(moto_server.url) as gaps,
    ):
        scene.workspace.up()
        yield gaps


@pytest.fixture
def shell(dev_stack: AccountGaps, moto_server: SimulatedAccount, monkeypatch: pytest.MonkeyPatch) -> Clients:
    for name, value in {**moto_server.environment("us-east-1"), "AWS_ENDPOINT_URL": dev_stack.url}.items():
        monkeypatch.setenv(name, value)
    return aws_clients("us-east-1")


@pytest.mark.engine
def test_the_dev_stack_as_it_stands(shell: Clients) -> None:
    found = look(shell, "dev", load_stack_file(stack_file("dev")), datetime.now(UTC), probe=False)
    assert isinstance(found.servers, Fleet)
    (host,) = found.servers.hosts
    assert (found.servers.minimum, found.servers.desired, found.servers.maximum) == (0, 1, 1)
    assert (host.type, host.state, host.target, host.current, host.replicas) == (
        "g6.12xlarge",
        "InService",
        "healthy",
        True,
        2,
    )
    assert isinstance(found.running, dict)
    assert found.running["model"] == "Qwen/Qwen3-8B"
    assert found.running["image"].startswith("docker.io/vllm/vllm-openai")
    assert found.running["launchTemplateVersion"] == host.version == "1"
    assert isinstance(found.url, str)
    assert found.url.startswith("https://")
    assert found.requests == "none in the last hour"
    assert isinstance(found.cost_so_far, float)
    assert 0 < found.cost_so_far < 1
    expires = datetime.fromisoformat(str(found.expires_at))
    assert timedelta(hours=3, minutes=50) < expires - datetime.now(UTC) < timedelta(hours=4)


@pytest.mark.engine
def test_the_command_on_the_dev_stack(shell: Clients) -> None:
    result = CliRunner().invoke(app, ["status", "dev", "--json"])
    assert result.exit_code == 1  # the simulated load balancer leads nowhere
    report: dict[str, Any] = json.loads(result.stdout)
    assert report["well"] is False
    assert report["servers"]["replicasServing"] == 2
    assert report["lastToken"]["unknown"].startswith("the API makes none: the connection failed")
    text = CliRunner().invoke(app, ["status", "dev", "--no-probe"], env={"COLUMNS": "200"}).stdout
    assert "1 wanted, 0 to 1" in text
    assert "unknown: not asked for (--no-probe)" in text


@pytest.mark.engine
def test_smoke_finds_its_way_into_the_dev_stack(shell: Clients) -> None:
    found = endpoint.find(shell, "dev")
    assert found is not None
    assert found.ca_pem is not None
    assert "BEGIN CERTIFICATE" in found.ca_pem
    assert endpoint.servers(shell, "dev") == 1
    assert key_store.find(shell, "dev").read() == (Document(), None)


@pytest.mark.engine
def test_doctor_on_a_stack_that_is_up(shell: Clients, dev_stack: AccountGaps) -> None:
    dev_stack.quotas |= {"L-3819A6DF": 96, "L-F678F1CE": 2}
    examination = Examination(
        stack="dev",
        settings=load_stack_file(stack_file("dev")),
        pins=pins.load(),
        clients=shell,
        home=shell,
        now=datetime.now(UTC),
    )
    found = {name: run_check(name, examination) for name in ("GPU quota", "network quota", "secrets")}
    assert {finding.severity for findings in found.values() for finding in findings} == {"ok"}
    assert "tandem-dev-issued-keys" in found["secrets"][0].value
