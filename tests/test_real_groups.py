"""How `make test-real` gives its tests to processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

REAL = Path(__file__).with_name("real")
CONFTEST = f"""
import sys
sys.path.insert(0, {str(REAL)!r})
from groups import Groups
def pytest_xdist_make_scheduler(config, log):
    return Groups(config, log)
"""
TESTS = """
import os, pathlib, time, pytest
@pytest.mark.parametrize("number", range(3))
def test_one(number):
    time.sleep(0.2)
    pathlib.Path("told").open("a").write(f"{pathlib.Path(__file__).name} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""


@pytest.mark.clock
def test_guests_are_in_one_process_and_so_is_each_file(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST)
    for name in ("test_bake.py", "test_boot.py", "test_kubelet.py"):
        (tmp_path / name).write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = set((tmp_path / "told").read_text().splitlines())
    [guests] = {line.split()[1] for line in told if line.startswith("test_b")}
    [other] = {line.split()[1] for line in told if line.startswith("test_k")}
    assert guests != other
