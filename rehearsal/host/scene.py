"""A stack's host in a guest: its user data with the addresses of the stand-ins, and all that it finds around it."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from rehearsal.host import packages
from rehearsal.host.aws import REMOTE_WRITE
from rehearsal.host.cloud import Addresses, Cloud, serving
from rehearsal.host.guest import Guest
from rehearsal.host.guest_image import GuestImage, guest_image
from rehearsal.host.registry import NAME, Image, digest, image, stub_layers
from tandem.host.config import HostConfig, Pinned, Repository
from tandem.host.render import render_nginx, render_user_data
from tandem.scripts import host_archive

READY = r"tandem: ready$"
READY_SECONDS = 900
"""Until a guest must be ready, by its own clock (Guest.clock)."""


@dataclass(frozen=True)
class Parts:
    """What all guests of a run share."""

    guest: GuestImage
    repository: packages.SignedRepository
    image: Image


@cache
def parts(directory: Path) -> Parts:
    guest = guest_image()
    repository = packages.repository(directory / "apt", guest.release, guest.library, guest.metrics_agent)
    return Parts(guest, repository, image(stub_layers(directory)))


def scripts_of(stack: HostConfig) -> tuple[str, bytes]:
    """Bucket and key of what a stack's hosts run, and its content."""
    name, content = host_archive(render_nginx(stack))
    return f"host-scripts/{name}", content


def host_config(stack: HostConfig, found: Parts, at: Addresses) -> HostConfig:
    """A stack's configuration; only addresses and pins are the stand-ins'."""
    repository = Repository(
        name="stand-in",
        source=f"{at.files_url}/apt/ ./",
        key_url=f"{at.files_url}/apt/key.asc",
        fingerprint=found.repository.fingerprint,
    )
    helper = found.repository.efs_utils
    pinned = replace(
        stack.packages,
        driver_version=packages.DRIVER,
        toolkit=replace(stack.packages.toolkit, version=packages.TOOLKIT),
        docker=Pinned(names=["docker.io"]),
        containerd=Pinned(names=["containerd"]),
        repositories=[repository],
        efs_utils=f"{at.files_url}/apt/{helper.name}#sha256={hashlib.sha256(helper.read_bytes()).hexdigest()}",
    )
    image = f"docker.io/{NAME}@{digest(found.image.manifest)}"
    written = f"{at.aws_url}{REMOTE_WRITE}" if stack.remote_write_region else None
    return replace(
        stack,
        engine=replace(stack.engine, image=image, revision="0" * 40),
        packages=pinned,
        endpoint_url=at.aws_url,
        scripts_url=f"{at.aws_url}/{scripts_of(stack)[0]}",
        hub_url=at.files_url,
        registry_mirror=at.files_url,
        remote_write_url=written,
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
    drives: int = 0,
) -> Iterator[Guest]:
    """A guest that boots a stack's rendered user data, exactly the bytes that a launch template would carry.

    Args:
        drive: from `prelude`.
        render: makes the user data of the configuration, once the stand-ins' addresses are in it.
        drives: NVMe drives of its instance store.
    """
    cloud.hub.model = stack.engine.model
    cloud.objects.setdefault(*scripts_of(stack))
    with serving(cloud, found.repository, found.image) as at:
        cloud.user_data = render(host_config(stack, found, at))
        with Guest(found.guest, directory, at.metadata, drive, drives) as guest:
            yield guest
