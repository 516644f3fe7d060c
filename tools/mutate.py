"""Mutation testing with mutmut: small faults, one at a time, and whether a test sees them. `make mutate` calls it.

    python tools/mutate.py [--sample 40] [--seed tandem] [GROUP ...]

All faults of all modules would take hours, so each run takes those that survived before and the next `--sample` of a
group that have no result yet, in an order that the seed gives. Results are kept in docs/mutation.json until the
function changes, and make docs/mutation.md. Each group runs in a copy of its own under build/mutation, with the tests
that are named here and need no engine. Prose (what an error or a setting says) is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS, PAGE, WORK = ROOT / "docs/mutation.json", ROOT / "docs/mutation.md", ROOT / "build/mutation"
REASONS = ROOT / "docs/mutation-survivors.json"
TESTED = "not (engine or kubernetes or long or real)"
PROSE = r"^\s*(wrong|allowed|fix|value|description|told|why)="
KILLED, SURVIVED, UNTESTED = "killed", "survived", "no test"
OUTCOMES = {0: SURVIVED, 33: UNTESTED}
HEAD = """# Mutation testing

Made by `make mutate` (mutmut; tools/mutate.py says how). A mutant is the program with one small fault: an argument left
out, a number one more, `<` for `<=`. The score is the share of those tried that a test killed; a mutant that no test
reaches counts as a survivor. It is a sample: *tried* of *all*, in an order that a seed gives, so that a run adds to it.
Prose (what errors and settings say) is left out, and so are tests that need an engine or a control plane.
"""


@dataclass(frozen=True)
class Group:
    """Modules that are mutated together.

    Attributes:
        files: globs.
        tests: that are to see it.
        clock: with those that start servers and wait.
    """

    files: tuple[str, ...]
    tests: tuple[str, ...]
    clock: bool = False


PLUGIN = """
import sys, functools
from mutmut.configuration import config
from mutmut.state import state
HITS, IMPORTED, HERE = set(), set(), [None]
def pytest_collection_modifyitems(items):
    # mutmut names them in any order: as the group does, and each file's together, which share what they make.
    named = config().pytest_add_cli_args_test_selection
    items.sort(key=lambda item: ([not item.nodeid.startswith(one) for one in named], item.location[:2]))
    IMPORTED.update(state()._stats)
def pytest_runtest_setup(item):
    # What a test of a file keeps for the others is theirs, too, and ends with the file.
    if HERE[0] != item.path:
        HITS.clear()
        for name, module in list(sys.modules.items()):
            for kept in list(vars(module).values()) if name.startswith("tests.") else ():
                if isinstance(kept, functools._lru_cache_wrapper):
                    kept.cache_clear()
    HERE[0] = item.path
    state()._stats |= HITS | IMPORTED
import pytest
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item):
    HITS.update(state()._stats)
"""
"""Tests keep what they made for others of their file: all of them see the functions that made it. What is called while
modules are imported is seen by all tests, and each mutant imports anew what is the project's, not these."""
PRELOADED = ("boto3", "hypothesis", "pulumi", "pulumi_aws", "pulumi_kubernetes", "pydantic")

