"""What runs in pods before the server, against real processes: a hub client and a driver's tool that are scripts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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
    monkeypatch.setenv("TANDEM_SECRETS", json.dumps({"keys": [], "hubToken": None}))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    wanted = {"model": MODEL, "revision": REVISION, "manifest": None, "weights": "nvme"}
    return {**wanted, "minimum_driver_branch": 580, "launch_seconds": 60}


def test_weights_are_downloaded_once_and_copied(prepared: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    in_pod.prepare(prepared)
    assert (in_pod.Cache(in_pod.LOCAL, prepared).snapshot() / "config.json").read_text() == "{}"
    monkeypatch.setattr(in_pod.hub, "download", lambda *_: pytest.fail("a second download"))
    in_pod.prepare(prepared)


@pytest.mark.parametrize("tier", ["nvme", "efs"])
def test_adapters_and_a_draft_come_beside_their_model(prepared: dict[str, Any], tier: str) -> None:
    sql = {"name": "sql", "model": "acme/sql", "revision": REVISION, "manifest": None}
    draft = {"model": "acme/draft", "revision": REVISION, "manifest": None}
    in_pod.prepare({**prepared, "weights": tier, "adapters": [sql], "drafts": [draft]})
    root = in_pod.SHARED if tier == "efs" else in_pod.LOCAL
    for wanted in (prepared, sql, draft):
        assert (in_pod.Cache(root, wanted).snapshot() / "config.json").read_text() == "{}"


def test_the_hubs_token_is_read_by_the_role_and_only_for_a_download(
    prepared: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens: list[str] = []
    monkeypatch.setenv("TANDEM_SECRETS", json.dumps({"keys": [], "hubToken": "arn:token"}))
    monkeypatch.setenv("HF_TOKEN", "of the test, which puts it back")
    monkeypatch.setattr(in_pod.role, "secret", {"arn:token": "hf_secret\n"}.get)
    monkeypatch.setattr(in_pod.hub, "download", lambda to, _hub, token, _client: (tokens.append(token), filled(to)))
    in_pod.prepare(prepared)
    assert tokens == [os.environ["HF_TOKEN"]] == ["hf_secret"]
    assert "hf_secret" not in str(in_pod.client({}))
    monkeypatch.setattr(in_pod.role, "secret", lambda _: pytest.fail("asked without a download"))
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


@pytest.mark.clock
def test_the_next_pod_takes_over_when_the_downloading_one_dies(
    prepared: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    holds = (
        "import pathlib, sys, time; sys.path[:0] = sys.argv[2:]; import cache\n"
        "with cache.turn(pathlib.Path(sys.argv[1])):\n"
        "    print('mine', flush=True); time.sleep(60)"
    )
    in_pod.SHARED.mkdir()
    command = [sys.executable, "-c", holds, str(in_pod.SHARED), str(Path(in_pod.hub.__file__).parent)]
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
