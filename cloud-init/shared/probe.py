"""Asks a server for a token, or for what its model makes in its place, and whether its engine moves. For hosts and pods
alike."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from typing import Any

SECONDS = 25  # for one look; a pod's probe is cut off after 30
LAST = 5  # of them are left to look at the counters again
MADE = ("choices", "data", "results")  # by one of which answers of all tasks begin: tokens, vectors, scores
PAUSE = 0.25  # an engine step takes 0.03 to 0.25 s as a rule, and a refusal 0.01 s


def token(port: int, path: str, body: dict[str, Any], timeout: float, key: str = "") -> None:
    """One completion of one token, one vector, one score; OSError when none comes. /health stays 200 while an engine
    hangs.

    Servers want no key; an edge before them does.
    """
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        found = json.load(answer)
        if not any(found.get(name) for name in MADE):
            raise OSError("an answer with nothing in it")


def listens(port: int) -> bool:
    """A server opens its port once its engine is up."""
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


def metric(port: int, *names: str, timeout: float = 5) -> float:
    """Sum of metrics over all engines of a server."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout) as answer:
        return sum(map(float, re.findall(rf"(?m)^vllm:(?:{'|'.join(names)})(?:{{.*}})? (\S+)", answer.read().decode())))


def progress(port: int, timeout: float) -> float:
    """Moves with each step of the engine: by tokens made, by prompts that are read, all that a model does which makes
    none, or by the cache that a long one fills meanwhile."""
    return metric(port, "generation_tokens_total", "prompt_tokens_total", "kv_cache_usage_perc", timeout=timeout)


def trouble(port: int, path: str, body: dict[str, Any]) -> str:
    """Why a server cannot be counted on, known after SECONDS; nothing when a token came or the engine moved.

    A full server refuses at once (503, 429), which is the answer of a live one: whether it is, its engine tells.
    """
    end = time.monotonic() + SECONDS

    def left(reserve: float) -> float:
        return max(0.1, end - time.monotonic() - reserve)

    why = "it does not answer"
    try:
        before = progress(port, left(LAST))
        try:
            token(port, path, body, left(LAST))
            return ""
        except (OSError, ValueError) as error:
            why = f"no token in {SECONDS} s: {error}"
        while progress(port, left(0)) == before:
            if time.monotonic() > end:
                return why
            time.sleep(PAUSE)
        return ""
    except Exception as error:  # whatever a dying server sends
        return f"{why}: {error}"
