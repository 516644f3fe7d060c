"""What is listed by platform is listed for each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

import pytest

from infra import stack
from tandem import platforms, rules
from tandem.ops.doctor import machine, run
from tandem.settings.schema import Settings

ALL = set(get_args(Settings.model_fields["platform"].annotation))


@pytest.mark.parametrize(
    "listed",
    [platforms.PLATFORMS, stack.PLATFORMS, rules.ON, rules.WARNINGS_ON, machine.MISFITS_ON, machine.DRIVER_ON],
)
def test_each_platform_is_listed(listed: Iterable[str]) -> None:
    assert set(listed) == ALL


def test_a_check_is_of_a_platform_that_there_is() -> None:
    assert set(run.ONLY_ON.values()) <= ALL
