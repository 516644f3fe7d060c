"""Rules of the load balancer: full ones, each in its place, whatever other models come and go."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tandem.routes import HEALTH_PRIORITY, MAIN_PRIORITY, Route, routes

PATHS = [f"/v1/{number}" for number in range(9)]
FURTHER = {name: f"{name}.example.com" for name in ("embed", "large", "small")}


def ways(*models: str, paths: Sequence[str] = PATHS) -> list[Route]:
    """Of these beside the main one, all with the same paths."""
    return routes(dict.fromkeys(("main", *models), paths), FURTHER)


@pytest.mark.parametrize(("number", "rules"), [(1, 1), (5, 1), (6, 2), (50, 10)])
def test_a_rule_holds_five_paths(number: int, rules: int) -> None:
    paths = [f"/v1/{i}" for i in range(number)]
    found = ways(paths=paths)
    assert len(found) == rules
    assert max(len(route.paths) for route in found) <= 5
    assert [path for route in found for path in route.paths] == paths


def test_of_a_host_name_and_four_paths() -> None:
    found = [route for route in ways(*FURTHER) if route.model == "embed"]
    assert [(route.host_name, len(route.paths)) for route in found] == [("embed.example.com", n) for n in (4, 4, 1)]
    assert [path for route in found for path in route.paths] == PATHS


@pytest.mark.parametrize("gone", FURTHER)
def test_a_model_that_comes_or_goes_moves_no_rule_of_another(gone: str) -> None:
    """As one by one moves them, requests would meanwhile go to another model."""
    without = ways(*(name for name in FURTHER if name != gone))
    assert [route for route in ways(*FURTHER) if route.model != gone] == without
    assert {*ways(*reversed(FURTHER))} == {*ways(*FURTHER)}


def test_the_main_model_takes_what_names_no_other_and_the_health_check_comes_last() -> None:
    found = ways(*FURTHER, paths=[f"/v1/{number}" for number in range(50)])
    main = [route.priority for route in found if route.model == "main"]
    assert main == list(range(MAIN_PRIORITY, MAIN_PRIORITY + 10))
    assert max(main) < HEALTH_PRIORITY
    further = [route.priority for route in found if route.model != "main"]
    assert all(1 <= priority < MAIN_PRIORITY for priority in further)
    assert len({route.label for route in found}) == len(found) == len({*main, *further})
