"""`tandem top`: what machines told, in the shapes of AWS's own model; moto's part is in shared/test_telemetry.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber
from rich.console import Group
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import alarms
from tandem.errors import Problem, UserError
from tandem.ops import figures
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.commands import top
from tandem.ops.commands.top import Frame, rows, shown
from tandem.ops.figures import FIGURES, STARTS, ModelFigures
from tandem.ops.kinds.kind import Clients
from tandem.ops.screen import Screen
from tandem.ops.status import Serving, serving
from tandem.ops.whose import Own
from tandem.settings import Settings
from tests.calls import recorded
from tests.ops.account import Builder
from tests.ops.test_status import FLEET, NOW

PROD = Settings.model_validate(
    {"region": "us-east-1", "objectives": {"firstTokenSeconds": 2.5, "betweenTokensSeconds": 0.1}}
)
DOMAIN = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}
ANSWERED = {
    "servers": [4, 4, 4, 4, 4, 9],
    "load": [32, 16, 0],
    "queued_seconds": [0],
    "stalled_seconds": [3],
    "tokens_a_second": [120_000] * 5,
    "requests_a_minute": [200] * 5,
    "failed_share": [0.001],
    "first_token_p50": [0.375],
    "first_token_p99": [0.875],
    "between_tokens_p50": [0.0125],
    "between_tokens_p99": [0.0625],
    "kv_cache_percent": [45],
    "kv_cache_most_percent": [93],
    "preemptions": [0],
    "restarts": [0],
    "canary_failed": [0],
    "start_seconds": [412, 999],
    "start_image_seconds": [95],
    "start_weights_seconds": [180],
    "start_ready_seconds": [101],
}
"""What CloudWatch answers, newest first; nothing of GPUs, as from pods."""
SERVING = Serving(servers=FLEET, usd_per_hour=4.8)


def cloudwatch(values: Mapping[str, Sequence[float]], stack: str = "prod", looks: int = 1) -> Clients:
    """boto3's client, which holds questions and answers against AWS's model of them."""
    client = boto3.client("cloudwatch", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    stub = Stubber(client)
    results = [
        {
            "Id": figure.name,
            "Label": figure.name,
            "Timestamps": [NOW - timedelta(seconds=figure.period * (i + 1)) for i in range(len(found))],
            "Values": [float(value) for value in found],
            "StatusCode": "Complete",
        }
        for figure in (*FIGURES, *STARTS)
        for found in [values.get(figure.name, ())]
    ]
    for _ in range(2 * looks):  # of half an hour, and of a week
        stub.add_response(
            "get_metric_data",
            {"MetricDataResults": results},
            {"MetricDataQueries": ANY, "StartTime": ANY, "EndTime": ANY, "ScanBy": "TimestampDescending"},
        )
    stub.activate()
    return lambda _service: client


def main(**changes: Sequence[float]) -> ModelFigures:
    (found,) = figures.look(cloudwatch(ANSWERED | changes), "prod", PROD, NOW)
    return found


def test_each_figure_is_one_that_machines_report() -> None:
    assert {one.metric for one in FIGURES} == {*alarms.FIGURES, *alarms.GPU_FIGURES, *alarms.CANARY_FIGURES}
    assert {one.metric for one in STARTS} == {*alarms.START_FIGURES}
    assert len({one.name for one in (*FIGURES, *STARTS)}) == len(FIGURES) + len(STARTS) <= 500  # queries of a call


def test_what_a_look_costs_is_what_its_help_says() -> None:
    assert f"${round(len((*FIGURES, *STARTS)) * 0.01 / 1000, 4)}" in str(top.top.__doc__)


def test_rates_are_by_second_and_minute_and_the_newest_value_counts() -> None:
    found = main()
    assert found.now("tokens_a_second") == 2000
    assert found.now("requests_a_minute") == 200
    assert found.now("load") == 32
    assert found.told_at == NOW - timedelta(minutes=1)


def test_what_is_shown_of_a_model_that_is_well() -> None:
    found = {name: text for name, text, _ in rows(main())}
    assert found == {
        "servers": "4",
        "load of a server": "32  ▁▅█",
        "a queue for": "0 s",
        "no token for": "3 s",
        "requests": "200 a minute",
        "failed": "0.1 % (promised 0.5 %)",
        "first token": "0.375 s, 99 %: 0.875 s (promised 2.5 s)",
        "between tokens": "0.0125 s, 99 %: 0.0625 s (promised 0.1 s)",
        "tokens": "2,000 a second",
        "KV cache": "45 %, 93 % at most",
        "thrown out of it": "0",
        "restarts": "0",
        "cold start": "412 s: image 95, weights 180, server 101",
        "canary": "passed",
        "GPUs": "not told",
    }
    assert not [name for name, _, bad in rows(main()) if bad]


@pytest.mark.parametrize(
    ("figure", "value", "row"),
    [
        ("servers", 0, "servers"),
        ("queued_seconds", 61, "a queue for"),
        ("stalled_seconds", 121, "no token for"),
        ("failed_share", 0.006, "failed"),
        ("first_token_p99", 3.75, "first token"),
        ("between_tokens_p99", 0.125, "between tokens"),
        ("kv_cache_most_percent", 96, "KV cache"),
        ("preemptions", 1, "thrown out of it"),
        ("restarts", 1, "restarts"),
        ("canary_failed", 2, "canary"),
        ("gpu_errors", 1, "GPUs"),
    ],
)
def test_what_is_worse_than_promised_is_marked_and_nothing_else(figure: str, value: float, row: str) -> None:
    assert [name for name, _, bad in rows(main(**{figure: [value]})) if bad] == [row]


def test_nothing_told_is_said_and_not_0() -> None:
    (found,) = figures.look(cloudwatch({}), "prod", PROD, NOW)
    assert found.told_at is None
    assert {text for _, text, _ in rows(found)} == {"not told", "none", "none in a week"}
    assert found.as_json()["servers"] is None


def test_each_further_model_has_a_column() -> None:
    small = {"hostName": "small.example.com", "inference": {"model": "Qwen/Qwen3-8B"}}
    values = {"region": "us-east-1", "platform": "eks", "loadBalancer": DOMAIN, "models": {"small": small}}
    found = figures.look(cloudwatch(ANSWERED, looks=2), "prod", Settings.model_validate(values), NOW)
    assert [one.model for one in found] == ["main", "small"]
    text = printed(shown(Frame(NOW, "dev in us-east-1", SERVING, found)))
    assert "main" in text.splitlines()[2]
    assert "small" in text.splitlines()[2]
    assert text.count("0.375 s, 99 %") == 2


def printed(group: Group) -> str:
    screen = Screen()
    with screen.capture() as captured:
        screen.print(group)
    return captured.get()


def test_the_head_says_where_when_and_what_it_costs() -> None:
    head = printed(shown(Frame(NOW, "dev in us-east-1", SERVING, [main()]))).splitlines()[0]
    assert head.split("   ") == [
        "dev in us-east-1, 12:00:00Z",
        "told 11:59Z",
        "2 of 2 hosts, 4 replicas",
        "$4.80 an hour",
    ]


def test_it_follows_until_it_is_stopped_and_a_look_that_fails_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frames: list[Frame | UserError] = [
        Frame(NOW, "dev in us-east-1", SERVING, [main()]),
        UserError(Problem(key="dev", wrong="AWS did not answer")),
        Frame(NOW, "dev in us-east-1", SERVING, [main(servers=[3] * 5)]),
    ]
    slept: list[float] = []

    def look() -> Frame:
        if isinstance(found := frames.pop(0), UserError):
            raise found
        return found

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if not frames:
            raise KeyboardInterrupt

    monkeypatch.setattr(top.time, "sleep", sleep)
    for name, value in {"TERM": "xterm", "TTY_COMPATIBLE": "1", "TTY_INTERACTIVE": "1"}.items():
        monkeypatch.setenv(name, value)
    screen = Screen()
    with screen.capture() as captured:
        last = top._follow(screen, look, 30)
    assert slept == [30, 30, 30]
    assert last.models[0].now("servers") == 3
    assert "AWS did not answer" in captured.get()
    assert captured.get().count("first token") == 4, "each frame, and the last one once more"


def test_a_stack_that_tells_nothing_says_what_to_do(tmp_path: Any) -> None:
    file = tmp_path / "Pulumi.dev.yaml"
    file.write_text("config:\n  tandem:region: us-east-1\n  tandem:metrics: {cloudwatch: false}\n")
    result = CliRunner().invoke(app, ["top", str(file)])
    assert isinstance(result.exception, UserError)
    assert "metrics.cloudwatch" in str(result.exception)


@pytest.mark.account
@pytest.mark.parametrize(
    ("changes", "asked"),
    [
        ({}, ["DescribeAutoScalingGroups", "DescribeInstances", "DescribeTargetHealth", *["GetMetricData"] * 2]),
        (
            {"platform": "eks", "loadBalancer": DOMAIN},
            [
                *("GetResources", "DescribeCluster", "ListNodegroups", "DescribeNodegroup"),
                *("DescribeSecurityGroups", "DescribeVpcs", "DescribeTargetGroups"),
                *(
                    "DescribeTags",
                    "DescribeTags",
                    "DescribeTargetHealth",
                    "DescribeInstances",
                ),  # a gateway's targets, too
                *["GetMetricData"] * 2,
            ],
        ),
    ],
    ids=["ec2", "eks"],
)
def test_a_look_asks_aws_for_what_it_shows_alone(
    changes: dict[str, Any], asked: list[str], aws_account: AccountGaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of hosts and nodes, and of the figures; of a whole status it would be some twenty calls more."""
    clients = aws_clients("us-east-1")
    built = Builder(clients, "dev", "tandem-dev-one").everything()
    mine = Own(built.stack_id, holds_name=True, made=True)
    with recorded(monkeypatch) as calls:
        frame = top._look(clients, "dev", Settings.model_validate({"region": "us-east-1"} | changes), mine)
    assert [call.operation for call in calls] == asked
    assert isinstance(frame.serving.usd_per_hour, float)
    assert "replicas" in printed(shown(frame)).splitlines()[0]


@pytest.mark.account
def test_without_a_state_here_the_account_is_asked_whose_the_name_is(aws_account: AccountGaps) -> None:
    clients, settings = aws_clients("us-east-1"), Settings(region="us-east-1")
    assert serving(clients, "dev", settings, None).usd_per_hour == 0
    for name in ("tandem-dev-one", "tandem-dev-two"):
        Builder(clients, "dev", name).parameter()
    assert "two lives of this name" in str(serving(clients, "dev", settings, None).servers)


@pytest.mark.account
def test_a_stack_that_is_not_there_has_told_nothing(aws_account: AccountGaps) -> None:
    result = CliRunner().invoke(app, ["top", "prod", "--json"])
    assert result.exit_code == 1, result.output
    (found,) = json.loads(result.stdout)["models"]
    assert (found["model"], found["toldAt"], found["servers"]) == ("main", None, None)
    assert "no machine has told anything" in CliRunner().invoke(app, ["top", "prod"]).output
