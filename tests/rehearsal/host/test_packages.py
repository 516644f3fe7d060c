"""The stand-ins for NVIDIA's tools print and write what the real ones did."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rehearsal.host import packages

SAMPLES = Path(__file__).parents[2] / "host/samples"
"""Of nvidia-smi 580.159.04 and nvidia-ctk 1.20.1 on an H200; UUIDs are zeros, mounts and hooks are left out."""


def said(script: str, *arguments: str, directory: Path) -> str:
    """What a stand-in prints, where `modprobe` does nothing."""
    (directory / "modprobe").write_text("#!/bin/sh\n")
    (directory / "modprobe").chmod(0o755)
    (directory / "tool").write_text(script)
    environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "DEV": str(directory)}
    command = ["sh", directory / "tool", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def specification(directory: Path, *nodes: str) -> dict[str, Any]:
    """What the stand-in of nvidia-ctk makes of a machine with these device nodes."""
    (directory / "dev").mkdir()
    for node in nodes:
        (directory / "dev" / node).touch()
    said(packages.NVIDIA_CTK, "cdi", "generate", f"--output={directory}/cdi.yaml", directory=directory)
    return yaml.safe_load((directory / "cdi.yaml").read_text())


def edits(found: dict[str, Any]) -> list[str]:
    return [node["path"] for node in found["containerEdits"]["deviceNodes"]]


def test_nvidia_ctk_writes_what_the_real_one_wrote(tmp_path: Path) -> None:
    """By names and device nodes: of one GPU, since the sample's machine had one."""
    ours = specification(tmp_path, "nvidia0", "nvidia1", "nvidia2", "nvidia3", "nvidia-uvm", "nvidiactl")
    real = yaml.safe_load((SAMPLES / "cdi.yaml").read_text())
    assert ours.keys() == real.keys()
    assert (ours["cdiVersion"], ours["kind"]) == (real["cdiVersion"], real["kind"])
    first = [device for device in ours["devices"] if device["name"] in ("0", f"{packages.UUID}0", "all")]
    assert [device["name"] for device in first] == [device["name"] for device in real["devices"]]
    for mine, theirs in zip(first[:2], real["devices"], strict=False):
        assert edits(mine) == edits(theirs)
    assert edits(first[2]) == [f"/dev/nvidia{number}" for number in range(packages.GPUS)]
    assert edits(ours) == [path for path in edits(real) if path != "/dev/nvidia-uvm-tools"]
    assert "NVIDIA_VISIBLE_DEVICES=void" in real["containerEdits"]["env"]
    assert ours["containerEdits"]["env"] == ["NVIDIA_VISIBLE_DEVICES=void"]


def test_nvidia_ctk_leaves_out_a_device_that_is_not_there_and_calls_that_a_success(tmp_path: Path) -> None:
    ours = specification(tmp_path, "nvidia0", "nvidiactl")
    real = yaml.safe_load((SAMPLES / "cdi-without-uvm.yaml").read_text())
    assert edits(ours) == edits(real) == ["/dev/nvidiactl"]


@pytest.mark.parametrize(("option", "file"), [("-L", "nvidia-smi-L.txt"), ("topo -m", "nvidia-smi-topo.txt")])
def test_nvidia_smi_prints_what_the_real_one_printed(tmp_path: Path, option: str, file: str) -> None:
    """Line by line, once the name of the GPU, its pairs and what is beside other GPUs are left out."""

    def pattern(text: str) -> set[str]:
        one = re.sub(r"NVIDIA (L4|H200)", "NAME", text.partition("\n\n")[0])
        one = re.sub(r"\tGPU[1-3]|(?<=X \t)(?:(?:SYS|PHB)\t)+|0-\d+", "", one)
        return {line for line in one.splitlines() if not re.match(r"GPU ?[1-3]", line)}

    assert pattern(said(packages.NVIDIA_SMI, *option.split(), directory=tmp_path)) == pattern(
        (SAMPLES / file).read_text()
    )
