"""What is really called by who reaps, bakes and looks lies within the policies that are shipped for each, resource by
resource and with their tags; and they have little that nothing calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from pulumi_rehearsal.policy_evaluator import ACCOUNT
from rehearsal.policy_calls import Call
from rehearsal.policy_questions import asked_for
from tandem.errors import UserError
from tandem.ops import image as images
from tandem.ops import inventory
from tandem.ops.aws import aws_clients
from tandem.ops.cli import app
from tandem.ops.kinds.kind import tag_map
from tandem.ops.reap import plan, reap
from tandem.ops.rights import RIGHTS
from tandem.ops.rights.documents import Policy, documents
from tandem.ops.rights.right import BAKER, KEYKEEPER, REAPER, TEAMKEEPER, VIEWER
from tandem.tags import stack_tags
from tests.calls import recorded, refused, unread
from tests.ops.account import REGION, Builder, at_once
from tests.ops.broken_account import World
from tests.ops.litellm_stand_in import litellm
from tests.ops.test_gateway_apply import project, secret_of_gateway
from tests.ops.test_image import SAID, playing, request

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def policies(*roles: str) -> list[Policy]:
    return [policy for role in roles for policy in documents(role).values()]


def unused(role: str, calls: list[Call]) -> set[str]:
    """What a role may change and did not."""
    asked = {action for call in calls for action, _ in asked_for(call)}
    return {name for right in RIGHTS if role in right.who for name in right.names} - asked


def test_a_bake_and_a_clean_are_within_the_bakers_rights(
    aws_account: AccountGaps, monkeypatch: pytest.MonkeyPatch
) -> None:
    ec2 = boto3.client("ec2", region_name=REGION)
    with recorded(monkeypatch) as calls, playing(ec2, SAID + images.BAKED):
        made = images.bake(ec2, request(), "tandem-1", lambda _line: None, poll=0.01)
        images.images_in_use(ec2)
        (image,) = images.own_images(ec2)
        held = ec2.describe_snapshots(SnapshotIds=list(image.snapshots))["Snapshots"]
        images.remove(ec2, image)
    assert image.id == made
    own = [call for call in calls if call.operation != "StopInstances"]  # which the instance does itself
    tags = {
        f"arn:aws:ec2:{REGION}::snapshot/{one['SnapshotId']}": {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        for one in held
    }
    assert refused(own, policies(BAKER, VIEWER), tags=tags) == []
    assert unread(own, policies(VIEWER)) == []
    assert unused(BAKER, own) == {"iam:PassRole"}, "only with --instance-profile"


def by_the_group(ec2: Any) -> dict[str, dict[str, str]]:
    """Tags of instances, which Auto Scaling gives them, by ARN."""
    found = [one for batch in ec2.describe_instances()["Reservations"] for one in batch["Instances"]]
    return {f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{one['InstanceId']}": tag_map(one.get("Tags")) for one in found}


def test_a_reap_is_within_the_reapers_rights(aws_account: AccountGaps, monkeypatch: pytest.MonkeyPatch) -> None:
    clients = aws_clients(REGION, None)
    with recorded(monkeypatch) as calls:
        made = Builder(clients, "gone", "tandem-gone-one", expires="2026-03-02T11:59:00", ephemeral=True).everything()
        before = len(calls)
        launched = by_the_group(clients("ec2"))
        (expired,) = plan(clients, NOW).expired
        reap(clients, expired, NOW, sleep=at_once, deadline_seconds=0)
    assert len(made.made) > 40
    assert inventory.find(clients, "gone").resources == []
    denied = {text.partition(" on ")[0] for text in refused(calls, policies(REAPER, VIEWER), before, launched)}
    assert denied == {"route53:ChangeResourceRecordSets", "route53:DeleteHealthCheck"}, "which look at no tags"
    assert unread(calls[before:], policies(VIEWER)) == []
    assert unused(REAPER, calls[before:]) == {"s3:DeleteObjectVersion"}, "asked of a deletion that names a version"


def test_a_keys_life_is_within_the_keykeepers_rights(aws_account: AccountGaps, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tandem.ops.commands.keys.life_here", lambda _stack: None)
    with recorded(monkeypatch) as calls:
        tags = [{"Key": key, "Value": one} for key, one in stack_tags("dev", REGION, ephemeral=True).items()]
        aws_clients(REGION, None)("secretsmanager").create_secret(Name="tandem-dev-issued-keys-0a1b2c3", Tags=tags)
        before = len(calls)
        for words in (["add", "dev", "alice"], ["rotate", "dev", "alice"], ["list", "dev"], ["revoke", "dev", "alice"]):
            assert CliRunner().invoke(app, ["keys", *words]).exit_code == 0
    assert refused(calls, policies(KEYKEEPER, VIEWER), before) == []
    assert unread(calls[before:], policies(VIEWER)) == []
    assert unused(KEYKEEPER, calls[before:]) == set()


def test_teams_as_code_are_within_the_teamkeepers_rights(
    aws_account: AccountGaps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made, listed, made again after a run that ended too early or what was deleted by hand, and taken away."""
    project(tmp_path, monkeypatch)
    file = tmp_path / "teams.yaml"
    with recorded(monkeypatch) as calls, litellm() as (state, url):
        secret_of_gateway()
        before = len(calls)

        def apply(teams: str, busy: Sequence[int] = ()) -> None:
            file.write_text(f"teams: {teams}")
            state.busy = [*busy]
            ended = CliRunner().invoke(app, ["gateway", "apply", "dev", str(file), "--yes", "--url", url])
            assert isinstance(ended.exception, UserError) if busy else ended.exit_code == 0

        apply("{a: {keys: {k: {}}}}", [0] * 4 + [500])
        apply("{a: {keys: {k: {}}}}")
        state.answer("POST", "/team/delete", {}, {"team_ids": ["a"]})
        name = "tandem-dev-team-keys/a/k"
        aws_clients(REGION, None)("secretsmanager").delete_secret(SecretId=name, RecoveryWindowInDays=7)
        apply("{a: {keys: {k: {}}}}")
        apply("{}")
    assert refused(calls, policies(TEAMKEEPER, VIEWER), before) == []
    assert unread(calls[before:], policies(VIEWER)) == []
    assert unused(TEAMKEEPER, calls[before:]) == set()


LOOKING = (
    ("keys", "list", "dev"),
    ("status", "dev"),
    ("audit", "dev"),
    ("cost", "dev", "--live"),
    ("cost", "dev", "--actual"),
    ("cost", "dev", "--live", "--purchases"),
    ("doctor", "dev"),
    ("ready", "dev"),
    ("region", "list"),
    ("ephemeral", "list"),
    ("image", "list", "dev"),
)


def test_who_looks_has_the_right_to_and_little_else(
    aws_account: AccountGaps, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Builder(aws_clients(REGION, None), "dev", "tandem-dev-one", ephemeral=True).everything()
    with recorded(monkeypatch) as calls:
        results = [CliRunner().invoke(app, list(command)) for command in LOOKING]
    assert [result.exception for result in results if not isinstance(result.exception, SystemExit | None)] == []
    assert len(calls) > 100
    assert unread(calls, policies(VIEWER)) == []
    assert refused(calls, policies(VIEWER)) == []
    services = {right.service for right in RIGHTS if VIEWER in right.who}
    assert services - {call.action.partition(":")[0] for call in calls} == set()
