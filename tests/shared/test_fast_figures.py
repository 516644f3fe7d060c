"""Of hosts that follow the load: what is told at each look, for alarms that look every ten seconds."""

from __future__ import annotations

from typing import Any

import telemetry

from tandem.scaling import FAST_FIGURES, FAST_PERIOD_SECONDS
from tests.shared.told_server import ToldServer
from tests.shared.world import reported

OF = {"Stack": "dev", "Model": "m"}


def test_what_scales_leaves_at_each_look() -> None:
    """And the rest once a minute, none of it twice."""
    server, sent = ToldServer(), list[list[dict[str, Any]]]()

    def put(**parameters: str) -> None:
        sent.append(reported(parameters))

    agent = telemetry.Telemetry([telemetry.Server(server.ask)] * 2, dict, dict, put, OF, print, FAST_FIGURES)
    server.running, server.waiting = 30, 4
    agent.look(10)
    agent.look(20)
    agent.report()
    *looks, report = sent
    for look in looks:
        told = {datum["MetricName"]: (datum["Values"], datum["Counts"], datum["StorageResolution"]) for datum in look}
        assert told == {"Load": ([34], [2], "1"), "Waiting": ([4], [2], "1")}
    assert len(looks) == 2
    assert telemetry.SAMPLE == FAST_PERIOD_SECONDS
    assert {"Servers", "Queued"} <= {datum["MetricName"] for datum in report}
    assert not {*FAST_FIGURES} & {datum["MetricName"] for datum in report}


def test_a_look_that_finds_no_server_tells_nothing() -> None:
    def no_answer() -> str:
        raise OSError("connection refused")

    sent = list[dict[str, str]]()

    def put(**parameters: str) -> None:
        sent.append(parameters)

    telemetry.Telemetry([telemetry.Server(no_answer)], dict, dict, put, OF, print, FAST_FIGURES).look(10)
    assert sent == []
