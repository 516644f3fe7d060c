"""Weights: checked by their own names, copied, downloaded by one host at a time."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts import Load

REVISION = "0" * 40


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def fill(hub: Path, revision: str = REVISION) -> Path:
    """A hub cache as huggingface_hub lays it out: blobs by hash, a snapshot of links."""
    repository = hub / "models--Qwen--Qwen3-8B"
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for name, data in {"model.safetensors": os.urandom(5_000_000), "config.json": b'{"a": 1}'}.items():
        blob = hashlib.sha256(data).hexdigest() if name.startswith("model") else git_sha1(data)
        (repository / "blobs" / blob).write_bytes(data)
        (snapshot / name).symlink_to(f"../../blobs/{blob}")
    return repository


@pytest.fixture
def host(load: Load, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Scripts with both mounts in place and commands recorded instead of run."""
    scripts = load()
    engine = {**scripts.config["engine"], "model": "Qwen/Qwen3-8B", "revision": REVISION}
    monkeypatch.setattr(scripts.weights, "ENGINE", engine)
    for mount in (scripts.storage.LOCAL, scripts.storage.SHARED):
        mount.mkdir(parents=True)
    monkeypatch.setattr(scripts.weights.os.path, "ismount", lambda path: path == scripts.storage.SHARED)
    monkeypatch.setattr(scripts.weights.os, "chown", lambda *_: None)
    scripts.commands = []

    def sh(*command: str, **_: object) -> str:
        scripts.commands.append(command)
        if "download" in command and command[1] == "run":
            hub = Path(next(part.split(":")[0] for part in command if part.endswith(":/hub")))
            if not (hub / "models--Qwen--Qwen3-8B").exists():
                fill(hub)
        return ""

    monkeypatch.setattr(scripts.weights, "sh", sh)
    return scripts


def downloads(host: SimpleNamespace) -> int:
    return sum(command[:2] == ("docker", "run") for command in host.commands)


def test_the_first_host_downloads_to_efs_and_copies(host: SimpleNamespace) -> None:
    assert host.weights.run() == "downloaded to EFS, copied to local storage"
    assert downloads(host) == 1
    snapshot = host.storage.LOCAL / "hub/models--Qwen--Qwen3-8B/snapshots" / REVISION
    assert (snapshot / "config.json").read_bytes() == b'{"a": 1}'
    assert host.weights.served_from() == host.storage.LOCAL / "hub"


def test_the_next_host_only_copies_and_a_restart_does_nothing(host: SimpleNamespace) -> None:
    host.storage.SHARED.joinpath("hub").mkdir()
    fill(host.storage.SHARED / "hub")
    host.weights.marker(host.storage.SHARED / "hub").touch()
    assert host.weights.run() == "found on EFS, copied to local storage"
    assert host.weights.run() == "were there"
    assert downloads(host) == 0


