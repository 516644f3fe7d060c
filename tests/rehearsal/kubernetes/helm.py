"""The provider's own Helm, as a test asks it."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pulumi_rehearsal.kubernetes import build

MADE_ANEW = re.compile(r"(caBundle|(tls|ca)\.(crt|key)): [\w+/=]+")
"""Certificates, of which each rendering makes others."""


def rendered(archive: Path, *values: Mapping[str, Any], namespace: str = "kube-system") -> list[Mapping[str, Any]]:
    """What it makes of a chart, for each of several values: manifests, or an error."""
    chart = archive.name.rpartition("-")[0]
    head = {
        "Chart": str(archive),
        "Name": chart,
        "Namespace": namespace,
        "Version": f"v{build.CONTROL_PLANE.version}",
    }
    done = subprocess.run(
        [build.PROVIDER.command("render-charts")],
        input=json.dumps([head | {"Values": one} for one in values]),
        capture_output=True,
        text=True,
        check=True,
    )
    return [{**answer, "text": MADE_ANEW.sub("", json.dumps(answer))} for answer in json.loads(done.stdout)]
