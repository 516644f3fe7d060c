"""What nvidia-smi says of GPUs, as CloudWatch and Prometheus are told it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts import Load

RECORDED = Path(__file__).parents[1] / "observing/recorded/gpus.txt"
SAID = "97, 39424, 46068, 61\n3, 23034, 46068, 44\n"
"""Of `nvidia-smi --query-gpu=... --format=csv,noheader,nounits`, one GPU a line."""


def test_cloudwatch_hears_of_the_worst_and_prometheus_of_each(load: Load) -> None:
    gpus = load().gpus
    gpus.tell(gpus.read(SAID), dead=False)
    assert gpus.figures() == {
        "GpuUse": 97,
        "GpuMemory": pytest.approx(85.58, abs=0.01),
        "GpuTemperature": 61,
        "GpuErrors": 0,
    }
    assert gpus.text() == RECORDED.read_text(), "of which tests/observing holds each query against the names"


def test_a_dead_one_is_told_without_figures(load: Load) -> None:
    gpus = load().gpus
    gpus.tell({}, dead=True)
    assert gpus.figures() == {"GpuErrors": 1}
    assert gpus.text() == "# TYPE tandem_gpu_errors gauge\ntandem_gpu_errors 1\n"


@pytest.mark.parametrize("said", ["", "[N/A], [N/A], [N/A], 40\n", "No devices were found\n", "97, 1, 2\n"])
def test_what_one_does_not_say_is_nothing(load: Load, said: str) -> None:
    assert load().gpus.read(said) == {}


def test_before_the_watchdog_has_looked_there_is_nothing(load: Load) -> None:
    gpus = load().gpus
    assert (gpus.figures(), gpus.text()) == ({}, "")
