"""`make scan` without a network, on a copy of this tree: it passes, and finds what is planted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

UV = os.environ.get("UV", "uv")
SCAN = [UV, "run", "--quiet", "--locked", "--script", "tools/scan.py"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All files that git tracks; the tools are installed as `make scan` does."""
    subprocess.run([UV, "sync", "--locked", "--script", "tools/scan.py"], check=True, capture_output=True)
    copy = tmp_path_factory.mktemp("tree")
    names = subprocess.run(["git", "ls-files", "-z"], check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(name, copy / name)
    for command in (["git", "init", "-q"], ["git", "add", "-A"]):
        subprocess.run(command, cwd=copy, check=True, capture_output=True)
    return copy


def scanned(tree: Path) -> subprocess.CompletedProcess[str]:
    """In a network namespace of its own, in which there is nobody to ask."""
    command = ["unshare", "--net", *SCAN]
    return subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True, timeout=500)


def test_nothing_is_found_that_is_not_meant_and_nobody_is_asked(tree: Path) -> None:
    done = scanned(tree)
    assert (done.returncode, done.stderr) == (0, "")
    for looked in ("checkov kubernetes", "checkov dockerfile", "zizmor", "detect-secrets"):
        assert re.search(rf"^{looked}: [1-9]", done.stdout, re.MULTILINE), f"{looked} looked at something"


def changed(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


KEY = "tdm_" + "Zk3" * 14 + "q"
PLANTED: dict[str, tuple[str, Callable[[str], str], str]] = {
    "a server that may all": (
        "tests/infra/kubernetes/golden/prod.yaml",
        changed("allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true\n          privileged: true"),
        "CKV_K8S_16",
    ),
    "a worker of a pipeline as root": (
        "tests/infra/kubernetes/golden/pipeline.yaml",
        lambda text: text.replace("runAsNonRoot: true", "runAsNonRoot: false").replace(
            "runAsUser: 2000", "runAsUser: 0"
        ),
        "workertemplate: CKV_K8S_23",
    ),
    "an image that runs as root": ("images/Dockerfile", changed("USER 2000:0", "USER root"), "CKV_DOCKER_8"),
    "a workflow that runs what a stranger writes": (
        ".github/workflows/check.yml",
        changed("run: make check", "run: echo ${{ github.event.pull_request.title }}"),
        "template-injection",
    ),
    "an action by its tag": (
        ".github/workflows/check.yml",
        lambda text: re.sub(r"checkout@\w+", "checkout@v7", text),
        "unpinned-uses",
    ),
    "an access key": ("docs/keys.md", lambda text: text + "\nAKIA" + "Q3EG7TZ2" * 2 + "\n", "AWS Access Key"),
    "a private key": (
        "docs/runbook.md",
        lambda text: f"{text}\n-----BEGIN RSA PRIVATE {'KEY-----'}\n{'MIIEpAIBAAKCAQEA' * 4}\n",
        "private key",
    ),
    "a client's key": ("docs/alarms.md", lambda text: f"{text}\nexport KEY={KEY}\n", "Key of a client"),
    "a token of the hub": (
        "Pulumi.dev.yaml",
        lambda text: f"{text}  tandem:x: hf_{'aB3x' * 8}ab\n",
        "token of the hub",
    ),
    "a token of GitHub": ("tandem/errors.py", lambda text: f"{text}\nT = 'ghp_{'aB3x' * 9}'\n", "GitHub Token"),
}


def test_what_is_planted_is_found_and_what_is_found_no_more_is_told(tree: Path) -> None:
    for file, plant, _ in PLANTED.values():
        (tree / file).write_text(plant((tree / file).read_text()))
    meant = tree / "tools/scan.toml"
    meant.write_text(meant.read_text() + '\n[[meant]]\nrule = "CKV_K8S_999"\nreason = "Long mended."\n')
    done = scanned(tree)
    assert done.returncode == 1
    missed = [name for name, (file, _, said) in PLANTED.items() if not _told(done.stderr, Path(file).name, said)]
    assert missed == []
    assert "CKV_K8S_999  is not found any more: take it out" in done.stderr
    assert KEY not in done.stdout + done.stderr


def _told(text: str, file: str, said: str) -> bool:
    return any(file in line and said in line for line in text.splitlines())
