"""Each name in each query is one that the pinned vLLM, the edge or an agent prints, as they were recorded.

tests/real/test_observed.py makes the recording, and holds the same queries against the real parts.
"""

from __future__ import annotations

import pytest

from tests.observing.asked import ADDED, EVERY, queries
from tests.observing.contract import OWN, broken, exposed, grouped, selectors
from tests.observing.growing import RECORDED

pytestmark = pytest.mark.sweep

FOUND = exposed(RECORDED)
USED = sorted({selector for place, what in EVERY for selector in selectors(queries(place)[what])}, key=str)
SERIES = sorted({selector.name for selector in USED} - OWN)


def wrong(text: str) -> set[str]:
    """Of all queries."""
    found = exposed(text)
    return {line for place, what in EVERY for line in broken(queries(place)[what], found, ADDED[place])}


@pytest.mark.parametrize(("place", "what"), EVERY)
def test_what_a_query_relies_on_is_there(place: str, what: str) -> None:
    assert list(broken(queries(place)[what], FOUND, ADDED[place])) == []


@pytest.mark.parametrize("name", SERIES)
def test_a_series_with_another_name_is_missed_by_its_name(name: str) -> None:
    assert f"{name}: no such series" in wrong(RECORDED.replace(name, f"{name[:-1]}_"))


def test_a_label_with_another_name_is_missed_by_its_name() -> None:
    labels = {
        (one.name, label) for one in USED for label, _, _ in one.matchers if label not in ADDED["pod"] | ADDED["host"]
    }
    assert {label for _, label in labels} == {"le", "code", "client", "stage"}
    for name, label in labels:
        text = "\n".join(
            line.replace(f"{label}=", "other=") if line.startswith(name) else line for line in RECORDED.splitlines()
        )
        assert f"{name}: no label {label}" in wrong(text)
    assert wrong(RECORDED.replace("reason=", "cause=")) == {"no label reason to group by"}


def test_a_bound_that_is_gone_is_missed_by_its_value() -> None:
    (line,) = wrong(RECORDED.replace('le="2.5"', 'le="3.0"')) - wrong(RECORDED)
    assert line.startswith('vllm:time_to_first_token_seconds_bucket: no le="2.5" among')


def test_a_value_of_a_label_that_is_gone_is_missed() -> None:
    (line,) = wrong(RECORDED.replace('code="503"', 'code="529"').replace('code="5', 'code="6'))
    assert line.startswith('tandem_edge_requests_total: no code="5.." among')


def test_a_bound_is_a_number() -> None:
    found = exposed('# TYPE a histogram\na_bucket{le="80.0"} 1\na_bucket{le="+Inf"} 1\na_sum 1\na_count 1\n')
    assert list(broken('a_bucket{le="80"} and a_bucket{le="+Inf"}', found, {})) == []
    assert list(broken('a_bucket{le="8"}', found, {})) != []


def test_a_query_is_read_to_its_last_selector() -> None:
    query = (
        'absent(a{b="c"}) and on (d) sum by (e) (rate(f[5m])) / ignoring (g) max_over_time((h + -i)[5m:1m]) > bool 1'
    )
    assert {selector.name for selector in selectors(query)} == {"a", "f", "h", "i"}
    assert grouped(query) == {"d", "e", "g"}


@pytest.mark.parametrize("query", ["{a='b'}", 'sum(x{a!="b"}) or vector(0)', 'sum(x{a!~"b"})'])
def test_what_it_cannot_hold_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"no plain selector|held by nothing"):
        list(broken(query, exposed('x{a="c"} 1\n'), {}))
