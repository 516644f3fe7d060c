"""A boot on which much goes wrong at once: each fault leaves its line, and the host still comes to its first token.

And one whose scripts are not those that it was told of: it says so and is replaced.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import stacks

from rehearsal.host import packages, scene
from rehearsal.host.cloud import Cloud
from rehearsal.host.guest import Guest
from tandem.scripts import archive

pytestmark = [pytest.mark.real, pytest.mark.long]

OTHER = f"nvidia-open_{packages.OTHER_BRANCH}-0ubuntu1_amd64.deb"
PRELUDE = """\
dpkg -i /driver/*.deb
echo 'tmpfs /mnt/local tmpfs size=2m 0 0' >> /etc/fstab
mkdir -p /mnt/local
mount /mnt/local
"""


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Guest, Cloud]]:
    """S3 busy, a mirror that is down for a minute, a download that is cut, a driver of another branch, a full disk."""
    directory = tmp_path_factory.mktemp("faults")
    cloud = Cloud(mirror_down_seconds=60, busy={"GetObject": 2})
    cloud.hub.cut = 1
    parts = scene.parts(directory)
    headers = next(parts.repository.directory.glob("linux-headers-*.deb"))  # which a driver that was built there needs
    files = {f"driver/{file.name}": file for file in (headers, parts.repository.directory / OTHER)}
    drive = scene.prelude(directory, PRELUDE, files)
    with scene.powered_on(stacks.config("dev"), parts, cloud, directory, drive) as guest:
        guest.wait_for_line(scene.READY, scene.READY_SECONDS + 60)
        guest.wait_for_agent(600)
        yield guest, cloud


def detail(guest: Guest, stage: str) -> str:
    (line,) = [line for line in guest.ledger() if line["stage"] == stage]
    assert line["outcome"] == "done"
    return line["detail"]


def test_s3_that_is_busy_is_asked_again(troubled: tuple[Guest, Cloud]) -> None:
    guest, cloud = troubled
    (scripts,) = [line for line in guest.ledger() if line["stage"] == "scripts"]
    assert scripts["attempts"] == 3 == cloud.actions("GetObject").count("GetObject")
    assert guest.run("journalctl --no-pager -u tandem-scripts | grep -c ': 503 SlowDown'").strip() == "2"


def test_a_mirror_that_is_down_for_a_minute_is_asked_again(troubled: tuple[Guest, Cloud]) -> None:
    guest, _ = troubled
    (toolkit,) = [line for line in guest.ledger() if line["stage"] == "toolkit"]
    assert toolkit["attempts"] > 2
    assert toolkit["seconds"] > 55
    assert "503" in guest.run("journalctl --no-pager -u tandem-boot | grep 'toolkit: attempt 1: RuntimeError: curl'")


def test_a_driver_of_another_branch_is_replaced(troubled: tuple[Guest, Cloud]) -> None:
    guest, _ = troubled
    said = f"tandem: driver: {packages.OTHER_BRANCH} was there, branch 580 is pinned: replacing it"
    assert said in [line.text for line in guest.console]
    assert detail(guest, "driver") == f"{packages.DRIVER} installed, 4 GPUs"
    assert guest.run("modinfo -F version nvidia").strip() == packages.DRIVER


def test_a_download_that_is_cut_is_made_again(troubled: tuple[Guest, Cloud]) -> None:
    guest, cloud = troubled
    assert [line for line in cloud.downloads if line.startswith("model")] == [
        "model.safetensors from 0",
        "model.safetensors from 0",
    ]
    assert detail(guest, "weights").startswith("downloaded to EFS")


def test_a_full_disk_is_said_and_efs_serves(troubled: tuple[Guest, Cloud]) -> None:
    guest, _ = troubled
    assert detail(guest, "weights") == "downloaded to EFS, no room for a local copy"
    (said,) = [line.text for line in guest.console if "weights: " in line.text and "serving from EFS" in line.text]
    assert "4 MiB to copy" in said
    mounts = guest.run("docker inspect -f '{{range .Mounts}}{{.Source}} {{end}}' vllm-0")
    assert "/mnt/efs/hub" in mounts.split()


def test_scripts_of_another_hash_are_not_run_and_the_host_is_replaced(tmp_path: Path) -> None:
    name, _ = scene.scripts_of(stacks.config("dev"))
    cloud = Cloud(objects={name: archive({"boot.py": "raise SystemExit"})})
    with scene.powered_on(stacks.config("dev"), scene.parts(tmp_path), cloud, tmp_path) as guest:
        guest.wait_for_line(r"tandem: gave up$", scene.READY_SECONDS)
    (said,) = [line.text for line in guest.console if "tandem: scripts: gave up after 1 attempts" in line.text]
    assert f"{name.rpartition('/')[2]} has another SHA-256 than its name: " in said
    assert cloud.member.transitions == ["Terminating", "Terminating:Wait", "Terminating:Proceed"]
