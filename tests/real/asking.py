"""A client of an OpenAI-like API that keeps what came, whole or not."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any] | None:
        """The error inside a stream, which began with status 200."""
        for line in self.body.splitlines():
            if line.startswith(b'data: {"error"'):
                return json.loads(line[6:])["error"]
        return None


def ask(
    port: int,
    body: dict[str, Any] | None,
    key: str | None,
    path: str = "/v1/completions",
    seconds: float = 600,
    host: str = "127.0.0.1",
    **more: str,
) -> Answer:
    """One request on a connection of its own: a POST, or without a body a GET.

    Args:
        more: headers.
    """
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    connection = http.client.HTTPConnection(host, port, timeout=seconds)
    with contextlib.closing(connection):
        connection.request("POST" if body else "GET", path, json.dumps(body) if body else None, headers | more)
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def series(metrics: str) -> dict[str, set[str]]:
    """Names of a server's metrics, each with its labels."""
    found = re.findall(r"(?m)^(vllm:\w+)\{(.*)\} ", metrics)
    return {name: set(re.findall(r"(\w+)=", labels)) for name, labels in found}
