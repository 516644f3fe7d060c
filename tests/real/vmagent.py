"""The `vmagent` command, out of the distribution's package, which is unpacked and not installed."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from pulumi_rehearsal.cache import cache_directory, make_once
from pulumi_rehearsal.distribution import unpack
from tandem.host.render import METRICS_AGENT


def vmagent() -> Path:
    """Its directory, for PATH."""
    home = cache_directory() / "vmagent"
    make_once(home, lambda: (home / "vmagent").is_file(), _take, "vmagent", print)
    return home


def _take(directory: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="vmagent-") as name:
        assert not (wrong := unpack([METRICS_AGENT], Path(name), print)), wrong
        shutil.copy(Path(name) / "usr/bin/vmagent", directory)
