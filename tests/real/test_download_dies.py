"""The machine that downloads for all dies in the middle: another takes over, fetches what was not whole, and compares.

With the hub's real client: of a file that was not whole it takes nothing up, and leaves it behind under another name.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from machines import Kind, Machine, assert_whole, until

from rehearsal.host import hub_client
from rehearsal.host.hub import Hub, serving

pytestmark = pytest.mark.real

WEIGHTS = bytes(range(256)) * 4096 * 33
CHUNK = 10 << 20  # what the client writes at once


def waits_for_its_turn(process: subprocess.Popen[str]) -> bool:
    """True once a process has the lock's file open."""
    with suppress(FileNotFoundError):  # closed between listing and looking
        return any(file.readlink().name == ".tandem.lock" for file in Path(f"/proc/{process.pid}/fd").iterdir())
    return False


@pytest.mark.parametrize("version", [hub_client.OLDEST, hub_client.NEWEST])
@pytest.mark.parametrize("kind", ["host", "pod"])
def test_another_machine_takes_over_from_one_that_dies(kind: Kind, version: str, tmp_path: Path) -> None:
    hub, efs = Hub("acme/llama-8b", {"config.json": b"{}", "model.safetensors": WEIGHTS}, stalled=100), tmp_path / "efs"
    efs.mkdir()

    def parts() -> list[int]:
        return [path.stat().st_size for path in efs.rglob("*.incomplete")]

    with serving(hub) as url:
        first, second = (Machine(kind, tmp_path / name, efs, hub, url, version, hub.commit) for name in ("1", "2"))
        with first.started(300) as dying:
            until(lambda: parts() == [CHUNK], "the first machine in mid-download")
            with second.started(300) as waiting:
                until(lambda: waits_for_its_turn(waiting), "the second machine at the lock")
                first.kill(dying)
                assert parts() == [CHUNK], "what a killed client leaves behind"
                hub.stalled, before = 0, len(hub.downloads())
                said, _ = waiting.communicate(timeout=300)
    assert waiting.returncode == 0, said
    assert hub.downloads()[before:] == ["model.safetensors from 0"]
    configs = [path for method, path, _ in hub.asked if method == "GET" and path.startswith("/api/resolve-cache/")]
    assert len(configs) == 1, "what was whole is kept"
    assert_whole(second)
