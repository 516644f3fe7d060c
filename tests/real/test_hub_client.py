"""The hub's own client, oldest and newest that vLLM takes, on a host's and a pod's way: eight behaviours of a hub.

In each the machine ends as it should: with every file compared, or at once and with a line that says what to do.
"""

from __future__ import annotations

import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from machines import Kind, Machine, assert_whole

from rehearsal.host import hub_client
from rehearsal.host.hub import Hub, serving
from tandem.http import Http
from tandem.ops import lookups
from tandem.scripts import shared

pytestmark = pytest.mark.real

MODEL = "acme/llama-8b"
WEIGHTS = bytes(range(256)) * 4096
TAKEN = {
    "config.json": b'{"architectures": []}',
    "tokenizer.json": b"{}",
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors.index.json": b"{}",
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS[::-1],
}
LEFT = {
    "README.md": b"# A model",
    "original/consolidated.00.pth": b"pickle",
    "original/model.safetensors": WEIGHTS[1:],
    "pytorch_model-00001-of-00001.bin": b"pickle",
    "llama-8b.Q4_K_M.gguf": b"gguf",
}
OFFLINE = """
import sys, huggingface_hub
print(huggingface_hub.snapshot_download(sys.argv[1], revision=sys.argv[2], cache_dir=sys.argv[3],
                                        allow_patterns=sys.argv[4], local_files_only=True))
"""

Make = Callable[..., Machine]
"""With changed fields."""


@pytest.fixture
def hub() -> Hub:
    return Hub(MODEL, TAKEN | LEFT, commit="c0ffee" * 6 + "c0ff")


@pytest.fixture(params=[hub_client.OLDEST, hub_client.NEWEST])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["host", "pod"])
def make(request: pytest.FixtureRequest, hub: Hub, version: str, tmp_path: Path) -> Iterator[Make]:
    """Makes machines of one kind that share their EFS."""
    kind: Kind = request.param
    numbers = itertools.count()
    (tmp_path / "efs").mkdir()
    with serving(hub) as url:

        def machine(**more: Any) -> Machine:
            root = tmp_path / f"machine-{next(numbers)}"
            return Machine(kind, root, tmp_path / "efs", hub, url, version, **{"revision": hub.commit, **more})

        yield machine


def ends(machine: Machine, seconds: float = 300) -> tuple[bool, str, float]:
    """Whether it went well before the deadline, the last line that it said, and how long it took."""
    started = time.monotonic()
    with machine.started(seconds) as process:
        said, _ = process.communicate(timeout=2 * seconds)
    print(said)
    lines = said.splitlines()
    return process.returncode == 0, lines[-1] if lines else "", time.monotonic() - started


def test_a_model_arrives_whole(hub: Hub, make: Make) -> None:
    """Bytes, hashes, a tree of several pages; and vLLM's own question for it without a network finds it."""
    hub.page = 3
    machine = make()
    well, said, _ = ends(machine)
    assert well, said
    assert_whole(machine)
    python = hub_client.client(machine.version) / "python"
    for base, pattern in itertools.product((machine.efs, machine.local), ("*.safetensors", "*.json")):
        question = [python, "-c", OFFLINE, MODEL, hub.commit, base / "hub", pattern]
        found = subprocess.run(question, capture_output=True, text=True, check=False)
        assert found.stdout.strip() == str(machine.snapshot(base)), found.stderr


def test_names_that_are_patterns_or_flags_to_the_client_arrive(hub: Hub, make: Make) -> None:
    hub.files |= {"a[1].json": b"[1]", "--local-dir=b.json": b"{}", "c*.txt": b"", "d e/é?.json": b"{}"}
    machine = make()
    well, said, _ = ends(machine)
    assert well, said
    assert_whole(machine)


