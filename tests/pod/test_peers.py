"""Which pods of a model serve, as the edge beside the agent reads it."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Any

import peers
import pytest


def test_the_own_address_comes_first_and_then_all_that_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["10.0.0.9", "10.0.0.4", "10.0.0.9"]

    def resolved(*asked: object) -> list[tuple[Any, ...]]:
        assert asked == ("vllm-main-peers.inference.svc", None, socket.AF_INET, socket.SOCK_STREAM)
        return [(0, 0, 0, "", (address, 0)) for address in found]

    monkeypatch.setattr(socket, "gethostbyname", lambda _: "10.0.0.4")
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    file = tmp_path / "peers"
    peers.look("vllm-main-peers.inference.svc", file)
    assert file.read_text() == "10.0.0.4 10.0.0.4 10.0.0.9"
    written = file.stat().st_mtime_ns
    peers.look("vllm-main-peers.inference.svc", file)
    assert file.stat().st_mtime_ns == written, "nothing is written while nothing changes"
    found[:] = ["10.0.0.9"]
    peers.look("vllm-main-peers.inference.svc", file)
    assert file.read_text() == "10.0.0.4 10.0.0.9", "a pod that leaves is not among them"


def test_while_nobody_tells_names_those_that_were_known_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file := tmp_path / "peers").write_text("10.0.0.4 10.0.0.4 10.0.0.9")
    monkeypatch.setattr(peers, "EVERY", 0.01)
    told: list[str] = []
    peers.follow("nobody.invalid", file, lambda line: told.append(line))
    deadline = time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(told) == 1, "once, however often it looks"
    assert told[0].startswith("nobody.invalid: ")
    assert file.read_text() == "10.0.0.4 10.0.0.4 10.0.0.9"
