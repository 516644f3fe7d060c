"""Objectives: as set, or by how long a token takes; what no GPU of the fleet can do is refused."""

from __future__ import annotations

import pytest

from tandem.checks import size
from tandem.objectives import Objectives, impossible, objectives
from tandem.settings import Settings
from tandem.settings.observing import ObjectiveSettings


@pytest.mark.parametrize(
    ("token", "first", "between"),
    [(0.004, 2.5, 0.1), (0.027, 5.0, 0.15), (0.08, 10.0, 0.4), (None, 5.0, 0.2), (9.0, 80.0, 1.0)],
)
def test_what_is_unset_follows_from_how_long_a_token_takes(token: float | None, first: float, between: float) -> None:
    expected = Objectives(first_token_seconds=first, between_tokens_seconds=between, availability=0.995)
    assert objectives(ObjectiveSettings(), token) == expected


def test_what_is_set_counts() -> None:
    said = ObjectiveSettings(first_token_seconds=1.0, between_tokens_seconds=0.05, availability_percent=99.9)
    found = objectives(said, 0.08)
    assert (found.first_token_seconds, found.between_tokens_seconds) == (1.0, 0.05)
    assert found.error_budget == pytest.approx(0.001)


def test_what_no_gpu_can_do_is_refused_with_what_sizing_says() -> None:
    said = ObjectiveSettings(first_token_seconds=2.5, between_tokens_seconds=0.025)
    (problem,) = impossible(said, 0.0312, "objectives")
    assert problem.key == "objectives.betweenTokensSeconds"
    assert (problem.value, "0.0312 s" in problem.allowed) == ("0.025", True)


def test_what_is_not_sized_is_not_refused() -> None:
    assert list(impossible(ObjectiveSettings(between_tokens_seconds=0.01), None, "objectives")) == []


def test_sizing_says_how_long_a_token_takes_on_the_slowest_gpu() -> None:
    """8B in bf16 on a pair of L4: 8.2 GB a GPU at 300 GB/s is 27 ms."""
    fast = size(Settings(region="us-east-1", fleet={"instance_types": ["g6e.12xlarge"]}))
    both = size(Settings(region="us-east-1", fleet={"instance_types": ["g6e.12xlarge", "g6.12xlarge"]}))
    assert both.fastest_token_seconds == pytest.approx(0.029, abs=0.003)
    assert (fast.fastest_token_seconds or 0) < (both.fastest_token_seconds or 0)
