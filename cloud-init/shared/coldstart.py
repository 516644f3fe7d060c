"""How long a machine took from nothing to its first token, by stage. For hosts and pods alike.

CloudWatch is told once, for each hour in which a figure is told is paid for (https://aws.amazon.com/cloudwatch/pricing/).
Who asks for metrics is told as long as the machine lives.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from basics import write

FIGURES = {"image": "StartImage", "weights": "StartWeights", "ready": "StartReady"}
"""Of CloudWatch, by stage: the image was pulled, the weights were placed, the server made its first token."""
WHOLE = "StartWhole"


@dataclass(frozen=True)
class ColdStart:
    """One start of a machine, as far as it has come.

    Attributes:
        stages: seconds of each stage that has ended, by name.
        whole: seconds from the first stage's begin to the first token; None before that.
    """

    stages: Mapping[str, float]
    whole: float | None

    def figures(self) -> dict[str, float]:
        """Of CloudWatch; none before the first token."""
        if self.whole is None:
            return {}
        told = {FIGURES[stage]: seconds for stage, seconds in self.stages.items() if stage in FIGURES}
        return {**told, WHOLE: self.whole}


def text(start: ColdStart) -> str:
    """In Prometheus' text format."""
    lines = [f'tandem_stage_seconds{{stage="{stage}"}} {seconds}' for stage, seconds in start.stages.items()]
    found = ["# TYPE tandem_stage_seconds gauge", *lines] if lines else []
    if start.whole is not None:
        found += ["# TYPE tandem_start_seconds gauge", f"tandem_start_seconds {start.whole}"]
    return "".join(f"{line}\n" for line in found)


@dataclass(frozen=True)
class Once:
    """What CloudWatch was not told yet.

    Attributes:
        look: at the start of this machine.
        mark: a file that is there once CloudWatch was told, and goes with the start.
    """

    look: Callable[[], ColdStart]
    mark: Path

    def figures(self) -> dict[str, float]:
        return {} if self.mark.exists() else self.look().figures()

    def told(self) -> None:
        """CloudWatch has taken them."""
        with contextlib.suppress(OSError):  # on a full disk it is told again, that is all
            write(self.mark, "")
