"""Weights on a host: found, copied and compared, downloaded by one at a time. tests/real has the real client."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from scripts import ROOMS, Load

REVISION = "0" * 40
TEMPLATE = "templates/chat.jinja"


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def fill(hub: Path, revision: str = REVISION) -> list[tuple[str, int, str]]:
    """A hub cache as huggingface_hub lays it out, blobs by hash and a snapshot of links; its manifest."""
    repository, rows = hub / "models--Qwen--Qwen3-8B", []
    (repository / "blobs").mkdir(parents=True)
    files = {"config.json": b'{"a": 1}', "model.safetensors": os.urandom(5_000_000), TEMPLATE: b"{{ messages }}"}
    for name, data in files.items():
        blob = hashlib.sha256(data).hexdigest() if name.startswith("model") else git_sha1(data)
        (repository / "blobs" / blob).write_bytes(data)
        link = repository / "snapshots" / revision / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(repository / "blobs" / blob, link.parent))
        rows.append((blob, len(data), name))
    return rows


def finish(hub: Path, revision: str = REVISION) -> list[tuple[str, int, str]]:
    """The same, marked as complete."""
    rows = fill(hub, revision)
    (hub / f"models--Qwen--Qwen3-8B/snapshots/{revision}.complete").write_text(json.dumps(rows))
    return rows


@pytest.fixture
def host(load: Load, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Scripts with both mounts in place; commands are recorded instead of run, and a download fills the cache."""
    scripts = load()
    engine = {**scripts.config["engine"], "model": "Qwen/Qwen3-8B", "revision": REVISION, "manifest": None}
    monkeypatch.setattr(scripts.weights, "ENGINE", engine)
    for mount in (scripts.storage.LOCAL, scripts.storage.SHARED):
        mount.mkdir(parents=True)
    monkeypatch.setattr(scripts.weights.os.path, "ismount", lambda path: path == scripts.storage.SHARED)
    monkeypatch.setattr(scripts.weights.os, "chown", lambda *_: None)
    scripts.commands, scripts.downloads = [], []

    def sh(*command: str, **_: object) -> str:
        scripts.commands.append(command)
        return ""

    def download(cache: Any, url: str, token: str, client: Any) -> None:
        scripts.downloads.append(client({"A": "b"}))
        rows = fill(cache.root)
        cache.check_all(rows)
        cache.finish(rows)

    monkeypatch.setattr(scripts.weights, "sh", sh)
    monkeypatch.setattr(scripts.hub, "download", download)
    scripts.shared = scripts.storage.SHARED / "hub"
    scripts.local = scripts.storage.LOCAL / "hub"
    return scripts


def snapshot(hub: Path) -> Path:
    return hub / "models--Qwen--Qwen3-8B/snapshots" / REVISION


def test_the_first_host_downloads_to_efs_and_copies(host: SimpleNamespace) -> None:
    assert host.weights.run() == "downloaded to EFS, copied to local storage"
    assert len(host.downloads) == 1
    assert (snapshot(host.local) / "config.json").read_bytes() == b'{"a": 1}'
    assert (snapshot(host.local) / TEMPLATE).read_bytes() == b"{{ messages }}"
    assert host.weights.served_from() == host.local


def test_the_next_host_only_copies_and_a_restart_does_nothing(host: SimpleNamespace) -> None:
    finish(host.shared)
    assert host.weights.run() == "found on EFS, copied to local storage"
    assert host.weights.run() == "were there"
    assert not host.downloads


SQL = {"name": "sql", "model": "acme/sql", "revision": "1" * 40, "manifest": None}


