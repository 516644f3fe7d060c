"""Machine images of one's own: made of a host that ran its first stages, found again by tags, and removed when old.

A host that starts from one has driver, toolkit and container image, and for the asking the weights: minutes less until
its first token, and nothing to download from outside AWS. What has been pinned anew since is brought up by the host's
ordinary stages, so an old image makes a start slower and never wrong.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import tomlkit

from tandem.errors import UserError
from tandem.tags import PROJECT, PROJECT_TAG

TAG = "tandem:baked"
BAKED = "tandem: baked"
BAKE_SECONDS, IMAGE_SECONDS, POLL_SECONDS = 3 * 3600, 2 * 3600, 10

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Bake:
    """What to make an image of.

    Attributes:
        source_image: AMI id or `resolve:ssm:...` of plain Ubuntu.
        instance_type: with the GPUs that the fleet has; the driver is tried on it.
        user_data: what the instance runs (tandem.host.render_bake_user_data).
        volume_gib: size of the root volume, and so the least size of the hosts'.
        tags: what the image holds, such as the driver's version; for people and for `tandem image list`.
        subnet_id: with a way out to the internet; None for a default subnet of the account.
        instance_profile: name; needed for the weights of a gated model only.
    """

    source_image: str
    instance_type: str
    user_data: bytes
    volume_gib: int
    tags: dict[str, str]
    subnet_id: str | None = None
    instance_profile: str | None = None


def bake(ec2: Any, request: Bake, name: str, progress: Progress, poll: float = POLL_SECONDS) -> str:
    """Makes a machine image; the instance that it is made of is gone afterwards, whatever happens.

    Args:
        ec2: boto3 client.
        name: of the image; unique in the account and region.
        poll: seconds between two looks.

    Returns:
        Its id.

    Raises:
        UserError: a stage gave up, with its last words on the console; or nothing was ready by the deadline.
    """
    with _instance(ec2, request, name) as instance:
        progress(f"{instance} ({request.instance_type}) installs driver, toolkit and container image")
        _wait(lambda: _state(ec2, instance) == "stopped", BAKE_SECONDS, poll, f"instance {instance} to finish")
        said = _console(ec2, instance)
        if not said or said[-1] != BAKED:
            raise UserError.of(
                key="image bake",
                wrong=f"instance {instance} did not finish its stages",
                value="\n".join(said[-5:]) or "nothing on its console",
                fix="mend what the last line names, then bake again; the instance is gone",
            )
        tags = [{"Key": key, "Value": value} for key, value in {**request.tags, TAG: "true", "Name": name}.items()]
        kinds = [{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")]
        image = ec2.create_image(InstanceId=instance, Name=name, TagSpecifications=kinds)["ImageId"]
        progress(f"{image} is made of its root volume")
        _wait(lambda: _image_state(ec2, image) == "available", IMAGE_SECONDS, poll, f"image {image}")
    return image


@contextmanager
def _instance(ec2: Any, request: Bake, name: str) -> Iterator[str]:
    options: dict[str, Any] = {"SubnetId": request.subnet_id} if request.subnet_id else {}
    if request.instance_profile:
        options["IamInstanceProfile"] = {"Name": request.instance_profile}
    tags = [{"Key": key, "Value": value} for key, value in {PROJECT_TAG: PROJECT, "Name": name}.items()]
    volume = {"VolumeSize": request.volume_gib, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    started = ec2.run_instances(
        ImageId=request.source_image,
        InstanceType=request.instance_type,
        MinCount=1,
        MaxCount=1,
        UserData=request.user_data,
        BlockDeviceMappings=[{"DeviceName": "/dev/sda1", "Ebs": volume}],
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 1},
        InstanceInitiatedShutdownBehavior="stop",
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume")],
        **options,
    )
    instance = started["Instances"][0]["InstanceId"]
    try:
        yield instance
    finally:
        ec2.terminate_instances(InstanceIds=[instance])


def _state(ec2: Any, instance: str) -> str:
    found = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]
    if found in ("shutting-down", "terminated"):
        raise UserError.of(key="image bake", wrong=f"instance {instance} was terminated", fix="bake again")
    return found


def _console(ec2: Any, instance: str) -> list[str]:
    """What our own code said on the console, line by line."""
    text = ec2.get_console_output(InstanceId=instance).get("Output", "")
    return [line for line in re.split(r"[\r\n]+", text) if line.startswith("tandem: ")]


def _image_state(ec2: Any, image: str) -> str:
    found = ec2.describe_images(ImageIds=[image])["Images"][0]
    if found["State"] == "failed":
        reason = found.get("StateReason", {}).get("Message")
        raise UserError.of(key="image bake", wrong="AWS could not make the image", value=reason, fix="bake again")
    return found["State"]


def _wait(done: Callable[[], bool], seconds: float, poll: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise UserError.of(key="image bake", wrong=f"waited {seconds:,.0f} s in vain for {what}", fix="bake again")
        time.sleep(poll)


def pinned(text: str, region: str, image: str, today: date) -> str:
    """The pins file with this image in its region, from where settings take what hosts start from."""
    document: Any = tomlkit.parse(text)
    images = document["machine_image"]
    if "baked" not in images:
        images.add("baked", tomlkit.table(is_super_table=True))
    if "regions" not in images["baked"]:
        images["baked"].add("regions", tomlkit.table())
    row = tomlkit.inline_table()
    row.update({"id": image, "resolved": today, "source": "tandem image bake"})
    images["baked"]["regions"][region] = row
    return tomlkit.dumps(document)


@dataclass(frozen=True, kw_only=True)
class Image:
    """One of one's own machine images.

    Attributes:
        created: as EC2 gives it, ISO 8601.
        snapshots: that hold it, and cost by the month.
    """

    id: str
    name: str
    created: str
    snapshots: tuple[str, ...]


def own_images(ec2: Any) -> list[Image]:
    """Those that `bake` made, newest first."""
    filters = [{"Name": f"tag:{TAG}", "Values": ["true"]}]
    found = ec2.describe_images(Owners=["self"], Filters=filters)["Images"]
    images = [
        Image(
            id=image["ImageId"],
            name=image["Name"],
            created=image["CreationDate"],
            snapshots=tuple(_snapshots(image)),
        )
        for image in found
    ]
    return sorted(images, key=lambda image: image.created, reverse=True)


def _snapshots(image: dict[str, Any]) -> list[str]:
    volumes = (mapping.get("Ebs", {}) for mapping in image.get("BlockDeviceMappings", []))
    return [volume["SnapshotId"] for volume in volumes if volume.get("SnapshotId")]


def old_images(images: list[Image], keep: int, in_use: set[str]) -> list[Image]:
    """All but the newest `keep` and those whose ids are in use."""
    return [image for image in images[keep:] if image.id not in in_use]


def images_in_use(ec2: Any) -> set[str]:
    """Ids that launch templates' latest and default versions name: a group could not start a host without them."""
    pages = ec2.get_paginator("describe_launch_template_versions").paginate(Versions=["$Latest", "$Default"])
    return set(pages.search("LaunchTemplateVersions[].LaunchTemplateData.ImageId"))


def remove(ec2: Any, image: Image) -> None:
    """Deregisters an image, then deletes the snapshots that held it."""
    ec2.deregister_image(ImageId=image.id)
    for snapshot in image.snapshots:
        ec2.delete_snapshot(SnapshotId=snapshot)
