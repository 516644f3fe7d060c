"""`tandem image` against moto. Played are the instance that switches itself off, and what its console says."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from typer.testing import CliRunner

from pulumi_rehearsal.account_gaps import AccountGaps
from tandem import pins
from tandem.errors import UserError
from tandem.host.render import render_bake_user_data
from tandem.ops import image as images
from tandem.ops.cli import app
from tandem.ops.commands.render import stack_config
from tandem.ops.image import Bake
from tests.ops.account import IMAGE, REGION

SAID = "[ 60.1] cloud-init\r\ntandem: driver: 570.1 was there, branch 580 is pinned: replacing it\r\n"


def request(**changes: Any) -> Bake:
    values: dict[str, Any] = {
        "source_image": IMAGE,
        "instance_type": "g6.12xlarge",
        "user_data": b"#!/bin/true",
        "volume_gib": 200,
        "tags": {"tandem:project": "tandem", "tandem:driver": "580.0.0"},
    }
    return Bake(**values | changes)


@pytest.fixture
def ec2(aws_account: AccountGaps) -> Any:
    return boto3.client("ec2", region_name=REGION)


@contextmanager
def playing(ec2: Any, output: str) -> Iterator[None]:
    """Stops each instance that runs, as its own user data does, and gives its console these words."""
    over = threading.Event()

    def console(parsed: dict[str, Any], **_: Any) -> None:
        parsed["Output"] = output

    def stop() -> None:
        while not over.wait(0.05):
            for page in ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])[
                "Reservations"
            ]:
                ec2.stop_instances(InstanceIds=[page["Instances"][0]["InstanceId"]])

    ec2.meta.events.register_last("after-call.ec2.GetConsoleOutput", console)
    thread = threading.Thread(target=stop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        ec2.meta.events.unregister("after-call.ec2.GetConsoleOutput", console)


def instances(ec2: Any) -> list[dict[str, Any]]:
    return [found for row in ec2.describe_instances()["Reservations"] for found in row["Instances"]]


def made(ec2: Any, name: str) -> str:
    with playing(ec2, SAID + images.BAKED + "\r\n[ 99.9] reboot: Power down"):
        return images.bake(ec2, request(), name, lambda line: None, poll=0.01)


def test_an_image_is_made_of_an_instance_that_finished_and_is_gone(ec2: Any) -> None:
    image = made(ec2, "tandem-1")
    (found,) = ec2.describe_images(ImageIds=[image])["Images"]
    assert found["Name"] == "tandem-1"
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {
        "tandem:project": "tandem",
        "tandem:driver": "580.0.0",
        "tandem:baked": "true",
        "Name": "tandem-1",
    }
    (instance,) = instances(ec2)
    assert instance["State"]["Name"] == "terminated"
    assert instance["InstanceType"] == "g6.12xlarge"


def test_an_instance_that_gave_up_makes_no_image_and_its_last_words_are_told(ec2: Any) -> None:
    gave_up = "tandem: toolkit: gave up after 9 attempts in 900 s: RuntimeError: apt-get update: exit 100"
    with playing(ec2, f"{SAID}{gave_up}\r\ntandem: not baked: SystemExit: 1\r\n"), pytest.raises(UserError) as refused:
        images.bake(ec2, request(), "tandem-1", lambda line: None, poll=0.01)
    assert gave_up in str(refused.value.problems[0].value)
    assert images.own_images(ec2) == []
    assert [row["State"]["Name"] for row in instances(ec2)] == ["terminated"]


def test_what_never_ends_is_given_up_and_ended(ec2: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "BAKE_SECONDS", 0)
    with pytest.raises(UserError, match="waited 0 s in vain for instance i-"):
        images.bake(ec2, request(), "tandem-1", lambda line: None, poll=0.01)
    assert [row["State"]["Name"] for row in instances(ec2)] == ["terminated"]


def test_the_instance_has_metadata_by_session_only_and_an_encrypted_volume(
    ec2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    ec2.meta.events.register("provide-client-params.ec2.RunInstances", lambda params, **_: asked.update(params))
    made(ec2, "tandem-1")
    assert asked["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert asked["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert asked["InstanceInitiatedShutdownBehavior"] == "stop"
    assert "KeyName" not in asked


def test_the_id_is_written_where_settings_find_it_and_nothing_else_changes() -> None:
    before = pins.PINS_FILE.read_text(encoding="utf-8")
    image = "ami-0fedcba9876543210"
    after = images.pinned(before, "eu-west-1", image, date(2026, 11, 21))
    assert pins.parse(after, "").machine_image_id("eu-west-1") == image
    assert pins.parse(after, "").machine_image_id("us-east-1") == pins.parse(before, "").machine_image_id("us-east-1")
    assert set(before.splitlines()) <= set(after.splitlines())
    again = images.pinned(after, "eu-west-1", "ami-0fedcba9876543211", date(2026, 11, 22))
    assert pins.parse(again, "").machine_image_id("eu-west-1") == "ami-0fedcba9876543211"
    assert len(again.splitlines()) == len(after.splitlines())


def test_old_images_go_with_their_snapshots_and_those_in_use_stay(ec2: Any) -> None:
    ids = [made(ec2, f"tandem-{number}") for number in range(4)]
    rows = images.own_images(ec2)
    assert {row.id for row in rows} == set(ids)
    ec2.create_launch_template(LaunchTemplateName="fleet", LaunchTemplateData={"ImageId": rows[3].id})
    in_use = images.images_in_use(ec2)
    old = images.old_images(rows, 1, in_use)
    assert [row.id for row in old] == [rows[1].id, rows[2].id]
    snapshots = {snapshot for row in old for snapshot in row.snapshots}
    assert snapshots
    for row in old:
        images.remove(ec2, row)
    assert {row.id for row in images.own_images(ec2)} == {rows[0].id, rows[3].id}
    left = {found["SnapshotId"] for found in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]}
    assert not snapshots & left


@pytest.fixture
def pins_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "pins.toml"
    text = pins.PINS_FILE.read_text(encoding="utf-8")
    # moto takes an id where AWS also takes the name of a parameter.
    file.write_text(text.replace('us-east-1 = { id = "" }', f'us-east-1 = {{ id = "{IMAGE}" }}', 1), encoding="utf-8")
    monkeypatch.setenv(pins.PINS_FILE_VARIABLE, str(file))
    return file


def test_the_commands_bake_list_and_clean(ec2: Any, pins_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images.bake, "__defaults__", (0.01,))
    monkeypatch.setattr("tandem.ops.commands.image.aws_clients", lambda region, profile: lambda service: ec2)
    run: Callable[..., Any] = lambda *words: CliRunner().invoke(app, ["image", *words])  # noqa: E731
    with playing(ec2, images.BAKED):
        done = run("bake", "dev")
    assert done.exit_code == 0, done.output
    image = pins.load().machine_image_id(REGION)
    assert image in done.output
    assert image in run("list", "dev").output
    assert "nothing to remove" in run("clean", "dev", "--keep", "0", "--yes").output, "what is pinned stays"
    assert [row.id for row in images.own_images(ec2)] == [image]


def test_a_type_that_the_fleet_does_not_have_is_refused(pins_file: Path) -> None:
    done = CliRunner().invoke(app, ["image", "bake", "dev", "--instance-type", "p5.48xlarge"])
    assert isinstance(done.exception, UserError)
    assert "g6.12xlarge, g5.12xlarge" in str(done.exception)


@pytest.mark.parametrize(("weights", "last"), [(False, "bake.py"), (True, "bake.py weights")])
def test_user_data_of_a_bake_runs_the_same_stages_and_serves_nothing(weights: bool, last: str) -> None:
    document = yaml.safe_load(gzip.decompress(render_bake_user_data(stack_config("dev"), weights=weights)))
    files = {entry["path"] for entry in document["write_files"]}
    assert {"/opt/tandem/bake.py", "/opt/tandem/driver.py", "/opt/tandem/toolkit.py"} <= files
    assert "/opt/tandem/boot.py" not in files
    assert document["runcmd"][-1] == f"systemd-run --no-block --unit tandem-bake python3 /opt/tandem/{last}"
    assert not any("tandem-boot" in line for line in document["runcmd"])
