"""The cold start of a pod: its containers tell the agent beside its edge when a stage has ended, by a datagram, as vLLM
tells its lines; so it is in the stack's log, too, in the form of a host's ledger.

The kubelet puts a pod's files in place before it pulls the image, and notes the moment: that is where the start begins.
What was before, a node that had to come, no container knows.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from basics import write
from coldstart import ColdStart

TOLD = ("weights", "ready")
"""Stages that others tell of, and no more: whoever gets into a server can send what it likes."""
LONGEST = 86_400
"""Seconds of a stage; more is nonsense."""


def tell(port: int, stage: str, started: float) -> None:
    """A stage has ended now. Nobody waits for the agent, and a worker of a pipeline has none."""
    entry = {
        "stage": stage,
        "start": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": round(time.time() - started, 2),
        "outcome": "done",
    }
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(b"<190>tandem: " + json.dumps(entry).encode(), ("127.0.0.1", port))


def placed(scripts: Path) -> float:
    """When the kubelet put a config map's files there: the name of their directory says so in UTC (AtomicWriter in
    https://github.com/kubernetes/kubernetes/blob/master/pkg/volume/util/atomic_writer.go). Elsewhere it is now."""
    try:
        name = (scripts / "..data").readlink().name
        return datetime.strptime(name[:21], "..%Y_%m_%d_%H_%M_%S").replace(tzinfo=UTC).timestamp()
    except (OSError, ValueError):
        return time.time()


class Ledger:
    """What the agent knows of its pod's start; a file keeps it for an agent that starts again.

    Args:
        file: goes with the pod.
        scripts: where the kubelet has put this code, before it pulled the image that runs it.
        first: whether no agent has run in this pod before; one that had no ledger knows nothing of the start.
    """

    def __init__(self, file: Path, scripts: Path, *, first: bool) -> None:
        self._file = file
        if file.exists():
            self._known: Mapping[str, Any] = json.loads(file.read_text())
        elif first:
            began = placed(scripts)
            self._keep({"began": began, "stages": {"image": round(time.time() - began, 2)}, "whole": None})
        else:
            self._keep({"began": None, "stages": {}, "whole": None})

    def _keep(self, known: Mapping[str, Any]) -> None:
        self._known = known
        write(self._file, json.dumps(known))

    def add(self, line: bytes) -> None:
        """Takes a line of syslog; most are none of a stage."""
        if b'"stage"' not in line:
            return
        try:
            entry = json.loads(line[line.index(b"{") :])
            stage, seconds = entry["stage"], float(entry["seconds"])
        except (ValueError, KeyError, TypeError):
            return
        if stage not in TOLD or not 0 <= seconds <= LONGEST:
            return
        whole, began = self._known["whole"], self._known["began"]
        if stage == "ready" and whole is None and began is not None:
            whole = round(time.time() - began, 2)
        self._keep({**self._known, "stages": {**self._known["stages"], stage: seconds}, "whole": whole})

    def look(self) -> ColdStart:
        """As far as the pod has come; of a stage that came again, a server that ended, the last."""
        return ColdStart(self._known["stages"], self._known["whole"])
