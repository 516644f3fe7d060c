"""What is listed by platform is listed for each."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import pytest

from infra import stack
from tandem import platforms, rules
from tandem.observing import watched
from tandem.ops.batches import machines
from tandem.ops.doctor import machine, run
from tandem.ops.status.look import PLATFORMS as SHOWN
from tandem.settings.schema import Settings

ROOT = Path(__file__).parents[1]
ALL = set(get_args(Settings.model_fields["platform"].annotation))


@pytest.mark.parametrize(
    "listed",
    [
        platforms.PLATFORMS,
        stack.PLATFORMS,
        rules.ON,
        rules.WARNINGS_ON,
        machine.MISFITS_ON,
        machine.DRIVER_ON,
        machines.MACHINES,
        watched.MATCHERS,
        SHOWN,
    ],
)
def test_each_platform_is_listed(listed: Iterable[str]) -> None:
    assert set(listed) == ALL


def test_a_check_is_of_a_platform_that_there_is() -> None:
    assert set(run.ONLY_ON.values()) <= ALL


def test_the_recipe_names_each_file_that_asks_for_a_platform_by_name() -> None:
    recipe = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## A platform\n")[2].partition("\n## ")[0]
    own = {ROOT / "tandem/platforms", ROOT / "infra/platforms"}
    files = [path for top in ("tandem", "infra") for path in (ROOT / top).rglob("*.py") if path.parent not in own]
    asking = {
        str(path.relative_to(ROOT)) for path in files if re.search(r"platform [!=]= [\"\']", path.read_text("utf-8"))
    }
    told = recipe.partition("asks for one platform by its name")[2].partition("Read each")[0]
    assert asking == set(re.findall(r"`(tandem/[\w./]+\.py)`", told))