STACKS = ("tests/infra/test_needs.py", "tests/infra/test_guard_order.py", "tests/infra/test_stack.py")
HOST = (
    "attempts",
    "aws",
    "batch",
    "booting",
    "driver",
    "edge_log",
    "gpus",
    "leaving",
    "packages",
    "remote_write",
    "serving",
    "storage",
    "watchdog",
    "weights",
)
GROUPS: Mapping[str, Group] = {
    "costs": Group(
        ("tandem/costs.py", "tandem/platforms/*"),
        ("tests/test_costs.py", "tests/test_laws.py", "tests/test_lifetime.py", "tests/ops/test_cost.py"),
    ),
    "checks": Group(("tandem/checks.py",), ("tests/test_checks.py", "tests/infra/test_stack.py", "tests/test_pins.py")),
    "settings": Group(("tandem/settings/*",), ("tests/settings", "tests/test_docs.py")),
    "components": Group(
        ("infra/components/*",),
        ("tests/infra/components", *STACKS, "tests/infra/test_stack_eks.py", "tests/infra/test_roles.py"),
    ),
    "removal": Group(
        ("tandem/ops/removal.py",),
        (  # the others of test_needs.py build a hundred stacks, and ask for no removal
            "tests/ops/test_removal.py",
            "tests/ops/test_removal_order.py",
            "tests/infra/test_needs.py::test_nothing_is_removed_before_what_is_made_of_its_id",
        ),
    ),
    "reap": Group(("tandem/ops/reap.py",), ("tests/ops/test_reap.py",)),
    "kinds": Group(
        ("tandem/ops/kinds/*",),
        (
            "tests/ops/test_kind.py",
            "tests/ops/test_inventory.py",
            "tests/ops/test_left_behind.py",
            "tests/ops/test_removal.py",
            "tests/ops/test_audit.py",
        ),
    ),
    "host": Group(  # what holds the bytes of the scripts would hold against every mutant
        ("src/*",),
        tuple(f"tests/host/test_{name}.py" for name in HOST),
        clock=True,
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], help="all, where none is named")
    parser.add_argument("--sample", type=int, default=40, help="mutants of a group that are tried in this run")
    parser.add_argument("--seed", default="tandem")
    asked = parser.parse_args()
    for name in asked.groups or GROUPS:
        found = tried(name, results().get(name, {}), asked.sample, asked.seed)
        known = results() | {name: found}  # read again: another group may have ended meanwhile
        RESULTS.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        PAGE.write_text(page(known), encoding="utf-8")


def results() -> dict[str, Any]:
    """What is known of each group."""
    return json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}


def tried(name: str, before: Mapping[str, Any], sample: int, seed: str) -> dict[str, Any]:
    """The results of a group with those of so many more mutants."""
    work = copy(name)
    mutmut(work, "-c", "import mutmut.__main__ as m; m.copy_src_dir(); m.copy_also_copy_files(); m.create_mutants(1)")
    functions = {key: hash_ for meta in metas(work) for key, hash_ in hashes(meta)}
    known = {key: one for key, one in before.get("tried", {}).items() if functions.get(key) == one["function"]}
    known |= entries(work, functions, noted(work).keys() - known.keys())  # of a run that was cut off
    ordered = sorted(functions, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    survivors = [key for key, one in known.items() if one["outcome"] != KILLED]
    chosen = [*survivors, *[key for key in ordered if key not in known][:sample]]
    if chosen:
        mutmut(work, "-m", "mutmut", "run", "--max-children", "1", *chosen)
    return {"all": len(functions), "tried": known | entries(work, functions, chosen)}


def noted(work: Path) -> dict[str, int]:
    """Exit status of the tests on each mutant that was tried."""
    return {key: code for meta in metas(work) for key, code in meta["exit_code_by_key"].items() if code is not None}


def entries(work: Path, functions: Mapping[str, str], keys: Iterable[str]) -> dict[str, Any]:
    """What is kept of mutants."""
    codes, found = noted(work), dict[str, Any]()
    for key in keys:
        outcome = OUTCOMES.get(codes[key], KILLED)
        change = "" if outcome == KILLED else lines_of(mutmut(work, "-m", "mutmut", "show", key))
        found[key] = {"function": functions[key], "outcome": outcome, "change": change}
    return found


def copy(name: str) -> Path:
    """The tree as it is, with mutmut's settings for a group; what was generated before stays where nothing changed."""
    work = WORK / name
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for line in files.stdout.splitlines():
        # Modules of a host are imported by their bare names, which mutmut gives to what lies in src.
        file = work / (line.replace("cloud-init/host/", "src/") if name == "host" else line)
        if not (ROOT / line).is_file() or (file.exists() and file.read_bytes() == (ROOT / line).read_bytes()):
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / line, file)
    if name == "host":
        for directory in (work, work / "mutants"):
            (directory / "cloud-init").mkdir(parents=True, exist_ok=True)
            if not (link := directory / "cloud-init/host").is_symlink():
                link.symlink_to("../src")
    (work / "kept_by_tests.py").write_text(PLUGIN, encoding="utf-8")
    (work / "preloaded.txt").write_text("\n".join(PRELOADED), encoding="utf-8")
    (work / "setup.cfg").write_text(settings(name, work), encoding="utf-8")
    return work


