"""The whole rehearsal on a small program: once sound, once with everything wrong that a program can do wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pulumi_rehearsal.engine import Engine
from pulumi_rehearsal.operations import Step
from rehearsal.report import Phase, StackReport, as_json
from rehearsal.run import rehearse_all

pytestmark = pytest.mark.engine

SMALL = Path(__file__).parent / "small"


class Listener:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.ended: list[tuple[str, str]] = []
        self.steps = 0

    def phase_started(self, stack: str, phase: str) -> None:
        self.started.append((stack, phase))

    def step_done(self, stack: str, step: Step) -> None:
        self.steps += 1

    def phase_ended(self, stack: str, phase: Phase) -> None:
        self.ended.append((stack, phase.name))


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def reports(pulumi_engine: Engine, listener: Listener) -> dict[str, StackReport]:
    """Both stacks, side by side in one account."""
    return {report.stack: report for report in rehearse_all(["sound", "broken"], pulumi_engine, listener, SMALL)}


def violations(report: StackReport) -> dict[str, dict[str, tuple[str, ...]]]:
    """By phase and expectation, without those that were met."""
    return {
        phase.name: {verdict.expectation: verdict.violations for verdict in phase.verdicts if not verdict.met}
        for phase in report.phases
    }


def test_a_sound_program_meets_every_expectation(reports: dict[str, StackReport]) -> None:
    phases = ("preview", "up", "second up", "new image", "bad image", "secrets", "expiry", "destroy")
    assert violations(reports["sound"]) == {phase: {} for phase in phases}
    assert reports["sound"].met


def test_a_broken_program_breaks_each_of_them(reports: dict[str, StackReport]) -> None:
    found = violations(reports["broken"])
    assert not reports["broken"].met
    assert {phase: list(words) for phase, words in found.items()} == {
        "preview": [],
        "up": ["up creates what the preview announced", "boto3 finds each resource of the state by its tags"],
        "second up": ["a second up changes nothing"],
        "new image": [
            "a new image changes the launch template and the group, in place, and nothing else",
            "a rollout replaces one host after another, and no fewer serve than it says",
        ],
        "bad image": [
            "a new image changes the launch template and the group, in place, and nothing else",
            "a version that makes no token is noticed, and the one before serves all along",
            "a rollout replaces one host after another, and no fewer serve than it says",
        ],
        "secrets": ["the secrets that were set are in the secret store", "no secret in plain text"],
        "expiry": [
            "an expiry schedule names the fleet",
            "the schedule's role may do what the schedule asks",
            "after expiry the fleet is at 0",
        ],
        "destroy": ["destroy leaves nothing but what is kept on purpose"],
    }


def test_violations_name_what_is_wrong(reports: dict[str, StackReport]) -> None:
    report = reports["broken"]
    found = violations(report)
    [unannounced] = found["up"]["up creates what the preview announced"]
    assert unannounced.endswith("aws:sns/topic:Topic::unannounced")
    [untagged] = found["up"]["boto3 finds each resource of the state by its tags"]
    assert ":untagged-" in untagged
    assert found["second up"] == {"a second up changes nothing": ("update aws:sns/topic:Topic restless (displayName)",)}
    state, *versions, outputs = found["secrets"]["no secret in plain text"]
    assert state == "tandem:huggingFaceToken is in the state on disk"
    assert {line.rpartition("-")[0] for line in versions} == {
        "tandem:huggingFaceToken is in user data of launch template fleet"
    }
    assert [line.rpartition(" version ")[2] for line in versions] == ["1", "2", "3", "4"]
    assert outputs == "tandem:huggingFaceToken is in the stack's outputs"
    [left] = found["destroy"]["destroy leaves nothing but what is kept on purpose"]
    assert left.endswith(":unrecorded")


def test_the_report_says_what_exists_and_what_it_costs(reports: dict[str, StackReport]) -> None:
    report = reports["sound"]
    assert {row.type: (row.simulated, row.recorded) for row in report.resources} == {
        "aws:autoscaling/group:Group": (1, 0),
        "aws:ec2/launchTemplate:LaunchTemplate": (1, 0),
        "aws:iam/role:Role": (1, 0),
        "aws:iam/rolePolicy:RolePolicy": (1, 0),
        "aws:scheduler/schedule:Schedule": (1, 0),
        "aws:scheduler/scheduleGroup:ScheduleGroup": (1, 0),
        "aws:secretsmanager/secret:Secret": (1, 0),
        "aws:secretsmanager/secretVersion:SecretVersion": (1, 0),
        "aws:sns/topic:Topic": (1, 0),
    }
    assert (report.usd_per_hour, report.max_usd_per_hour) == (2.0, 4.0)
    assert report.expires_at == "2030-01-01T00:00:00Z"
    assert report.usd_until_expiry is not None
    assert report.usd_until_expiry > 0
    assert report.placeholders == ["vllm.digest"]
    [kept] = report.kept
    assert kept.startswith("aws:sns/topic:Topic arn:aws:sns:us-east-1:123456789012:kept-")


def test_the_watcher_hears_of_every_phase(reports: dict[str, StackReport], listener: Listener) -> None:
    for stack, report in reports.items():
        started = [phase for name, phase in listener.started if name == stack]
        assert [phase for name, phase in listener.ended if name == stack] == started
        names = [phase.name for phase in report.phases]
        assert [phase for phase in started if phase in names] == names, "the others had nothing to expect"
    assert listener.steps > 100


def test_the_report_is_plain_data_too(reports: dict[str, StackReport], pulumi_engine: Engine) -> None:
    document = json.loads(json.dumps(as_json(pulumi_engine, 12.34, list(reports.values()))))
    assert document["met"] is False
    assert [(stack["stack"], stack["met"]) for stack in document["stacks"]] == [("sound", True), ("broken", False)]
    assert document["engine"] == {"version": pulumi_engine.version, "origin": pulumi_engine.origin}
    assert document["seconds"] == 12.3
