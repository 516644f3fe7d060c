"""What runs inside pods, against real processes: a hub client, a driver's tool and a server that are scripts here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
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


def hub_client(directory: Path, hub: Path, *, prints: str = "") -> None:
    """Stands in for `hf download`: writes one file of weights where the real one would."""
    target = hub / "models--Qwen--Qwen3-8B" / "snapshots" / REVISION
    tool(directory, "hf", f"{prints}\nmkdir -p {target}\necho weights > {target}/model.safetensors")


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


def test_weights_are_downloaded_once_and_copied_whole(tools: Path, tmp_path: Path, monkeypatch: Any) -> None:
    shared, local, calls = tmp_path / "shared", tmp_path / "local", tmp_path / "calls"
    monkeypatch.setattr(in_pod, "SHARED", shared)
    monkeypatch.setattr(in_pod, "LOCAL", local)
    tool(tools, "nvidia-smi", "echo 580.159.04")
    hub_client(tools, shared, prints=f"echo call >> {calls}")
    pod = {
        "minimum_driver_branch": 580,
        "weights": "nvme",
        "model": MODEL,
        "revision": REVISION,
        "launch_seconds": 60,
    }
    in_pod.prepare(pod)
    in_pod.prepare(pod)
    assert calls.read_text() == "call\n"
    copied = in_pod.snapshot(local, MODEL, REVISION) / "model.safetensors"
    assert copied.read_text() == "weights\n"
    assert not copied.is_symlink()


def test_streamed_weights_need_no_download(tools: Path) -> None:
    tool(tools, "nvidia-smi", "echo 580.159.04")
    tool(tools, "hf", "exit 1")
    in_pod.prepare({"minimum_driver_branch": 580, "weights": "s3"})


def test_a_download_that_is_cut_off_is_taken_up_again(tools: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(in_pod, "POLL_SECONDS", 0.01)
    hub = tmp_path / "hub"
    hub.mkdir()
    hub_client(tools, hub, prints=f"[ -e {tmp_path}/first ] || {{ touch {tmp_path}/first; exit 1; }}")
    in_pod.download(hub, MODEL, REVISION, time.monotonic() + 30)
    assert in_pod.complete(hub, MODEL, REVISION).exists()


def test_a_download_that_never_comes_ends_at_the_deadline(tools: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(in_pod, "POLL_SECONDS", 0.01)
    tool(tools, "hf", "exit 1")
    with pytest.raises(in_pod.GiveUp, match="not downloaded before the deadline"):
        in_pod.download(tmp_path, MODEL, REVISION, time.monotonic() + 0.2)


def test_the_next_pod_takes_over_when_the_downloading_one_dies(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(in_pod, "POLL_SECONDS", 0.01)
    holds = (
        "import pathlib, sys, time; sys.path[:0] = sys.argv[2:]; import pod\n"
        "with pod.turn(pathlib.Path(sys.argv[1]), time.monotonic() + 5):\n"
        "    print('mine', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", holds, str(tmp_path), *sys.path[:2]], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "mine\n"
        with pytest.raises(in_pod.GiveUp, match="another pod"), in_pod.turn(tmp_path, time.monotonic() + 0.1):
            pass
        holder.send_signal(signal.SIGKILL)
        with in_pod.turn(tmp_path, time.monotonic() + 30):
            pass
    finally:
        holder.kill()
        holder.wait()


def test_a_full_node_is_refused_before_the_copy(tmp_path: Path, monkeypatch: Any) -> None:
    source = in_pod.snapshot(tmp_path / "hub", MODEL, REVISION)
    source.mkdir(parents=True)
    (source / "model.safetensors").write_text("weights")
    monkeypatch.setattr(in_pod.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(in_pod.GiveUp, match="0 MiB free on the node"):
        in_pod.copy(tmp_path / "hub", tmp_path / "local", MODEL, REVISION)


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
