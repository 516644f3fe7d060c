"""The gate before a server: an NVIDIA driver that runs the image's CUDA."""

from __future__ import annotations

from basics import GiveUp


def new_enough(version: str, least: int) -> None:
    """Refuses a driver, by its version or its branch, that is older than a branch."""
    if int(version.split(".")[0]) < least:
        raise GiveUp(f"NVIDIA driver {version} is older than branch {least}, which the image's CUDA needs")