def settings(name: str, work: Path) -> str:
    """mutmut's, in the form of setup.cfg: pyproject.toml is the project's."""
    group = GROUPS[name]
    sources = sorted({glob.partition("/")[0] for glob in group.files})
    rest = [one for path in sorted(work.iterdir()) for one in parts(path) if one.split("/")[0] not in sources]
    values: dict[str, str | Iterable[str]] = {
        "source_paths": sources,
        "only_mutate": group.files,
        "also_copy": rest,
        "pytest_add_cli_args_test_selection": group.tests,
        "pytest_add_cli_args": [
            "-p",
            "no:cacheprovider",
            "-p",
            "kept_by_tests",
            "-m",
            TESTED if group.clock else f"{TESTED} and not clock",
        ],
        "do_not_mutate_patterns": [PROSE],
        "process_isolation": "forkserver",  # what pulumi's mocks start is not there after a fork
        "forkserver_warmup": "import",
        "preload_modules_file": "preloaded.txt",
        "timeout_constant": "3",
        "use_git_change_detection": "false",
    }
    one_line = {key: found if isinstance(found, str) else "\n    ".join(["", *found]) for key, found in values.items()}
    return "[mutmut]\n" + "".join(f"{key}={text}\n" for key, text in one_line.items() if text)


def parts(path: Path) -> Iterator[str]:
    """What is copied of a top-level path: of cloud-init all but the link."""
    if path.name == "cloud-init":
        yield from (f"cloud-init/{one.name}" for one in sorted(path.iterdir()) if not one.is_symlink())
    elif path.name not in ("mutants", "setup.cfg"):
        yield path.name


def mutmut(work: Path, *arguments: str) -> str:
    """Runs this Python, with mutmut in it, in a group's copy."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    done = subprocess.run(
        ["nice", sys.executable, *arguments], cwd=work, env=own | {"PYTHONPATH": "."}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"mutmut in {work}: {done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def metas(work: Path) -> list[Any]:
    """mutmut's notes, one for each module."""
    return [json.loads(file.read_text(encoding="utf-8")) for file in sorted((work / "mutants").rglob("*.meta"))]


def hashes(meta: Any) -> Iterator[tuple[str, str]]:
    """Each mutant of a module, with the hash of its function as it is."""
    for key in meta["exit_code_by_key"]:
        function = key.rpartition(".")[2].partition("__mutmut_")[0]
        yield key, meta["hash_by_function_name"].get(function, "")


def lines_of(difference: str) -> str:
    """The lines that differ."""
    lines = [line for line in difference.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    return "\n".join(" ".join(line.split()) for line in lines)


def page(known: Mapping[str, Any]) -> str:
    """The page, in Markdown."""
    reasons = json.loads(REASONS.read_text(encoding="utf-8")) if REASONS.exists() else {}
    rows, survivors = [], []
    for name in (name for name in GROUPS if name in known):
        found = known[name]["tried"]
        alive = {key: one for key, one in sorted(found.items()) if one["outcome"] != KILLED}
        share = f"{100 * (len(found) - len(alive)) / len(found):.0f} %" if found else ""
        rows.append(f"| {name} | {known[name]['all']} | {len(found)} | {len(found) - len(alive)} | {share} |")
        for key, one in alive.items():
            change = "<br>".join(f"`{line.replace('|', '¦').replace('`', '')}`" for line in one["change"].splitlines())
            survivors.append(f"| {key} | {change} | {reasons.get(key, one['outcome'])} |")
    table = ["| modules | all | tried | killed | score |", "|---|---|---|---|---|", *rows, ""]
    alive = ["## Survivors", "", "| mutant | change | why |", "|---|---|---|", *survivors, ""] if survivors else []
    return "\n".join([HEAD, *table, *alive])


if __name__ == "__main__":
    main()
