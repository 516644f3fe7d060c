"""renovate.json does what the comments beside pins say: each pin has one manager, and no other pin has any."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFIG = json.loads((ROOT / "renovate.json").read_text(encoding="utf-8"))
PROMISE = re.compile(r"renovate: datasource=(\S+) depName=(\S+)")
OF_PIP_REQUIREMENTS = re.compile(r"(^|/)[\w-]*requirements([-._]\w+)?\.(txt|pip)$")
"""What Renovate's manager pip_requirements reads by default: https://docs.renovatebot.com/modules/manager/pip_requirements/"""

NEEDED = {"currentValue", "datasource", "depName"}


def python(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("(?<", "(?P<"))


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = (".toml", ".txt", ".py", ".yml", ".yaml", ".sh", ".j2", ".mod", "Dockerfile", "Makefile")
    found = [name for name in listed.split("\0") if name.endswith(text)]
    return [name for name in found if not name.startswith(("tests/", "shared/")) and (ROOT / name).is_file()]


def found_by_custom_managers(name: str) -> Iterator[dict[str, str]]:
    for manager in CONFIG["customManagers"]:
        if any(re.search(pattern.strip("/"), name) for pattern in manager["managerFilePatterns"]):
            for pattern in manager["matchStrings"]:
                for match in python(pattern).finditer((ROOT / name).read_text(encoding="utf-8")):
                    yield match.groupdict()


def promised(name: str) -> list[tuple[str, str]]:
    """(datasource, depName) of each comment that is beside a pin, not of one that explains them."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [found.groups() for line in lines if (found := PROMISE.search(line)) and "(?<" not in line]


def test_each_promise_has_one_manager_that_finds_all_it_needs() -> None:
    unkept = []
    kept = 0
    for name in tracked():
        if OF_PIP_REQUIREMENTS.search(name):
            continue
        found = list(found_by_custom_managers(name))
        assert [one for one in found if set(one) != NEEDED or not all(one.values())] == []
        if sorted((one["datasource"], one["depName"]) for one in found) != sorted(promised(name)):
            unkept.append(name)
        kept += len(found)
    assert unkept == []
    assert kept == 10


def test_requirements_are_read_by_renovates_own_manager() -> None:
    assert "pip_requirements" in CONFIG["enabledManagers"]
    (name,) = [name for name in tracked() if OF_PIP_REQUIREMENTS.search(name) and promised(name)]
    ((datasource, package),) = promised(name)
    assert datasource == "pypi"
    assert re.search(rf"^{package}==[\d.]+", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)


def test_the_pattern_is_that_of_the_header_of_the_pins() -> None:
    pattern = json.dumps(CONFIG["customManagers"][0]["matchStrings"][0])
    assert f'"matchStrings": [{pattern}]' in (ROOT / "images/pins.toml").read_text(encoding="utf-8")


def test_each_option_is_one_of_renovates() -> None:
    """Its schema lets others through."""
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "renovate.json"
    text = vendored.read_text(encoding="utf-8")
    used = {key for part in (CONFIG, *CONFIG["packageRules"], *CONFIG["customManagers"]) for key in part}
    assert {key for key in used if f'"{key}": {{' not in text} == {"$schema"}


def test_pins_that_a_job_looks_up_are_left_to_it() -> None:
    lines = [line for line in (ROOT / "images/pins.toml").read_text().splitlines() if "# job: " in line]
    assert len(lines) > 30
    (pattern,) = CONFIG["customManagers"][0]["matchStrings"]
    assert [line for line in lines if python(pattern).search(line)] == []


@pytest.mark.parametrize(
    ("manager", "pattern"),
    [("gomod", "packages/**/go.mod"), ("pep621", "pyproject.toml"), ("npm", "packages/**/package.json")],
)
def test_a_manager_has_files(manager: str, pattern: str) -> None:
    assert manager in CONFIG["enabledManagers"]
    assert any(ROOT.glob(pattern))


def test_versions_that_a_test_compares_come_in_one_pull_request() -> None:
    (group,) = [rule for rule in CONFIG["packageRules"] if rule.get("groupName") == "Pulumi"]
    patterns = [
        re.compile(re.escape(one).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")) for one in group["matchPackageNames"]
    ]
    names = [name for _, name in promised("images/pins.toml") if name.startswith("pulumi")]
    names += ["github.com/pulumi/pulumi/pkg/v3"]
    assert len(names) == 7
    assert [name for name in names if not any(pattern.fullmatch(name) for pattern in patterns)] == []


def test_rules_name_packages_and_files_that_are_there() -> None:
    go = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("packages/**/go.mod"))
    for rule in CONFIG["packageRules"]:
        for pattern in rule.get("matchFileNames", []):
            assert any(ROOT.glob(pattern))
        if rule.get("matchManagers") == ["gomod"]:
            assert [name for name in rule["matchPackageNames"] if f"{name} v" not in go] == []
