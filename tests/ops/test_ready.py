"""`tandem ready`: each line met by a sound stack, and not met, or not known, by one in which a thing is broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import boto3
import pytest
from botocore.stub import ANY, Stubber
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import ANSWERS, AccountGaps
from pulumi_rehearsal.moto import ACCOUNT_ID
from rehearsal import placeholders
from tandem import loads, pins
from tandem.alarms import NAMESPACE, dimensions
from tandem.errors import UserError
from tandem.files import PROJECT
from tandem.http import Http
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.kinds.kind import Clients
from tandem.ops.ready import LINES, Found, Visit, examine
from tandem.ops.ready.load import USE
from tandem.ops.status import Cluster, Host, Machine, Status, Unknown
from tandem.ops.status.report import Model
from tandem.settings import Settings
from tandem.tags import STACK_TAG
from tests.ops.account import REGION, Builder, tags_of
from tests.ops.test_status import FLEET, HOST, STATUS

NOW = datetime.now(UTC)
IMAGE = f"docker.io/vllm/vllm-openai@sha256:{'0' * 64}"
OTHER = replace(HOST, id="i-2", zone="us-east-1b")
WELL = replace(STATUS, running={"image": IMAGE}, servers=replace(FLEET, hosts=(HOST, OTHER)))
MAIL = "oncall@example.com"
TAGS = [{"Key": key, "Value": value} for key, value in tags_of("dev").items()]


@dataclass
class Scene:
    """An account, a stack's settings and how it is, of which a case breaks one thing."""

    gaps: AccountGaps
    clients: Clients
    monkeypatch: pytest.MonkeyPatch
    sections: dict[str, Any] = field(default_factory=dict)
    status: Status = WELL
    pinned: pins.Pins = field(default_factory=pins.load)
    http: Any = None
    made: Builder | None = None
    project: Path = field(default_factory=Path)

    def serving(self, *hosts: Host) -> None:
        self.status = replace(WELL, servers=replace(FLEET, desired=len(hosts), hosts=hosts))

    def served(self) -> Builder:
        """Network, load balancer, firewall, certificate, group and what asks from outside."""
        self.made = Builder(self.clients, "dev", "tandem-dev-one")
        self.made.network()
        self.made.serving()
        self.clients("elbv2").modify_target_group(TargetGroupArn=self.made.targets, HealthCheckPath="/healthz")
        return self.made

    def look(self, line: str) -> Found:
        visit = Visit(
            stack="dev",
            settings=Settings.model_validate({"region": REGION, "ephemeral": True, **self.sections}),
            pins=self.pinned,
            clients=self.clients,
            home=self.clients,
            now=NOW,
            status=self.status,
            prometheus="http://prometheus:9090" if self.http else "",
            http=self.http or Http(),
            project=self.project,
        )
        self.monkeypatch.setattr("tandem.ops.ready.table.LINES", {line: LINES[line]})
        (found,) = examine(visit)
        return found


@pytest.fixture(scope="module")
def pinned(tmp_path_factory: pytest.TempPathFactory) -> pins.Pins:
    """Every pin looked up."""
    path = tmp_path_factory.mktemp("pins") / "pins.toml"
    path.write_bytes(pins.PINS_FILE.read_bytes())
    placeholders.fill(path)
    return pins.load(path)


@pytest.fixture
def scene(aws_account: AccountGaps, monkeypatch: pytest.MonkeyPatch, pinned: pins.Pins) -> Scene:
    return Scene(aws_account, aws_clients(REGION), monkeypatch, pinned=pinned)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, pinned: pins.Pins, tmp_path: Path) -> Scene:
    """Without an account: whatever asks one fails."""
    return Scene(AccountGaps(), {}.__getitem__, monkeypatch, pinned=pinned, project=tmp_path)


def nothing(_scene: Scene) -> None: ...


# -- what serves -------------------------------------------------------------------------------------------------------


def unpinned(scene: Scene) -> None:
    scene.pinned = pins.load()


def by_tag(scene: Scene) -> None:
    scene.status = replace(WELL, running={"image": "docker.io/vllm/vllm-openai:v1"})


