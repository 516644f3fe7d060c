"""A node whose driver cannot be asked: said in one line, which `kubectl describe pod` shows."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

in_pod: Any = importlib.import_module("pod")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "No such file or directory: 'nvidia-smi'"),
        ("exit 0", "it said nothing"),
        ("echo '[N/A]'", r"\[N/A\]"),
        ("echo 'No devices were found'", "No devices were found"),
    ],
)
def test_a_driver_that_cannot_be_asked_is_no_driver(
    script: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if script:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    with pytest.raises(in_pod.GiveUp, match=f"nvidia-smi failed: .*{said}"):
        in_pod.check_driver(580)