def test_the_pinned_manifest_is_what_arrives(hub: Hub, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = make()
    monkeypatch.setenv("HF_ENDPOINT", machine.url)
    found = lookups.model_revision(MODEL, Http())
    assert found.value == hub.commit
    well, said, _ = ends(make(manifest=found.beside["manifest"]))
    assert well, said
    rows = make().rows(machine.efs)
    assert shared("manifest").digest(rows) == found.beside["manifest"]


def test_another_model_than_the_pinned_one_is_refused_before_a_byte_of_it(hub: Hub, make: Make) -> None:
    well, said, _ = ends(make(manifest="5" * 64))
    assert not well
    assert f"{MODEL}: the hub has other files than the pinned ones: tandem pin --model {MODEL} --update" in said
    assert hub.downloads() == []


@pytest.mark.parametrize(
    ("change", "pinned", "what", "fix"),
    [
        ({"token": "hf_right"}, {}, "401 Invalid credentials in Authorization header", "set tandem:huggingFaceToken"),
        ({"gated": True}, {}, "403 Access to model acme/llama-8b is restricted", "accept the licence"),
        ({}, {"revision": "d" * 40}, "404 Invalid rev id", "mend the pin"),
    ],
)
def test_what_cannot_mend_ends_at_once_with_what_to_do(
    hub: Hub, make: Make, change: dict[str, Any], pinned: dict[str, str], what: str, fix: str
) -> None:
    for name, value in change.items():
        setattr(hub, name, value)
    well, last, _ = ends(make(token="hf_wrong", **pinned))
    assert not well
    assert MODEL in last
    assert what in last
    assert fix in last
    assert hub.downloads() == []
    assert len(hub.asked) == 1, "one question, and no client"


def test_a_token_reaches_the_hub_and_its_client(hub: Hub, make: Make) -> None:
    hub.token = "hf_right"
    machine = make(token="hf_right")
    well, said, _ = ends(machine)
    assert well, said
    assert_whole(machine)


def test_a_hub_over_its_limit_is_asked_again_when_it_said(hub: Hub, make: Make) -> None:
    hub.busy, hub.retry_after = 2, 2
    machine = make()
    well, said, _ = ends(machine)
    assert well, said
    first, second = hub.limited
    assert second - first >= 2
    assert_whole(machine)


def test_a_limit_beyond_the_deadline_is_not_waited_for(hub: Hub, make: Make) -> None:
    hub.busy, hub.retry_after = 1, 3600
    well, said, seconds = ends(make())
    assert not well
    assert "over its limit for 3601 s" in said
    assert seconds < 300


@pytest.fixture
def patience(version: str) -> float:
    """Seconds without a byte that say something on this machine, now: clients write nothing while they start."""
    started = time.monotonic()
    subprocess.run([hub_client.client(version) / "hf", "version"], check=True, capture_output=True)
    return 2 + 3 * (time.monotonic() - started)


def test_xet_that_stalls_ends_the_attempt_and_the_next_goes_without_it(hub: Hub, make: Make, patience: float) -> None:
    hub.xet = True
    machine = make(stall=patience)
    well, said, seconds = ends(machine)
    assert well, said
    assert [path for _, path, _ in hub.asked if path.startswith("/xet/")], "the first attempt used it"
    assert seconds > patience
    assert len(hub.downloads()) == 2, "the second did not"
    assert_whole(machine)


def test_a_stall_without_xet_ends_by_the_clients_own_time_out(hub: Hub, make: Make) -> None:
    hub.stalled = 1
    machine = make()
    well, said, seconds = ends(machine)
    assert well, said
    assert seconds > 10
    assert len(hub.downloads()) == 3
    assert_whole(machine)


def test_a_cut_is_taken_up_by_the_client_at_its_last_10_mib(hub: Hub, make: Make) -> None:
    del hub.files["model-00001-of-00002.safetensors"]
    hub.files["model-00002-of-00002.safetensors"] = WEIGHTS * 33
    hub.cut = 1
    machine = make()
    well, said, _ = ends(machine)
    assert well, said
    name = "model-00002-of-00002.safetensors"
    assert hub.downloads() == [f"{name} from 0", f"{name} from {10 << 20}"]
    assert_whole(machine)


def test_a_byte_that_changed_on_the_way_is_seen_and_the_file_fetched_again(hub: Hub, make: Make) -> None:
    hub.garbled = 1
    machine = make()
    well, said, _ = ends(machine)
    assert well, said
    assert len(hub.downloads()) == 3
    assert_whole(machine)