def test_a_damaged_blob_is_removed_and_fetched_again(host: SimpleNamespace) -> None:
    host.storage.SHARED.joinpath("hub").mkdir()
    repository = fill(host.storage.SHARED / "hub")
    large = max((repository / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    large.write_bytes(b"x" * 5_000_000)
    with pytest.raises(RuntimeError, match="was damaged: removed, to be fetched again"):
        host.weights.run()
    assert not large.exists()
    assert not host.weights.marker(host.storage.SHARED / "hub").exists()


def test_damage_between_efs_and_local_storage_is_seen(host: SimpleNamespace) -> None:
    host.storage.SHARED.joinpath("hub").mkdir()
    repository = fill(host.storage.SHARED / "hub")
    host.weights.marker(host.storage.SHARED / "hub").touch()
    small = min((repository / "blobs").iterdir(), key=lambda path: path.stat().st_size)
    small.write_bytes(b'{"a": 2}')
    with pytest.raises(RuntimeError, match="was damaged"):
        host.weights.run()
    assert not host.weights.marker(host.storage.LOCAL / "hub").exists()


def test_without_room_the_host_serves_from_efs_and_says_so(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.weights.shutil, "disk_usage", lambda _: SimpleNamespace(free=3 << 20))
    assert host.weights.run() == "downloaded to EFS, no room for a local copy"
    assert host.weights.served_from() == host.storage.SHARED / "hub"
    console = (host.root / "dev/console").read_text()
    assert console == "tandem: weights: 4 MiB to copy, 3 MiB free: serving from EFS, restarts will be slower\n"


def test_without_efs_the_host_downloads_to_local_storage(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.weights.os.path, "ismount", lambda path: False)
    assert host.weights.run() == "downloaded to local storage"
    assert host.weights.served_from() == host.storage.LOCAL / "hub"


def test_baked_weights_are_copied_and_checked_without_a_network(host: SimpleNamespace) -> None:
    baked = host.storage.BAKED / "hub"
    repository = fill(baked)
    (repository / "snapshots" / f"{REVISION}.complete").touch()
    assert host.weights.run() == "copied from the machine image"
    assert downloads(host) == 0
    assert host.weights.served_from() == host.storage.LOCAL / "hub"
    assert {path.name for path in host.weights.blobs(host.storage.LOCAL / "hub")} == {
        path.name for path in host.weights.blobs(baked)
    }


def test_baked_weights_of_another_revision_are_not_used(host: SimpleNamespace) -> None:
    repository = fill(host.storage.BAKED / "hub", "1" * 40)
    (repository / "snapshots" / f"{'1' * 40}.complete").touch()
    assert host.weights.run() == "downloaded to EFS, copied to local storage"


def test_the_efs_tier_copies_nothing(host: SimpleNamespace) -> None:
    host.weights.ENGINE["weights"] = "efs"
    assert host.weights.run() == "downloaded to EFS"
    assert host.weights.served_from() == host.storage.SHARED / "hub"


def test_the_s3_tier_only_pulls_the_image(host: SimpleNamespace) -> None:
    host.weights.ENGINE["weights"] = "s3"
    assert host.weights.run() == "streamed from S3"
    assert host.commands[-1] == ("docker", "pull", "-q", host.weights.ENGINE["image"])


def test_a_gated_model_gets_its_token_by_file(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(host.host.CONFIG, "token_arn", "arn:token")
    monkeypatch.setattr(host.aws, "secret", lambda arn: "hf_secret")
    host.weights.run()
    command = next(command for command in host.commands if command[:2] == ("docker", "run"))
    assert "HF_TOKEN_PATH=/token" in command
    assert "hf_secret" not in " ".join(command)
    assert not (host.root / "run/tandem/hub-token").exists()


HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[1])
import weights, pathlib
with weights.turn(pathlib.Path(sys.argv[2])):
    print("mine", flush=True)
    time.sleep(600)
"""


def test_a_host_waits_for_the_one_that_downloads_and_takes_over_when_it_dies(
    host: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two real processes and a real lock; on EFS the file server takes the place of the kernel."""
    from scripts import SCRIPTS

    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(SCRIPTS), str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"mine\n"
        waits = []

        def wait(seconds: float) -> bool:
            waits.append(seconds)
            if len(waits) == 3:
                holder.kill()
                holder.wait()
            return len(waits) < 100

        monkeypatch.setattr(host.weights, "wait", wait)
        with host.weights.turn(tmp_path):
            assert waits == [5, 5, 5]
    finally:
        holder.kill()
        holder.wait()


def test_a_host_that_waited_does_not_download_again(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def turn(hub: Path) -> Iterator[None]:
        fill(hub)
        host.weights.marker(hub).touch()  # what the other host did meanwhile
        yield

    monkeypatch.setattr(host.weights, "turn", turn)
    assert host.weights.run() == "found on EFS, copied to local storage"
    assert downloads(host) == 0


def test_waiting_for_another_host_ends_at_the_deadline(
    host: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts import SCRIPTS

    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(SCRIPTS), str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout
        assert holder.stdout.readline() == b"mine\n"
        started = time.monotonic()
        with (
            host.host.deadline(0.3),
            pytest.raises(RuntimeError, match="another host was downloading until the deadline"),
            host.weights.turn(tmp_path),
        ):
            pass
        assert time.monotonic() - started < 5
    finally:
        holder.kill()
        holder.wait()
