"""Lines of an edge on their way to a stream: batches, a store that is away, one that refuses, a queue that is full."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
import ship

LINE = b'<190>Nov 29 12:00:00 nginx: {"n":%3d}'
BYTES = len('{"n":  0}')


class Store:
    """Stands for: CloudWatch Logs. Held by: tests/host/test_edge_log.py, which ships to moto's."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.calls: list[str] = []
        self.batches: list[list[tuple[int, str]]] = []

    def __call__(self, action: str, **parameters: Any) -> dict[str, Any]:
        self.calls.append(action)
        assert (parameters["logGroupName"], parameters["logStreamName"]) == ("/tandem/x", "i-0/edge")
        if self.answers and (words := self.answers.pop(0)):
            raise RuntimeError(words)
        if action == "PutLogEvents":
            self.batches.append([(one["timestamp"], one["message"]) for one in parameters["logEvents"]])
        return {}

    @property
    def lines(self) -> list[str]:
        return [line for batch in self.batches for _, line in batch]


def shipper(store: Store, said: list[str] | None = None) -> ship.Shipper:
    return ship.Shipper(store, "/tandem/x", "i-0/edge", (said if said is not None else []).append)


def numbers(first: int, last: int) -> list[str]:
    return [f'{{"n":{number:3d}}}' for number in range(first, last)]


def fill(log: ship.Shipper, first: int, last: int) -> None:
    for number in range(first, last):
        log.add(LINE % number)


def test_what_is_shipped_is_the_json_of_a_line_with_its_moment() -> None:
    store = Store()
    log = shipper(store)
    fill(log, 0, 3)
    log.add(b"<190> no line")
    log.flush()
    assert store.lines == numbers(0, 3)
    assert store.calls == ["PutLogEvents"]
    assert all(moment > 1_700_000_000_000 for moment, _ in store.batches[0])
    assert "tandem_edge_log_lines_shipped_total 3" in log.text()


def test_a_stream_that_is_missing_is_made() -> None:
    store = Store("ResourceNotFoundException: no such stream")
    log = shipper(store)
    fill(log, 0, 2)
    log.flush()
    assert store.calls == ["PutLogEvents", "CreateLogStream", "PutLogEvents"]
    assert store.lines == numbers(0, 2)


def test_lines_wait_in_their_order_while_the_store_is_away_and_it_is_said_once() -> None:
    store, said = Store("curl: exit 28: no answer", "curl: exit 6: no host"), []
    log = shipper(store, said)
    fill(log, 0, 2)
    log.flush()
    fill(log, 2, 4)
    log.flush()
    log.flush()
    log.flush()
    assert store.lines == numbers(0, 4)
    assert said == ["the log does not leave: curl: exit 28: no answer"]
    assert (log.shipped, log.dropped) == (4, 0)


def test_what_never_will_be_taken_does_not_stop_the_rest() -> None:
    store = Store("InvalidParameterException: too old")
    log = shipper(store)
    fill(log, 0, 2)
    log.flush()
    fill(log, 2, 3)
    log.flush()
    assert store.lines == numbers(2, 3)
    assert (log.shipped, log.dropped) == (1, 2)


def test_when_there_is_no_room_the_oldest_lines_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "ROOM", 10 * BYTES)
    store = Store("away")
    log = shipper(store)
    fill(log, 0, 14)
    log.flush()
    fill(log, 14, 17)
    log.flush()
    assert store.lines == numbers(7, 17)
    assert (log.shipped, log.dropped) == (10, 7)
    assert "tandem_edge_log_lines_dropped_total 7" in log.text()


def test_lines_that_come_while_a_batch_is_refused_take_the_room_of_older_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "ROOM", 4 * BYTES)
    store = Store()
    log = shipper(store)
    fill(log, 0, 4)

    def away(*_: Any, **__: Any) -> dict[str, Any]:
        fill(log, 4, 7)
        raise RuntimeError("away")

    log._call = away
    log.flush()
    log._call = store
    log.flush()
    assert store.lines == numbers(3, 7)
    assert log.dropped == 3


@pytest.mark.parametrize(
    ("limit", "value", "step_ms", "sizes"),
    [("BATCH_LINES", 2, 1, [2, 2, 1]), ("BATCH_BYTES", 70, 1, [2, 2, 1]), ("SPAN", 3000, 1500, [3, 2])],
)
def test_a_batch_is_as_large_as_a_call_takes(
    limit: str, value: int, step_ms: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship, limit, value)
    moments = count(0, step_ms * 1_000_000)
    monkeypatch.setattr(ship, "time", SimpleNamespace(time_ns=lambda: next(moments)))
    store = Store()
    log = shipper(store)
    fill(log, 0, 5)
    log.flush()
    assert [len(batch) for batch in store.batches] == sizes
    assert store.lines == numbers(0, 5)


def test_a_line_larger_than_a_batch_goes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "BATCH_BYTES", 10)
    store = Store()
    log = shipper(store)
    fill(log, 0, 2)
    log.flush()
    assert [len(batch) for batch in store.batches] == [1, 1]


def test_whoever_hands_over_a_line_does_not_wait_for_a_store_that_hangs() -> None:
    def hangs(*_: Any, **__: Any) -> dict[str, Any]:
        fill(log, 1, 3)  # while the call is under way
        raise RuntimeError("hung")

    call: Callable[..., dict[str, Any]] = hangs
    log = ship.Shipper(call, "/tandem/x", "i-0/edge", print)
    log.add(LINE % 0)
    log.flush()
    assert len(log._lines) == 3
