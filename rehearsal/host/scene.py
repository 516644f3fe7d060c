"""A stack's host in a guest: its user data with the addresses of the stand-ins, and all that it finds around it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from infra.host import HostConfig, Repository, render_user_data
from rehearsal.host import packages
from rehearsal.host.cloud import Addresses, Cloud, serving
from rehearsal.host.guest import OUTSIDE, Guest
from rehearsal.host.guest_image import GuestImage, guest_image
from rehearsal.host.registry import NAME, Image, digest, stub_image

READY = r"tandem: ready$"
READY_SECONDS = 900
"""Until a guest must be ready: 70 s on two idle cores without KVM, several times that when others use them."""


@dataclass(frozen=True)
class Parts:
    """What all guests of a run share."""

    guest: GuestImage
    repository: packages.SignedRepository
    image: Image


@cache
def parts(directory: Path) -> Parts:
    guest = guest_image()
    return Parts(guest, packages.repository(directory / "apt", guest.release), stub_image(directory))


def host_config(stack: HostConfig, found: Parts, at: Addresses) -> HostConfig:
    """A stack's configuration; only addresses and pins are the stand-ins'."""
    repository = Repository(
        name="stand-in",
        source=f"{at.files_url}/apt/ ./",
        key_url=f"{at.files_url}/apt/key.asc",
        fingerprint=found.repository.fingerprint,
    )
    pinned = replace(
        stack.packages,
        driver_version=packages.DRIVER,
        toolkit_version=packages.TOOLKIT,
        docker_package="docker.io",
        docker_version="",
        repositories=[repository],
        efs_installer_url=f"{at.files_url}/efs-utils-installer.sh",
    )
    image = f"{OUTSIDE}:{at.files}/{NAME}@{digest(found.image.manifest)}"
    return replace(
        stack,
        engine=replace(stack.engine, image=image, revision="0" * 40),
        packages=pinned,
        endpoint_url=at.aws_url,
        hub_url=at.files_url,
    )


def prelude(directory: Path, script: str, files: dict[str, Path]) -> Path:
    """A drive with files that are put in place, and a script that runs, before cloud-init does anything."""
    (directory / "prelude.sh").write_text(script)
    drive = directory / "prelude.tar"
    with tarfile.open(drive, "w") as tar:
        tar.add(directory / "prelude.sh", "prelude")
        for name, path in files.items():
            tar.add(path, name)
    return drive


@contextmanager
def powered_on(
    stack: HostConfig,
    found: Parts,
    cloud: Cloud,
    directory: Path,
    drive: Path | None = None,
    render: Callable[[HostConfig], bytes] = render_user_data,
) -> Iterator[Guest]:
    """A guest that boots a stack's rendered user data, exactly the bytes that a launch template would carry.

    Args:
        drive: from `prelude`.
        render: makes the user data of the configuration, once the stand-ins' addresses are in it.
    """
    with serving(cloud, found.repository, found.image) as at:
        cloud.user_data = render(host_config(stack, found, at))
        with Guest(found.guest, directory, at.metadata, drive) as guest:
            yield guest
