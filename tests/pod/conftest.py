"""Makes what runs in a pod importable, as it lies there: all modules in one directory; and the hosts' helpers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from infra.scripts import DIRECTORY

sys.path[:0] = [
    *(str(DIRECTORY / room) for room in ("pod", "shared")),
    str(Path(__file__).parents[1] / "host"),
]


@pytest.fixture(autouse=True)
def keys_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the secrets driver mounts: one sound key, until a test writes others."""
    import server

    file = tmp_path / "mounted-keys.yaml"
    file.write_text(json.dumps({"api-key": ["a-sound-key"]}))
    monkeypatch.setattr(server, "KEYS", file)
    return file
