"""What nvidia-smi says of this host's GPUs. The watchdog asks; the agent beside the edge, which so never waits for a
driver, tells CloudWatch and Prometheus.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence

from host import RUN, write

QUERY = "utilization.gpu,memory.used,memory.total,temperature.gpu"
SEEN = RUN / "gpus.json"
SERIES = {
    "GpuUse": "tandem_gpu_use_percent",
    "GpuMemory": "tandem_gpu_memory_percent",
    "GpuTemperature": "tandem_gpu_temperature_celsius",
}
"""Of each GPU, in Prometheus, by the figure of CloudWatch."""
ERRORS = "tandem_gpu_errors"
Figures = Mapping[str, Sequence[float]]
"""Of each GPU, in nvidia-smi's order."""


def read(text: str) -> Figures:
    """What it answers to QUERY; nothing where a GPU does not say."""
    try:
        rows = [[float(value) for value in row.split(",")] for row in text.splitlines()]
        found = [(use, 100 * memory / total, heat) for use, memory, total, heat in rows]
    except ValueError:
        return {}
    return dict(zip(SERIES, zip(*found, strict=True), strict=True)) if found else {}


def tell(found: Figures, *, dead: bool) -> None:
    """For the agent, which reads it when it is asked."""
    write(SEEN, json.dumps({"dead": dead, "gpus": found}))


def _told() -> tuple[bool, Figures]:
    told = json.loads(SEEN.read_text())
    return told["dead"], told["gpus"]


def figures() -> dict[str, float]:
    """Of CloudWatch: the busiest, the fullest and the hottest; nothing before the watchdog has looked."""
    if not SEEN.exists():
        return {}
    dead, found = _told()
    return {**{name: max(values) for name, values in found.items()}, "GpuErrors": float(dead)}


def text() -> str:
    """In Prometheus' text format."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        dead, found = _told()
        for name, values in found.items():
            lines.append(f"# TYPE {SERIES[name]} gauge")
            lines += [f'{SERIES[name]}{{gpu="{number}"}} {value:g}' for number, value in enumerate(values)]
        lines += [f"# TYPE {ERRORS} gauge", f"{ERRORS} {dead:d}"]
    return "".join(f"{line}\n" for line in lines)
