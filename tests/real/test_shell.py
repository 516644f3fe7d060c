"""Every shell line of the project, through shellcheck. Most of what runs on a host is Python; few lines are shell."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import stacks
import yaml

from tandem.host.render import render_cloud_config

pytestmark = pytest.mark.real

SHEBANG = re.compile(rb"#!.*\b(ba)?sh\b")


def shellcheck(script: bytes | Path) -> str:
    source = ["--shell=sh", "-"] if isinstance(script, bytes) else [str(script)]
    text = script if isinstance(script, bytes) else None
    done = subprocess.run(["shellcheck", *source], input=text, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()


def test_shellcheck_can_find_something() -> None:
    assert "SC2086" in shellcheck(b"rm $1\n")


def test_scripts_of_the_project_are_clean() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=stacks.ROOT, capture_output=True, check=True).stdout
    files = [stacks.ROOT / name for name in listed.decode().split("\0") if name]
    scripts = [file for file in files if file.is_file() and SHEBANG.match(file.read_bytes()[:64])]
    assert stacks.ROOT / ".ci/run" in scripts
    assert {str(script): shellcheck(script) for script in scripts if shellcheck(script)} == {}


@pytest.mark.parametrize("name", stacks.NAMES)
def test_what_a_host_runs_in_a_shell_is_clean(name: str) -> None:
    lines = yaml.safe_load(render_cloud_config(stacks.config(name)))["runcmd"]
    assert shellcheck("\n".join([*lines, ""]).encode()) == ""
