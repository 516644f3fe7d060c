"""An idle stop that CloudWatch cannot hold, or that is all that stops a stack, is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tandem.rules.idle import idle_stop_can_work
from tandem.settings.schema import Settings

NAME = {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"}


def wrong(guard: dict[str, Any], **sections: Any) -> list[str]:
    settings = Settings.model_validate(
        {"region": "us-east-1", "costGuard": {"expiresAfter": "8d", **guard}, **sections}
    )
    return [problem.wrong for problem in idle_stop_can_work(settings)]


@pytest.mark.parametrize("after", ["10m", "61m", "1d", "25h", "7d"])
def test_what_an_alarm_can_look_back_on(after: str) -> None:
    assert not wrong({"idleAfter": after})


@pytest.mark.parametrize("after", ["1441m", "1501m", "169h", "8d"])
def test_what_it_cannot(after: str) -> None:
    assert wrong({"idleAfter": after}) == ["a CloudWatch alarm cannot look back so"]


def test_it_is_not_all_that_stops_a_stack() -> None:
    (said,) = wrong({"idleAfter": "1h", "expiresAfter": None})
    assert "a host that never serves is not idle" in said
    assert not wrong({"idleAfter": "1h", "expiresAfter": None, "maxUsd": 100})


def test_a_check_from_outside_is_a_request() -> None:
    (said,) = wrong({"idleAfter": "1h"}, globalName=NAME)
    assert "counts as a request" in said
    assert not wrong({"idleAfter": "1h"}, globalName={**NAME, "outsideCheck": False})


def test_without_it_nothing_is_asked() -> None:
    assert not wrong({"expiresAfter": None})
