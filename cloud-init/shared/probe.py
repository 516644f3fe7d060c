"""Asks a server for a token, and how many it has made. For hosts and pods alike."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any


def token(port: int, path: str, body: dict[str, Any], keys: Path, timeout: float) -> None:
    """One completion of one token; OSError when none comes. /health stays 200 while an engine hangs."""
    key = json.loads(keys.read_text())["api-key"][0]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        if not json.load(answer).get("choices"):
            raise OSError("an answer without a choice")


def metric(port: int, *names: str) -> float:
    """Sum of metrics over all engines of a server."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return sum(map(float, re.findall(rf"(?m)^vllm:(?:{'|'.join(names)})(?:{{.*}})? (\S+)", answer.read().decode())))