@pytest.fixture
def adapted(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """With an adapter; a download makes one small file of whatever is wanted."""

    def download(cache: Any, *_: object) -> None:
        host.downloads.append(cache.wanted["model"])
        (cache.snapshot()).mkdir(parents=True)
        (cache.snapshot() / "config.json").write_text("{}")
        cache.finish([(git_sha1(b"{}"), 2, "config.json")])

    host.weights.ENGINE["adapters"] = [SQL]
    monkeypatch.setattr(host.hub, "download", download)
    return host


def test_a_draft_is_fetched_as_an_adapter_is(adapted: SimpleNamespace) -> None:
    adapted.weights.ENGINE["drafts"] = [{"model": "acme/draft", "revision": "1" * 40, "manifest": None}]
    assert adapted.weights.run() == "; ".join(["downloaded to EFS, copied to local storage"] * 3)
    assert adapted.downloads == ["Qwen/Qwen3-8B", "acme/sql", "acme/draft"]


def adapter(hub: Path) -> Path:
    return hub / "models--acme--sql/snapshots" / ("1" * 40) / "config.json"


def test_an_adapter_is_downloaded_and_copied_as_its_model_is(adapted: SimpleNamespace) -> None:
    assert adapted.weights.run() == "; ".join(["downloaded to EFS, copied to local storage"] * 2)
    assert adapted.downloads == ["Qwen/Qwen3-8B", "acme/sql"]
    assert adapter(adapted.local).read_text() == "{}"
    assert adapted.weights.served_from() == adapted.local
    assert adapted.weights.run() == "were there; were there"


def test_a_new_adapter_is_all_that_is_fetched(adapted: SimpleNamespace) -> None:
    finish(adapted.shared)
    assert adapted.weights.run() == (
        "found on EFS, copied to local storage; downloaded to EFS, copied to local storage"
    )
    assert adapted.downloads == ["acme/sql"]


def test_an_adapter_follows_a_model_of_the_machine_image(adapted: SimpleNamespace) -> None:
    """Servers see one cache, also where they would read the model in place."""
    adapted.weights.ENGINE["weights"] = "efs"
    finish(adapted.storage.BAKED / "hub")
    assert adapted.weights.run() == ("copied from the machine image; downloaded to EFS, copied to local storage")
    assert adapted.weights.served_from() == adapted.local


def but_not_sql(copy: Any) -> Any:
    def copied(one: Any, to: Any) -> None:
        if one.wanted is SQL:
            raise OSError(errno.ENOSPC, "full")
        copy(one, to)

    return copied


def test_without_room_for_an_adapter_all_is_read_where_all_is(adapted: SimpleNamespace, monkeypatch: Any) -> None:
    monkeypatch.setattr(adapted.cache.Cache, "copy", but_not_sql(adapted.cache.Cache.copy))
    assert adapted.weights.run().endswith("downloaded to EFS, no room for a local copy")
    assert adapted.weights.served_from() == adapted.shared


def test_without_room_beside_a_model_of_the_image_the_host_gives_up(adapted: SimpleNamespace, monkeypatch: Any) -> None:
    adapted.weights.ENGINE["weights"] = "efs"
    finish(adapted.storage.BAKED / "hub")
    monkeypatch.setattr(adapted.cache.Cache, "copy", but_not_sql(adapted.cache.Cache.copy))
    with pytest.raises(OSError, match="full"):
        adapted.weights.run()


def test_a_marker_from_before_there_were_manifests_is_not_trusted(host: SimpleNamespace) -> None:
    snapshot(host.shared).mkdir(parents=True)
    snapshot(host.shared).with_name(f"{REVISION}.complete").touch()
    assert host.weights.run() == "downloaded to EFS, copied to local storage"


@pytest.mark.parametrize("text", ["done", "{}", "null", "\0" * 20])
def test_a_marker_that_is_no_manifest_is_not_trusted(host: SimpleNamespace, text: str) -> None:
    snapshot(host.shared).mkdir(parents=True)
    snapshot(host.shared).with_name(f"{REVISION}.complete").write_text(text)
    assert host.weights.run() == "downloaded to EFS, copied to local storage"


@pytest.mark.parametrize("tier", ["efs", "nvme"])
def test_a_marker_that_another_host_takes_away_meanwhile_costs_no_file(
    host: SimpleNamespace, tier: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.weights.ENGINE["weights"] = tier
    finish(host.shared)
    monkeypatch.setattr(host.cache.Cache, "fetch", lambda cache, _: cache.marker().unlink())
    with pytest.raises(RuntimeError, match="is not complete, or no longer"):
        host.weights.run()
    assert (snapshot(host.shared) / "config.json").exists()
    assert not snapshot(host.local).with_name(f"{REVISION}.complete").exists()


def test_another_manifest_than_the_pinned_one_is_not_trusted(host: SimpleNamespace) -> None:
    rows = finish(host.shared)
    host.weights.ENGINE["manifest"] = host.manifest.digest(rows)
    assert host.weights.model(host.storage.SHARED).rows()
    host.weights.ENGINE["manifest"] = "f" * 64
    assert not host.weights.model(host.storage.SHARED).rows()


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", TEMPLATE])
def test_rot_is_seen_on_the_way_and_fetched_again(host: SimpleNamespace, name: str) -> None:
    finish(host.shared)
    path = (snapshot(host.shared) / name).resolve()
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(RuntimeError, match=f"{name} was damaged: removed, to be fetched again"):
        host.weights.run()
    assert not path.exists()
    assert not host.weights.model(host.storage.SHARED).rows(), "no longer complete"
    assert not host.weights.model(host.storage.LOCAL).rows()


def test_a_file_that_is_gone_is_seen(host: SimpleNamespace) -> None:
    finish(host.shared)
    (snapshot(host.shared) / "model.safetensors").unlink()
    with pytest.raises(RuntimeError, match=r"model\.safetensors was damaged"):
        host.weights.run()


def test_a_link_to_another_blob_is_seen_and_only_the_link_is_blamed(host: SimpleNamespace) -> None:
    finish(host.shared)
    other = (snapshot(host.shared) / "model.safetensors").resolve()
    (snapshot(host.shared) / "config.json").unlink()
    (snapshot(host.shared) / "config.json").symlink_to(other)
    with pytest.raises(RuntimeError, match=r"config\.json was damaged"):
        host.weights.run()
    assert other.exists()


def test_served_in_place_a_changed_template_and_an_added_one_are_seen(host: SimpleNamespace) -> None:
    host.weights.ENGINE["weights"] = "efs"
    finish(host.shared)
    assert host.weights.run() == "found on EFS"
    (snapshot(host.shared) / "chat_template.jinja").write_text("{{ another }}")
    assert host.weights.run() == "found on EFS"
    assert not (snapshot(host.shared) / "chat_template.jinja").exists()
    (snapshot(host.shared) / TEMPLATE).resolve().write_bytes(b"{{ massages }}")
    with pytest.raises(RuntimeError, match=f"{TEMPLATE} was damaged"):
        host.weights.run()


def test_served_in_place_weights_that_are_too_short_are_seen(host: SimpleNamespace) -> None:
    host.weights.ENGINE["weights"] = "efs"
    finish(host.shared)
    os.truncate(snapshot(host.shared) / "model.safetensors", 4_999_999)
    with pytest.raises(RuntimeError, match=r"model\.safetensors was damaged"):
        host.weights.run()


def test_a_copy_that_was_cut_off_goes_on_with_the_files_that_lack(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(host.shared)
    (snapshot(host.shared) / TEMPLATE).resolve().write_bytes(b"{{ massages }}")
    with pytest.raises(RuntimeError, match="was damaged"):
        host.weights.run()
    copied = snapshot(host.local) / "model.safetensors"
    before = copied.stat().st_ino
    (host.shared / "models--Qwen--Qwen3-8B").rename(host.root / "old")
    monkeypatch.setattr(os, "urandom", lambda count: copied.read_bytes())
    assert host.weights.run() == "downloaded to EFS, copied to local storage"
    assert copied.stat().st_ino == before


def test_without_room_the_host_serves_from_efs_and_says_so(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.cache.shutil, "disk_usage", lambda _: SimpleNamespace(free=3 << 20))
    assert host.weights.run() == "downloaded to EFS, no room for a local copy"
    assert host.weights.served_from() == host.shared
    console = (host.root / "dev/console").read_text()
    assert console == "tandem: weights: 4 MiB to copy, 3 MiB free: serving from EFS, restarts will be slower\n"


def test_a_copy_whose_room_somebody_else_takes_leaves_nothing(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(host.shared)
    check = host.cache.Cache.check

    def full(cache: Any, row: Any, to: Any = None) -> None:
        if to and row[2].startswith("model"):
            to.snapshot().mkdir(parents=True, exist_ok=True)  # the other files' threads may not have got there
            (to.snapshot() / f"{row[2]}.part").write_bytes(b"as far as it went")
            raise OSError(errno.ENOSPC, "No space left on device")
        check(cache, row, to)

    monkeypatch.setattr(host.cache.Cache, "check", full)
    assert host.weights.run() == "found on EFS, no room for a local copy"
    assert list(host.local.iterdir()) == []
    assert host.weights.served_from() == host.shared


def test_without_efs_the_host_downloads_to_local_storage(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host.weights.os.path, "ismount", lambda path: False)
    assert host.weights.run() == "downloaded to local storage"
    assert host.weights.served_from() == host.local


def test_baked_weights_are_copied_and_checked_without_a_network(host: SimpleNamespace) -> None:
    rows = finish(host.storage.BAKED / "hub")
    assert host.weights.run() == "copied from the machine image"
    assert not host.downloads
    assert host.weights.served_from() == host.local
    assert host.weights.model(host.storage.LOCAL).rows() == [list(row) for row in rows]


def test_baked_weights_of_another_revision_are_not_used(host: SimpleNamespace) -> None:
    finish(host.storage.BAKED / "hub", "1" * 40)
    assert host.weights.run() == "downloaded to EFS, copied to local storage"


def test_the_efs_tier_copies_nothing(host: SimpleNamespace) -> None:
    host.weights.ENGINE["weights"] = "efs"
    assert host.weights.run() == "downloaded to EFS"
    assert host.weights.served_from() == host.shared


def test_the_s3_tier_only_pulls_the_image(host: SimpleNamespace) -> None:
    host.weights.ENGINE["weights"] = "s3"
    assert host.weights.run() == "streamed from S3"
    assert host.commands[-1] == (*host.weights.DOCKER, "pull", "-q", host.weights.ENGINE["image"])


def test_an_image_that_is_there_is_not_pulled_again(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a baked machine image, say: a start would wait for 12 GB, and for a registry that limits."""
    asked = ("docker", "image", "inspect", "-f", "{{.Id}}", host.weights.ENGINE["image"])

    def sh(*command: str, **_: object) -> str:
        host.commands.append(command)
        return "sha256:1\n" if command == asked else ""

    monkeypatch.setattr(host.weights, "sh", sh)
    assert host.weights.pull() == "image there"
    assert host.commands == [asked]


def test_a_registry_that_limits_gets_a_login_whose_password_no_list_of_processes_shows(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def sh(*command: str, input: str = "", **_: object) -> str:
        host.commands.append(command)
        said.append(input)
        (host.root / "run/tandem/docker").mkdir(parents=True, exist_ok=True)  # where a real one keeps the login
        return ""

    monkeypatch.setattr(host.weights, "sh", sh)
    monkeypatch.setattr(host.aws, "secret", lambda arn: json.dumps({"username": "us", "password": "s3cret"}))
    monkeypatch.setitem(host.weights.CONFIG, "registry_login_arn", "arn:login")
    host.weights.pull()
    kept = ("docker", "--config", str(host.root / "run/tandem/docker"))
    assert host.commands[1:] == [
        (*kept, "login", "-u", "us", "--password-stdin", "docker.io"),
        (*kept, "pull", "-q", host.weights.ENGINE["image"]),
    ]
    assert said == ["", "s3cret", ""]
    assert not (host.root / "run/tandem/docker").exists()


@pytest.mark.parametrize("registry", ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", "registry.example.com"])
def test_only_ecr_is_asked_for_a_login_by_the_role(
    host: SimpleNamespace, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def sh(*command: str, input: str = "", **_: object) -> str:
        host.commands.append(command)
        said.append(input)
        return ""

    monkeypatch.setattr(host.weights, "sh", sh)
    monkeypatch.setattr(host.weights, "ecr_login", lambda region: ["AWS", f"password of {region}"])
    monkeypatch.setitem(host.weights.ENGINE, "image", f"{registry}/docker-hub/vllm/vllm-openai@sha256:0")
    host.weights.pull()
    logins = [(command[3:], text) for command, text in zip(host.commands, said, strict=True) if "login" in command]
    ecr = (("login", "-u", "AWS", "--password-stdin", registry), "password of eu-west-1")
    assert logins == ([ecr] if "ecr" in registry else [])


def test_a_refusal_of_the_hub_does_not_wait_for_the_image(
    host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise host.host.GiveUp("gated")

    monkeypatch.setattr(host.hub, "download", refuse)
    monkeypatch.setattr(host.weights, "pull", lambda: time.sleep(1))
    started = time.monotonic()
    with pytest.raises(host.host.GiveUp):
        host.weights.run()
    assert time.monotonic() - started < 1


def test_a_gated_model_gets_its_token_by_file(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(host.host.CONFIG, "token_arn", "arn:token")
    monkeypatch.setattr(host.aws, "secret", lambda arn: "hf_secret")
    host.weights.run()
    (command,) = host.downloads
    assert "--env=HF_TOKEN_PATH=/token" in command
    assert "hf_secret" not in " ".join(command)
    assert not (host.root / "run/tandem/hub-token").exists()


def test_what_downloads_has_no_way_to_the_roles_credentials(host: SimpleNamespace) -> None:
    host.weights.run()
    (command,) = host.downloads
    assert "--cgroup-parent vllm.slice --cap-drop ALL --security-opt no-new-privileges" in " ".join(command)


HOLDER = """
import sys, time
sys.path[:0] = sys.argv[2:]
import cache, pathlib
with cache.turn(pathlib.Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """A process that has the lock; on EFS the file server takes the place of the kernel."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path), *map(str, ROOMS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"mine\n"
        yield process
        process.kill()


def test_a_host_waits_for_the_one_that_downloads_and_takes_over_when_it_dies(
    host: SimpleNamespace, holder: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 3:
            holder.kill()
            holder.wait()
        return len(waits) < 100

    monkeypatch.setattr(host.cache, "wait", wait)
    with host.cache.turn(tmp_path):
        assert waits == [5, 5, 5]


def test_waiting_for_another_host_ends_at_the_deadline(
    host: SimpleNamespace, holder: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    started = time.monotonic()
    with (
        host.host.deadline(0.3),
        pytest.raises(RuntimeError, match="another machine was downloading until the deadline"),
        host.cache.turn(tmp_path),
    ):
        pass
    assert time.monotonic() - started < 5


def test_a_host_that_waited_does_not_download_again(host: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = host.cache.turn

    def after_another(root: Path) -> Any:
        finish(root)  # what the other host did meanwhile
        return turn(root)

    monkeypatch.setattr(host.cache, "turn", after_another)
    assert host.weights.run() == "found on EFS, copied to local storage"
    assert not host.downloads
