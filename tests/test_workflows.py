"""Workflows, forms and the hooks before a commit, held to the schemas that SchemaStore has of them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = ROOT / ".github/ISSUE_TEMPLATE"
EXAMPLES = [ROOT / "examples" / name for name in ("deploy.yml", "reap.yml")]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.clock
@pytest.mark.parametrize(
    ("schema", "paths"),
    [
        ("vendor.github-workflows", [*WORKFLOWS, *EXAMPLES]),
        ("custom.github-workflows-require-timeout", [*WORKFLOWS, *EXAMPLES]),
        ("vendor.github-issue-forms", [FORMS / "bug.yml", FORMS / "feature.yml"]),
        ("vendor.github-issue-config", [FORMS / "config.yml"]),
        ("vendor.renovate", [ROOT / "renovate.json"]),
    ],
)
def test_a_file_is_what_its_schema_asks_for(schema: str, paths: list[Path]) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, paths)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_both_workflows_are_there() -> None:
    assert [path.name for path in WORKFLOWS] == ["check.yml", "proofs.yml"]


@pytest.mark.parametrize("path", [*WORKFLOWS, *EXAMPLES], ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version(path: Path) -> None:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    assert lines
    assert [
        one for one in lines if not re.fullmatch(r"- uses: [\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)
    ] == []


def test_one_action_has_one_commit() -> None:
    uses = {step["uses"] for path in (*WORKFLOWS, *EXAMPLES) for step in steps(path) if "uses" in step}
    assert len({one.partition("@")[0] for one in uses}) == len(uses)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_keeps_no_login(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert [job for job in workflow["jobs"].values() if "permissions" in job] == []
    (checkout,) = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"] == {"persist-credentials": False}


def test_pull_requests_are_checked_and_run_nothing_as_root() -> None:
    for path in WORKFLOWS:
        text = path.read_text(encoding="utf-8")
        assert ("pull_request:" in text) == (path.name == "check.yml")
        assert "pull_request_target" not in text
        assert ("sudo" in text) == (path.name == "proofs.yml")


def test_what_is_run_is_what_people_run() -> None:
    runs = {path.name: [step["run"] for step in steps(path) if "run" in step] for path in WORKFLOWS}
    assert runs["check.yml"] == ["make check", "make scan", "make site"]
    assert runs["proofs.yml"][0] == 'sudo env HOME="$HOME" .ci/run'
    targets = [line.removeprefix("make ") for line in runs["check.yml"]]
    assert [name for name in targets if not re.search(rf"^{name}:", MAKEFILE, re.MULTILINE)] == []
    assert (ROOT / ".ci/run").stat().st_mode & 0o111


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_the_key_of_a_cache_is_made_of_files_that_are_there(path: Path) -> None:
    """A glob without a match is an empty text to GitHub: the cache would never be made anew."""
    (cache,) = [step["with"] for step in steps(path) if step.get("uses", "").startswith("actions/cache@")]
    globs = re.findall(r"'([^']+)'", cache["key"])
    assert len(globs) >= 2
    assert [one for one in globs if not any(ROOT.glob(one))] == []


# -- before a commit ---------------------------------------------------------------------------------------------------

HOOKS = {hook["id"]: hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]}


def test_hooks_are_local() -> None:
    assert [repo["repo"] for repo in read(ROOT / ".pre-commit-config.yaml")["repos"]] == ["local"]


@pytest.mark.parametrize("hook", ["lint", "format"])
def test_a_hook_is_a_line_of_make_lint(hook: str) -> None:
    command = HOOKS[hook]["entry"].removeprefix("uv run --no-sync ").removesuffix(" --force-exclude")
    assert re.search(rf"^lint:.*\n(\t.*\n)*\t\$\(RUN\) {re.escape(command)}\n", MAKEFILE, re.MULTILINE)
    assert re.search(r"^check: lint ", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize(("kilobytes", "status"), [(1, 0), (600, 0), (700, 1)])
def test_a_large_file_is_stopped(tmp_path: Path, kilobytes: int, status: int) -> None:
    (tmp_path / "a file").write_bytes(bytes(kilobytes * 1024))
    ran = subprocess.run(
        ["sh", "-c", f'{HOOKS["no-large-file"]["entry"]} "a file"'], cwd=tmp_path, capture_output=True, check=False
    )
    assert ran.returncode == status


def test_a_private_key_is_stopped_and_what_only_names_one_is_not() -> None:
    pattern = re.compile(HOOKS["no-private-key"]["entry"].encode())
    assert pattern.search(b"-----BEGIN " + b"RSA PRIVATE KEY-----")
    assert not pattern.search(b'key = "-----BEGIN ' + b'EC PRIVATE KEY-----"')


def test_no_file_of_ours_is_stopped() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    pattern = re.compile(HOOKS["no-private-key"]["entry"].encode(), re.MULTILINE)
    assert [path for path in paths if path.stat().st_size > 640 * 1024] == []
    assert [path for path in paths if pattern.search(path.read_bytes())] == []