def refused(scene: Scene) -> None:
    scene.status = replace(WELL, servers=Unknown("AWS refused"))


def old_host(scene: Scene) -> None:
    scene.serving(HOST, replace(OTHER, current=False))


def asked_for_less(scene: Scene) -> None:
    targets = scene.served().targets
    scene.clients("elbv2").modify_target_group(TargetGroupArn=targets, HealthCheckPath="/health")


def one_hangs(scene: Scene) -> None:
    scene.served()
    scene.serving(HOST, replace(OTHER, target="unhealthy"))


def one_zone(scene: Scene) -> None:
    scene.serving(HOST, replace(OTHER, zone=HOST.zone))


def one_host(scene: Scene) -> None:
    scene.serving(HOST)


def one_of_two(scene: Scene) -> None:
    scene.serving(HOST, replace(OTHER, state="Pending:Wait"))


def needed_all(scene: Scene) -> None:
    scene.sections["fleet"] = {"hosts": 2}


def asleep(scene: Scene) -> None:
    scene.status = replace(WELL, stopped="asleep", servers=replace(FLEET, minimum=0, desired=0, hosts=()))


def on_a_cluster(replicas: int, *zones: str) -> Callable[[Scene], None]:
    nodes = tuple(Machine(id=z, type="t", zone=z, purchase="p", since=None, state="running") for z in zones)
    model = Model(name="main", minimum=1, maximum=4, targets={"healthy": replicas})
    parts = {"version": "1", "state": "ACTIVE", "models": (model,), "node_groups": (), "kubeconfig_command": ""}
    cluster = Cluster(name="c", nodes=nodes, **parts)

    def run(scene: Scene) -> None:
        scene.status = replace(WELL, servers=cluster, running=Unknown("the cluster tells it"))

    return run


# -- what clients sent -------------------------------------------------------------------------------------------------


