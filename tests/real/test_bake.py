"""A guest bakes itself into a machine image, and a fresh instance that starts from its disk finds everything there."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import stacks

from rehearsal.host import packages, scene
from rehearsal.host.cloud import HUB_TOKEN, Cloud
from rehearsal.host.guest import Guest
from rehearsal.host.guest_image import run
from tandem.host.config import HostConfig
from tandem.host.render import render_bake_user_data, render_user_data

pytestmark = [pytest.mark.real, pytest.mark.long]

HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
PRELUDE = f"mkdir -p /etc/ssh; echo key > {HOST_KEY}\n"
SECONDS = 600
REVISION = "0" * 40


@dataclass(frozen=True)
class Baked:
    """A machine that has baked and switched itself off: its disk as a snapshot has it, and how to go on from there.

    Attributes:
        written: what the machine wrote to its disk, deleted files included, as a qcow2 layer.
        snapshot: the file system.
        config: what a fresh instance's user data is rendered from.
    """

    guest: Guest
    cloud: Cloud
    written: Path
    snapshot: Path
    config: HostConfig

    def entries(self, path: str) -> list[str]:
        """Names in a directory of the snapshot; none without the directory."""
        listed = subprocess.run(["debugfs", "-R", f"ls -p {path}", self.snapshot], capture_output=True, text=True)
        names = [line.split("/")[5] for line in listed.stdout.splitlines() if line.count("/") > 5]
        return sorted(set(names) - {".", ".."})


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baked]:
    directory = tmp_path_factory.mktemp("bake")
    cloud = Cloud()
    rendered: list[HostConfig] = []

    def render(config: HostConfig) -> bytes:
        rendered.append(config)
        return render_bake_user_data(config, weights=True)

    stack = replace(stacks.config("dev"), hugging_face_token_secret_arn="arn:hugging-face-token")
    drive = scene.prelude(directory, PRELUDE, {})
    with scene.powered_on(stack, scene.parts(directory), cloud, directory, drive, render, drives=1) as guest:
        guest.wait_for_line(r"tandem: baked$", scene.READY_SECONDS)
        guest.wait_until_off(SECONDS)
        run("qemu-img", "convert", "-O", "raw", guest.disk, directory / "snapshot.img")
        yield Baked(guest, cloud, guest.disk, directory / "snapshot.img", rendered[0])


def test_the_image_holds_driver_toolkit_container_image_and_weights(baked: Baked) -> None:
    assert "nvidia-smi" in baked.entries("/usr/bin")
    assert "nvidia-ctk" in baked.entries("/usr/bin")
    assert any(
        path.endswith("/manifests/" + baked.config.engine.image.partition("@")[2]) for path in baked.cloud.pulled
    )
    repository = f"/var/lib/tandem/baked/hub/models--{baked.config.engine.model.replace('/', '--')}"
    assert baked.entries(f"{repository}/snapshots") == [REVISION, f"{REVISION}.complete"]


def test_nothing_of_the_instance_stays(baked: Baked) -> None:
    assert baked.entries("/etc/ssh") == []
    assert baked.entries("/etc/tandem") == []
    assert baked.entries("/opt/tandem") == []
    assert baked.entries("/var/lib/tandem") == ["baked"], "no ledger"
    assert baked.entries("/var/lib/cloud/instances") == []
    assert baked.entries("/var/log/tandem") == []
    assert HUB_TOKEN.encode() not in baked.written.read_bytes(), "not even in a deleted file"


def test_baking_asks_aws_for_the_hubs_token_and_nothing_else(baked: Baked) -> None:
    assert [action for _, action, _ in baked.cloud.calls] == ["GetSecretValue"]


def test_a_fresh_instance_finds_everything_there(baked: Baked) -> None:
    guest, cloud = baked.guest, baked.cloud
    cloud.registry_away = True
    cloud.instance, cloud.user_data = "i-00000000000000002", render_user_data(baked.config)
    pulled, downloads, since = list(cloud.pulled), list(cloud.downloads), len(guest.console)
    guest.power_on()
    guest.wait_for_line(scene.READY, scene.READY_SECONDS, since)
    guest.wait_for_agent(SECONDS)
    details = {line["stage"]: line["detail"] for line in guest.ledger()}
    assert details["scripts"].startswith("fetched, ")
    assert details["driver"] == f"{packages.DRIVER} was there, 4 GPUs"
    assert details["toolkit"] == "0 packages installed"
    assert details["storage"].startswith("1 NVMe drives, Docker in the machine image, EFS, ")
    assert details["weights"] == "copied from the machine image"
    assert details["ready"] == "first token, lifecycle hook completed"
    assert cloud.pulled == pulled
    assert cloud.downloads == downloads
    assert len(guest.run("cat /etc/machine-id").strip()) == 32
