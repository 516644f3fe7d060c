"""What runs inside pods, against real processes: a hub client, a driver's tool and a server that are scripts here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pod as in_pod
import pytest

MODEL, REVISION = "Qwen/Qwen3-8B", "c0ffee" * 6 + "c0ff"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that comes first on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return directory


def tool(directory: Path, name: str, script: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_driver_that_is_too_old_is_refused_with_both_figures(tools: Path) -> None:
    tool(tools, "nvidia-smi", "echo 570.86.15")
    with pytest.raises(in_pod.GiveUp, match=r"570\.86\.15 is older than branch 580"):
        in_pod.check_driver(580)


def test_a_driver_of_the_branch_or_later_passes(tools: Path) -> None:
    tool(tools, "nvidia-smi", "echo 580.159.04")
    in_pod.check_driver(580)


def test_a_node_without_a_driver_says_what_its_tool_said(tools: Path) -> None:
    tool(tools, "nvidia-smi", "echo 'No devices were found' >&2; exit 6")
    with pytest.raises(in_pod.GiveUp, match="No devices were found"):
        in_pod.check_driver(580)


def filled(cache: Any, *_: object) -> None:
    """Stands in for a download: one small file and its manifest."""
    config = cache.snapshot() / "config.json"
    config.parent.mkdir(parents=True)
    config.write_text("{}")
    cache.finish([(hashlib.sha1(b"blob 2\0{}").hexdigest(), 2, "config.json")])


@pytest.fixture
def prepared(tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of a pod whose volumes are empty, on a node with a good driver."""
    tool(tools, "nvidia-smi", "echo 580.159.04")
    for name in ("models", "local"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(in_pod, "SHARED", tmp_path / "models/hub")
    monkeypatch.setattr(in_pod, "LOCAL", tmp_path / "local/hub")
    monkeypatch.setattr(in_pod, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(in_pod.hub, "download", filled)
    wanted = {"model": MODEL, "revision": REVISION, "manifest": None, "weights": "nvme"}
    return {**wanted, "minimum_driver_branch": 580, "launch_seconds": 60}


def test_weights_are_downloaded_once_and_copied(prepared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    in_pod.prepare(prepared)
    assert (in_pod.Cache(in_pod.LOCAL, prepared).snapshot() / "config.json").read_text() == "{}"
    monkeypatch.setattr(in_pod.hub, "download", lambda *_: pytest.fail("a second download"))
    in_pod.prepare(prepared)


def test_the_efs_tier_is_looked_at_where_it_lies(prepared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    in_pod.prepare(prepared | {"weights": "efs"})
    assert not in_pod.LOCAL.exists()
    config = in_pod.Cache(in_pod.SHARED, prepared).snapshot() / "config.json"
    config.write_text("[]")
    monkeypatch.setattr(in_pod.hub, "download", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # it is fetched again
        in_pod.prepare(prepared | {"weights": "efs"})


def test_streamed_weights_need_no_download(prepared: dict[str, Any]) -> None:
    in_pod.prepare(prepared | {"weights": "s3"})
    assert not in_pod.SHARED.exists()


def test_a_download_that_fails_is_tried_again_until_the_deadline(
    prepared: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = iter([OSError("cut off"), RuntimeError("exit 1"), None])

    def download(cache: Any, *_: object) -> None:
        if error := next(attempts):
            raise error
        filled(cache)

    monkeypatch.setattr(in_pod.hub, "download", download)
    in_pod.prepare(prepared)

    def never(*_: object) -> None:
        raise RuntimeError("exit 1")

    monkeypatch.setattr(in_pod.hub, "download", never)
    with pytest.raises(in_pod.GiveUp, match="Qwen/Qwen3-8B was not there before the deadline: exit 1"):
        in_pod.prepare(prepared | {"revision": "0" * 40, "launch_seconds": 0.1})


def test_the_next_pod_takes_over_when_the_downloading_one_dies(
    prepared: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holds = (
        "import pathlib, sys, time; sys.path[:0] = sys.argv[2:]; import cache\n"
        "with cache.turn(pathlib.Path(sys.argv[1])):\n"
        "    print('mine', flush=True); time.sleep(60)"
    )
    in_pod.SHARED.mkdir()
    command = [sys.executable, "-c", holds, str(in_pod.SHARED), *sys.path[:2]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(in_pod.GiveUp, match="another machine was downloading until the deadline"):
            in_pod.prepare(prepared | {"launch_seconds": 0.1})
        holder.kill()
        in_pod.prepare(prepared)


def test_a_full_node_is_refused_before_the_copy(prepared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(in_pod.GiveUp, match="0 MiB to copy, 0 MiB free on the node"):
        in_pod.prepare(prepared)


class Server(BaseHTTPRequestHandler):
    """Stands in for vLLM: what it answers is set on the class."""

    token: bool = True
    tokens_made: ClassVar[list[float]] = [5.0]

    def do_GET(self) -> None:
        made = self.tokens_made.pop(0) if len(self.tokens_made) > 1 else self.tokens_made[0]
        self.answer(200, f'vllm:generation_tokens_total{{engine="0"}} {made}\n'.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != "Bearer key-a":
            self.answer(401, b"{}")
        elif self.token:
            self.answer(200, b'{"choices": [{}]}')
        else:
            self.answer(503, b"{}")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    keys = tmp_path / "vllm.yaml"
    keys.write_text(json.dumps({"api-key": ["key-a"]}))
    monkeypatch.setattr(in_pod, "KEYS", keys)
    monkeypatch.setattr(Server, "token", True)
    monkeypatch.setattr(Server, "tokens_made", [5.0])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"port": server.server_address[1], "served_model_name": MODEL}
    server.shutdown()
    server.server_close()


def test_a_server_that_makes_a_token_is_ready(pod: dict[str, Any]) -> None:
    in_pod.makes_tokens(pod)


def test_a_server_that_makes_none_is_not(pod: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "token", False)
    with pytest.raises(in_pod.GiveUp, match="no token"):
        in_pod.makes_tokens(pod)


def test_a_full_queue_is_not_a_hang(pod: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "token", False)
    monkeypatch.setattr(Server, "tokens_made", [5.0, 6.0])
    in_pod.makes_tokens(pod)


def test_a_server_that_is_gone_is_one_line_and_status_1(
    pod: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TANDEM_POD", json.dumps(pod | {"port": 1}))
    assert in_pod.main(["ready"]) == 1
    assert capsys.readouterr().err.startswith("tandem: the server does not answer")
