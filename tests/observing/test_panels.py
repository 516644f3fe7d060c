"""The dashboards: one list of panels for both, each with figures that are there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tandem.alarms import FIGURES, GPU_FIGURES, GUESS_FIGURES, NAMESPACE, START_FIGURES, dimensions
from tandem.observing.cloudwatch import body
from tandem.observing.grafana import board
from tandem.observing.panels import GROUPS, panels
from tests.observing.asked import ADDED, HOST, MODEL, MODELS, panel_queries
from tests.observing.growing import growing
from tests.observing.live import Live, prometheus

PANELS = panels(HOST)
LINES = [line for panel in PANELS for line in panel.lines]
BOARD = Path(__file__).parents[2] / "docs/board.svg"


def plots() -> list[dict]:
    """Of CloudWatch."""
    return [one["properties"] for one in json.loads(body([HOST], "eu-west-1"))["widgets"] if one["type"] == "metric"]


def test_each_group_has_its_panels_in_order() -> None:
    assert list(dict.fromkeys(panel.group for panel in PANELS)) == list(GROUPS)
    assert len({panel.title for panel in PANELS}) == len(PANELS)


def test_both_show_the_same_but_for_what_each_client_would_cost() -> None:
    theirs = [panel["title"] for panel in json.loads(board([HOST]))["panels"] if panel["type"] == "timeseries"]
    by_client = {"Requests a minute by client", "Refused a minute by client"}
    assert theirs == [panel.title for panel in PANELS]
    assert [plot["title"] for plot in plots()] == [title for title in theirs if title not in by_client]
    assert {panel.title for panel in PANELS} - {panel.title for panel in panels(MODEL)} == {"GPUs", "GPU temperature"}


def test_what_makes_no_tokens_shows_those_that_are_read() -> None:
    """CloudWatch has no figure of them."""
    pooled = replace(HOST, tokens=False)
    assert {panel.title for panel in PANELS} - {panel.title for panel in panels(pooled)} == {"Between tokens"}
    shown = {panel.title: panel.lines[0] for panel in panels(pooled)}
    for title in ("Tokens a minute", "US dollars a million tokens"):
        assert "vllm:prompt_tokens_total" in shown[title].query
        assert title not in body([pooled], "eu-west-1")
    assert "generation_tokens" not in board([pooled])


def test_each_widget_shows_figures_that_machines_report() -> None:
    rows = [row for plot in plots() for row in plot["metrics"] if len(row) > 1]
    assert {row[0] for row in rows} == {NAMESPACE}
    assert {row[1] for row in rows} == {metric for line in LINES for metric, _ in line.figures.values()}
    assert {row[1] for row in rows} <= {*FIGURES, *GPU_FIGURES, *START_FIGURES}
    assert {tuple(row[2:6]) for row in rows} == {("Stack", "prod", "Model", "main")}
    assert dimensions("prod", "main") == {"Stack": "prod", "Model": "main"}
    statistics = {row[-1]["stat"] for row in rows}
    assert all(re.fullmatch("Average|Maximum|Sum|SampleCount|p50|p95|p99", one) for one in statistics)


def test_what_is_reckoned_reckons_with_what_is_there() -> None:
    for plot in plots():
        ids = [row[-1]["id"] for row in plot["metrics"] if "id" in row[-1]]
        assert len(ids) == len(set(ids))
        for row in plot["metrics"]:
            if "expression" in row[-1]:
                used = set(re.findall(r"\b[a-z]\w*", row[-1]["expression"]))
                assert used <= set(ids) - {row[-1]["id"]}


def test_guesses_have_a_panel_where_there_are_any() -> None:
    for pay_from, marks in ((0.034, {"pay from": 0.034}), (0.0, {})):
        (panel,) = (one for one in panels(replace(HOST, guesses_pay_from=pay_from)) if one not in PANELS)
        assert (panel.title, panel.marks) == ("Right guesses", marks)
        assert {metric for line in panel.lines for metric, _ in line.figures.values()} == {*GUESS_FIGURES}


def test_the_picture_in_the_docs_has_each_panel() -> None:
    said = set(re.findall(r"<(?:text|tspan)[^>]*>([^<]+)<", BOARD.read_text()))
    shown = panels(MODEL)  # of a pod, whose agent sees no GPU
    names = {name for panel in shown for name in (panel.title, *(line.name for line in panel.lines), *panel.marks)}
    assert sorted(names - said) == [], "run `make board`, ten minutes with the real vLLM"
    titles = set(re.findall(r'font-weight="bold">([^<]+)<', BOARD.read_text()))
    assert titles == {*GROUPS, *(panel.title for panel in shown)}, "run `make board`"


def test_objectives_are_lines() -> None:
    (first,) = (plot for plot in plots() if plot["title"] == "First token")
    assert first["annotations"] == {"horizontal": [{"label": "promised to 99 of 100", "value": 2.5}]}
    theirs = json.loads(board([MODEL]))["panels"]
    (first,) = (panel for panel in theirs if panel["title"] == "First token")
    defaults = first["fieldConfig"]["defaults"]
    assert [step["value"] for step in defaults["thresholds"]["steps"]] == [None, 2.5]
    assert defaults["custom"]["thresholdsStyle"]["mode"] == "dashed"


def test_widgets_fit_beside_each_other() -> None:
    """A dashboard is 24 wide, and takes 500 widgets
    (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html)."""
    widgets = json.loads(body([HOST, replace(HOST, name="small")], "eu-west-1"))["widgets"]
    taken = [
        (x, y)
        for one in widgets
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) == 23
    assert len(widgets) < 500


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with growing() as port, prometheus(port, [*ADDED.values()], tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.mark.clock
@pytest.mark.parametrize(("place", "what"), [(place, what) for place in MODELS for what in panel_queries(place)])
def test_each_query_of_grafana_has_data(place: str, what: str, live: Live) -> None:
    assert live.numbers(panel_queries(place)[what])