def days(**values: Sequence[float]) -> Callable[[Scene], None]:
    """What CloudWatch says of days, newest first; boto3's own client holds question and answer against AWS's model.

    Stands for: CloudWatch's percentiles, which moto does not have.
    Held by: nothing but botocore's model.
    """

    def told(scene: Scene) -> None:
        client = boto3.client("cloudwatch", REGION, aws_access_key_id="a", aws_secret_access_key="b")
        stub, clients = Stubber(client), scene.clients
        times = [NOW - timedelta(days=day) for day in range(7)]
        results = [{"Id": one.name, "Timestamps": times[: len(values.get(one.name, ()))]} for one in USE]
        answer = [one | {"Values": list(values.get(one["Id"], ())), "StatusCode": "Complete"} for one in results]
        asked = {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": ANY, "ScanBy": "TimestampDescending"}
        stub.add_response("get_metric_data", {"MetricDataResults": answer}, asked)
        stub.activate()
        scene.clients = lambda service: client if service == "cloudwatch" else clients(service)

    return told


def untold(scene: Scene) -> None:
    scene.sections["metrics"] = {"cloudwatch": False}


def prompts(counts: dict[str, int], **inference: Any) -> Callable[[Scene], None]:
    """Requests by their prompt's bucket, as a Prometheus adds them up.

    Stands for: Prometheus's answer to one query.
    Held by: tests/observing/test_prompts.py::test_a_real_prometheus_tells_how_long_prompts_are
    """

    def asked(scene: Scene) -> None:
        result = [{"metric": {"le": bound}, "value": [0, str(count)]} for bound, count in counts.items()]
        answer = {"status": "success", "data": {"resultType": "vector", "result": result}}
        session = SimpleNamespace(get=lambda *_a, **_k: SimpleNamespace(status_code=200, json=lambda: answer))
        scene.http = Http(session=session)  # pyright: ignore[reportArgumentType]
        scene.sections["inference"] = {"maxModelLen": 32768, **inference}

    return asked


USUAL = {"50.0": 900, "2000.0": 1890, "5000.0": 1899, "10000.0": 1900, "20000.0": 1900, "+Inf": 1900}
LONG = USUAL | {"10000.0": 1880, "5000.0": 1880, "2000.0": 1880, "20000.0": 1880}
TINY = {"model": "Qwen/Qwen3-32B-FP8", "maxModelLen": 40960}
FAR_BELOW = {"50.0": 900, "100.0": 1899, "200.0": 1900, "+Inf": 1900}


# -- what the account says ---------------------------------------------------------------------------------------------


def alarmed(scene: Scene) -> None:
    sns, watch = scene.clients("sns"), scene.clients("cloudwatch")
    topic = sns.create_topic(Name="tandem-dev-alerts", Tags=TAGS)["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=MAIL)
    watch.put_metric_alarm(
        AlarmName="tandem-dev-queue",
        Namespace="tandem",
        MetricName="Queued",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=5,
        Threshold=60,
        ComparisonOperator="GreaterThanThreshold",
        AlarmActions=[topic],
        Tags=TAGS,
    )


def switched_off(scene: Scene) -> None:
    alarmed(scene)
    scene.clients("cloudwatch").disable_alarm_actions(AlarmNames=["tandem-dev-queue"])


def pending(scene: Scene) -> None:
    """moto confirms for everybody; SNS shows this word in the place of the ARN."""
    alarmed(scene)
    told = {"SubscriptionArn": "PendingConfirmation", "Endpoint": MAIL, "Protocol": "email"}
    answer = {"Subscriptions": [told]}
    scene.monkeypatch.setitem(ANSWERS, "sns:ListSubscriptionsByTopic", lambda _gaps, _call: answer)


def forgotten(scene: Scene) -> None:
    alarmed(scene)
    scene.sections["costGuard"] = {"expiresAfter": "4h", "alertEmails": ["boss@example.com"]}


def with_client(**limits: Any) -> Callable[[Scene], None]:
    def made(scene: Scene) -> None:
        scene.served()
        text = {"clients": {"alice": {"keys": [{"sha256": "a" * 64}], **limits}}}
        secrets = scene.clients("secretsmanager")
        secrets.create_secret(Name="tandem-dev-issued-keys-0a1b2c3", Tags=TAGS, SecretString=json.dumps(text))

    return made


def without_firewall(scene: Scene) -> None:
    scene.served()
    balancers = scene.clients("elbv2").describe_load_balancers()["LoadBalancers"]
    scene.clients("wafv2").disassociate_web_acl(ResourceArn=balancers[0]["LoadBalancerArn"])


def replicated(scene: Scene) -> None:
    with_client()(scene)
    region = [{"Region": "eu-west-1"}]
    name = "tandem-dev-issued-keys-0a1b2c3"
    scene.clients("secretsmanager").replicate_secret_to_regions(SecretId=name, AddReplicaRegions=region)


def budget(*notices: int, tag: str = "Active") -> Callable[[Scene], None]:
    def made(scene: Scene) -> None:
        scene.gaps.allocation_tags[STACK_TAG] = tag
        limit = {"BudgetLimit": {"Amount": "30", "Unit": "USD"}, "TimeUnit": "MONTHLY", "BudgetType": "COST"}
        budgets = scene.clients("budgets")
        budgets.create_budget(AccountId=ACCOUNT_ID, Budget={"BudgetName": "tandem-dev-1", **limit})
        arn = f"arn:aws:budgets::{ACCOUNT_ID}:budget/tandem-dev-1"
        budgets.tag_resource(ResourceARN=arn, ResourceTags=TAGS)
        for percent in notices:
            budgets.create_notification(
                AccountId=ACCOUNT_ID,
                BudgetName="tandem-dev-1",
                Notification={
                    "NotificationType": "ACTUAL",
                    "ComparisonOperator": "GREATER_THAN",
                    "Threshold": percent,
                },
                Subscribers=[{"SubscriptionType": "EMAIL", "Address": MAIL}],
            )

    return made


def capped(scene: Scene) -> None:
    scene.clients("scheduler").create_schedule_group(Name="tandem-dev-1", Tags=TAGS)
    scene.sections["costGuard"] = {"maxUsd": 30}


def asked_in_vain(scene: Scene) -> None:
    """What moto says is always Success."""
    scene.served()
    clients, client = scene.clients, boto3.client("route53")
    failed = {"Region": "eu-west-1", "StatusReport": {"Status": "Failure: HTTP Status Code 503"}}
    stub = Stubber(client)
    stub.add_response("get_health_check_status", {"HealthCheckObservations": [failed]}, {"HealthCheckId": ANY})
    stub.activate()
    told = mock.Mock(wraps=clients("route53"), get_health_check_status=client.get_health_check_status)
    scene.clients = lambda service: told if service == "route53" else clients(service)


def served(scene: Scene) -> None:
    scene.served()


def tried(*failed: int) -> Callable[[Scene], None]:
    """A stack with a canary, and what a machine told of it two minutes ago."""

    def told(scene: Scene) -> None:
        scene.sections["canary"] = {"gate": True}
        of = [{"Name": name, "Value": value} for name, value in dimensions("dev", "main").items()]
        at = {"Timestamp": NOW - timedelta(minutes=2), "Dimensions": of}
        data = [{"MetricName": "CanaryFailed", "Value": number, **at} for number in failed]
        if data:
            scene.clients("cloudwatch").put_metric_data(Namespace=NAMESPACE, MetricData=data)

    return told


def certified(**fields: Any) -> Callable[[Scene], None]:
    """A certificate for the stack's own name; moto's end never, and are issued at once."""

    def made(scene: Scene) -> None:
        scene.served()
        domain = "llm.example.com"
        scene.sections["loadBalancer"] = {"domainName": domain, "hostedZoneId": "Z0123456789ABC"}
        arn = f"arn:aws:acm:{REGION}:{ACCOUNT_ID}:certificate/12345678-1234-1234-1234-123456789012"
        found = {"CertificateArn": arn, "DomainName": domain, "Status": "ISSUED", "Type": "AMAZON_ISSUED", **fields}
        scene.monkeypatch.setitem(ANSWERS, "acm:DescribeCertificate", lambda _gaps, _call: {"Certificate": found})

    return made


def lasting(scene: Scene) -> None:
    scene.sections["ephemeral"] = False


def ends(scene: Scene) -> None:
    scene.status = replace(WELL, expires_at="2026-11-21T16:02:00Z")


def load_tested(*, days_ago: int = 29, **more: Any) -> Callable[[Scene], None]:
    """A load test's line in the project's file."""
    at = (NOW - timedelta(days=days_ago)).isoformat()

    def write(scene: Scene) -> None:
        file = loads.path_of(scene.project, "dev")
        file.parent.mkdir()
        file.write_text(loads.added(file, {"at": at, "kept": True, "rate": 12.5, "whole": True, **more}))

    return write


LINES_TO = f"arn:aws:kinesis:{REGION}:{ACCOUNT_ID}:stream/lines"
OF_HOSTS = "/tandem/dev/0/hosts"


def logging(scene: Scene) -> None:
    scene.sections["logs"] = {"sendTo": LINES_TO}
    scene.clients("logs").create_log_group(logGroupName=OF_HOSTS, tags=tags_of("dev"))


def sending(**counted: int) -> Callable[[Scene], None]:
    """A group whose lines go on, and what CloudWatch has counted of them an hour ago."""

    def made(scene: Scene) -> None:
        logging(scene)
        scene.clients("kinesis").create_stream(StreamName="lines", ShardCount=1)
        scene.clients("logs").put_subscription_filter(
            logGroupName=OF_HOSTS, filterName="own", filterPattern="", destinationArn=LINES_TO
        )
        for name, others in (("own", 1), ("of-somebody-else", 5)):
            of = {"LogGroupName": OF_HOSTS, "DestinationType": "as AWS spells it", "FilterName": name}
            told = {
                "Dimensions": [{"Name": key, "Value": value} for key, value in of.items()],
                "Timestamp": NOW - timedelta(hours=1),
            }
            data = [{"MetricName": metric, "Value": value * others, **told} for metric, value in counted.items()]
            if data:
                scene.clients("cloudwatch").put_metric_data(Namespace="AWS/Logs", MetricData=data)

    return made


def no_test(scene: Scene) -> None:
    file = loads.path_of(scene.project, "dev")
    file.parent.mkdir()
    file.write_text("{}")


MET: dict[str, list[tuple[Callable[[Scene], None], str]]] = {
    "versions": [(nothing, IMAGE), (on_a_cluster(2, "a", "b"), "`tandem rollout` asks the cluster")],
    "prompts": [
        (prompts(USUAL), "99 of 100 prompts have up to 2,000 tokens of 32,768"),
        (prompts(FAR_BELOW), "up to 100 tokens of 32,768"),
    ],
    "utilization": [(days(kv=[12, 88], gpus=[3, 61], tokens=[5, 9]), "main: KV cache 88 %, GPUs 61 %")],
    "probes": [(served, "2 of 2 hosts")],
    "alarms": [(alarmed, MAIL)],
    "limits": [(with_client(streams=4), "alice"), (served, "no client has a key")],
    "load test": [(load_tested(), "12.5 requests a second kept the objectives on")],
    "keys": [(nothing, "no key is in"), (replicated, "a copy in eu-west-1")],
    "budget": [(budget(80), "tandem-dev-1, 1 notices"), (capped, "it stops at $30.00")],
    "canary": [(served, "tandem-dev-one.example.com, by 1 checkers"), (tried(0), "main passed")],
    "logs": [(nothing, "in CloudWatch alone"), (sending(ForwardedLogEvents=7), f"7 lines in a day to {LINES_TO}")],
    "zones": [(nothing, "us-east-1a, us-east-1b"), (on_a_cluster(2, "a", "b"), "a, b")],
    "N+1": [(nothing, "2 of 2 hosts"), (on_a_cluster(2, "a", "b"), "2 of 1 replicas")],
    "certificate": [(certified(), "llm.example.com"), (nothing, "sign its own")],
    "expiry": [(ends, "2026-11-21T16:02:00Z"), (lasting, "never")],
}
Bad = tuple[Callable[[Scene], None], str, str, str]
UNMET: dict[str, list[Bad]] = {
    "versions": [
        (unpinned, "not met", "empty in images/pins.toml: vllm.digest", "`tandem pin`"),
        (by_tag, "not met", "has no digest", "`tandem pin`"),
        (refused, "not known", "AWS refused", "`tandem pin`"),
        (old_host, "not met", "another version than new hosts get: i-2", "`tandem rollout dev`"),
    ],
    "prompts": [
        (nothing, "not known", "no --prometheus", "histogram_quantile(0.99"),
        (prompts({}), "not known", "0 prompts", "--prometheus URL"),
        (prompts({"50.0": 9000, "+Inf": 9099}), "not known", "99 prompts of more than 50 tokens", "some traffic"),
        (prompts(LONG), "not met", "up to 32,768 tokens of 32,768", "inference.maxModelLen 65536`"),
        (prompts(FAR_BELOW, **TINY), "not met", "up to 100 tokens of 40,960", "inference.maxModelLen 256`"),
    ],
    "utilization": [
        (days(kv=[12, 91], tokens=[5, 9]), "not met", "main: KV cache 91 %", "fleet.hosts"),
        (days(kv=[0], tokens=[0]), "not known", "no token was made", "fleet.hosts"),
        (untold, "not known", "metrics.cloudwatch is false", "fleet.hosts"),
    ],
    "probes": [
        (nothing, "not met", "asks nobody", "`pulumi up --refresh`"),
        (asked_for_less, "not met", "asks /health, not /healthz", "`pulumi up --refresh`"),
        (one_hangs, "not met", "1 of 2 hosts", "`tandem status dev`"),
    ],
    "alarms": [
        (nothing, "not met", "no alarm calls anybody", "alarms.enabled true"),
        (switched_off, "not met", "switched off: tandem-dev-queue", "aws cloudwatch enable-alarm-actions"),
        (pending, "not met", f"not confirmed: {MAIL}", "open the link"),
        (forgotten, "not met", "not confirmed: boss@example.com", "open the link"),
    ],
    "limits": [
        (with_client(), "not met", "no limit of their own: alice", "tandem keys add dev NAME --streams 4"),
        (without_firewall, "not met", "no firewall", "`pulumi up --refresh`"),
    ],
    "load test": [
        (nothing, "not met", "none was made", "`tandem load dev --rate"),
        (load_tested(days_ago=31), "not met", "31 days ago", "`tandem load dev --rate"),
        (load_tested(kept=False), "not met", "did not keep", "--peak"),
        (load_tested(whole=False), "not met", "was interrupted", "`tandem load dev --rate"),
        (no_test, "not known", "holds no load tests", "`tandem load dev --rate"),
    ],
    "keys": [(with_client(), "not met", "one secret of one region: alice", "replicate-secret-to-regions --region us")],
    "budget": [
        (nothing, "not met", "no budget", "costGuard.monthlyBudgetUsd"),
        (budget(), "not met", "tandem-dev-1 tells nobody", "costGuard.alertEmails"),
        (budget(80, tag="Inactive"), "not met", "is not activated", "aws ce update-cost-allocation-tags-status"),
    ],
    "canary": [
        (nothing, "not met", "nothing asks it", "tandem:canary.gate true`"),
        (tried(0, 3), "not met", "main: 3 failed", "`tandem canary dev`"),
        (tried(), "not known", "no machine has told of it: main", "tandem:canary.gate true`"),
        (asked_in_vain, "not met", "Failure: HTTP Status Code 503", "`tandem smoke dev`"),
    ],
    "logs": [
        (logging, "not met", f"nothing leads there from {OF_HOSTS}", "`pulumi up --refresh`"),
        (
            sending(),
            "not known",
            "no line went in a day: did anybody ask? docs/logs.md says what a place needs",
            "`pulumi up --refresh`",
        ),
        (sending(ForwardedLogEvents=7, DeliveryErrors=2), "not met", "DeliveryErrors 2", f"{LINES_TO}: is it there"),
        (sending(DeliveryThrottling=5), "not met", "DeliveryThrottling 5", "has it room"),
    ],
    "zones": [
        (one_of_two, "not met", "all 1 in us-east-1a", "as the line N+1 says"),
        (one_zone, "not met", "all 2 in us-east-1a", "network.zones"),
        (asleep, "not known", "asleep", "network.zones"),
        (on_a_cluster(2, "a"), "not met", "all 1 in a", "as the line N+1 says"),
    ],
    "N+1": [
        (one_host, "not met", "serving 1, the load takes 1", "fleet.spareHosts 1"),
        (one_of_two, "not met", "serving 1, the load takes 1", "`tandem status dev`"),
        (needed_all, "not met", "serving 2, the load takes 2", "fleet.spareHosts 1"),
        (on_a_cluster(1, "a", "b"), "not met", "main has 1", "scaling.minReplicas"),
        (on_a_cluster(2, "a"), "not met", "all on one node", "scaling.spread"),
    ],
    "certificate": [
        (lasting, "not met", "self-signed", "loadBalancer.domainName"),
        (certified(Status="PENDING_VALIDATION"), "not met", "is not issued", "aws acm describe-certificate"),
        (certified(DomainName="x.example.com"), "not met", "is not for llm.example.com", "aws acm request-certificate"),
        (certified(Type="IMPORTED", NotAfter=NOW + timedelta(days=9)), "not met", "ends soon", "import-certificate"),
    ],
    "expiry": [(nothing, "not met", "nothing ends it", "costGuard.expiresAfter 4h")],
}


OFFLINE = ("versions", "prompts", "utilization", "zones", "N+1", "expiry", "load test")
"""Lines that ask no account; CloudWatch and Prometheus are the cases' own."""
GOOD = [(line, *case) for line, cases in MET.items() for case in cases]
BAD = [(line, *case) for line, cases in UNMET.items() for case in cases]
SOUND = ("line", "make", "value")
BROKEN = ("line", "break_it", "state", "value", "mends")
Break = Callable[[Scene], None]


def is_met(scene: Scene, line: str, make: Break, value: str) -> None:
    make(scene)
    found = scene.look(line)
    assert (found.state, found.mends) == ("met", ""), found
    assert value in found.value


def is_named(scene: Scene, line: str, break_it: Break, state: str, value: str, mends: str) -> None:
    break_it(scene)
    found = scene.look(line)
    assert found.state == state, found
    assert value in found.value
    assert mends in found.mends


@pytest.mark.parametrize(SOUND, [case for case in GOOD if case[0] in OFFLINE])
def test_a_sound_stack_meets_each_line_that_asks_no_account(bare: Scene, line: str, make: Break, value: str) -> None:
    is_met(bare, line, make, value)


@pytest.mark.parametrize(SOUND, [case for case in GOOD if case[0] not in OFFLINE])
def test_a_sound_stack_meets_each_line(scene: Scene, line: str, make: Break, value: str) -> None:
    is_met(scene, line, make, value)


@pytest.mark.parametrize(BROKEN, [case for case in BAD if case[0] in OFFLINE])
def test_what_is_broken_is_named_without_an_account(
    bare: Scene, line: str, break_it: Break, state: str, value: str, mends: str
) -> None:
    is_named(bare, line, break_it, state, value, mends)


@pytest.mark.parametrize(BROKEN, [case for case in BAD if case[0] not in OFFLINE])
def test_what_is_broken_is_named_with_what_mends_it(
    scene: Scene, line: str, break_it: Break, state: str, value: str, mends: str
) -> None:
    is_named(scene, line, break_it, state, value, mends)


def test_each_line_is_tried_both_ways() -> None:
    assert {*UNMET} == {*MET} == {*LINES}


def test_a_look_that_aws_refuses_is_not_known_and_says_what_would_allow_it(scene: Scene) -> None:
    alarmed(scene)
    message = "User: arn:aws:iam::1:user/x is not authorized to perform: sns:ListSubscriptionsByTopic"
    scene.gaps.refused["sns:ListSubscriptionsByTopic"] = ("AuthorizationError", message)
    found = scene.look("alarms")
    assert (found.state, found.mends) == ("not known", "allow sns:ListSubscriptionsByTopic for them")


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_shows_each_line_and_ends_with_1(aws_account: AccountGaps) -> None:
    Builder(aws_clients(REGION), "dev", "tandem-dev-one").everything()
    result = CliRunner().invoke(app, ["ready", "dev", "--accept", "load test", "--json"])
    assert result.exit_code == 1, result.output
    told = json.loads(result.stdout)
    states = {one["line"]: one["state"] for one in told["lines"]}
    assert [*states] == [*LINES]
    assert not told["ready"]
    assert (states["load test"], states["zones"], states["canary"]) == ("accepted", "not met", "met")
    text = CliRunner().invoke(app, ["ready", "dev"], env={"COLUMNS": "300"}).stdout
    assert "not met    budget: tandem-dev-one tells nobody\n           needed: a budget that tells somebody" in text
    assert "           fix:    tandem:costGuard.alertEmails" in text
    assert "1 not known" not in text.splitlines()[-1]


def test_a_stack_of_which_each_line_is_met_or_accepted_is_ready(aws_account: AccountGaps) -> None:
    Builder(aws_clients(REGION), "dev", "tandem-dev-one").everything()
    accepted = [word for line in LINES for word in ("--accept", line)]
    result = CliRunner().invoke(app, ["ready", "dev", *accepted])
    assert result.exit_code == 0, result.output
    assert "accepted" in result.output


def test_what_is_no_line_cannot_be_accepted(aws_account: AccountGaps) -> None:
    result = CliRunner().invoke(app, ["ready", "dev", "--accept", "lunch"])
    assert isinstance(result.exception, UserError)
    assert "certificate" in str(result.exception)


def test_a_stack_that_is_not_up_is_no_stack_that_is_ready(aws_account: AccountGaps) -> None:
    result = CliRunner().invoke(app, ["ready", "dev"])
    assert isinstance(result.exception, UserError)
    assert "the stack has no Auto Scaling group" in str(result.exception)


def test_the_page_has_each_line() -> None:
    page = (PROJECT / "docs/operations.md").read_text().partition("## ready: ")[2].partition("\n## ")[0]
    assert [line for line in LINES if f"| {line} |" not in page] == []
