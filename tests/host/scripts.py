"""Loads the scripts of a host, fresh, against a scratch tree."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import stacks

from tandem.host.render import render_files

ROOMS = [stacks.ROOT / "cloud-init" / room for room in ("host", "shared")]
SCRIPTS, SHARED = ROOMS
MODULES = [path.stem for room in ROOMS for path in sorted(room.glob("*.py"))]
Load = Callable[..., SimpleNamespace]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """Loads the scripts as a host does, with `tmp_path` for its root and changed values in host.json."""

    def modules(name: str = "dev", **changes: Any) -> SimpleNamespace:
        values = json.loads(render_files(stacks.config(name))["/etc/tandem/host.json"]) | changes
        (tmp_path / "etc/tandem").mkdir(parents=True, exist_ok=True)
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "etc/tandem/host.json").write_text(json.dumps(values))
        monkeypatch.setenv("TANDEM_ROOT", str(tmp_path))
        for room in ROOMS:
            monkeypatch.syspath_prepend(str(room))
        forget()
        found: dict[str, ModuleType] = {module: importlib.import_module(module) for module in MODULES}
        found["really_identity"] = found["aws"].identity
        found["aws"].identity = lambda: {"instanceId": "i-0", "instanceType": "g6.12xlarge", "region": "us-east-1"}
        return SimpleNamespace(root=tmp_path, config=values, **found)

    def forget() -> None:
        for module in MODULES:
            sys.modules.pop(module, None)

    yield modules
    forget()
