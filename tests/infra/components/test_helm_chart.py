"""A chart's release, and the definitions that come before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi_kubernetes as kubernetes
import pytest

from infra.components.helm_chart import HelmChart, HelmChartArgs
from tandem import chart_files
from tandem.pins import Chart
from tests.infra.declared import Declared, declared
from tests.test_chart_files import definition, fetched

BOATS = definition("boats", length="integer")


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_files, "DIRECTORY", tmp_path)


@pytest.fixture
def chart() -> Chart:
    annotated = BOATS | {"metadata": BOATS["metadata"] | {"annotations": {"made-by": "them"}}}
    return fetched(
        "boats", {"crds/boats.yaml": json.dumps(annotated), "crds/oars.yaml": json.dumps(definition("oars"))}
    )


def release(chart: Chart, **more: Any) -> Declared:
    def program() -> None:
        provider = kubernetes.Provider("k")
        HelmChart("t-boats", HelmChartArgs(name="boats", chart=chart, namespace="boats", **more), provider)

    return declared(program)


def test_definitions_are_taken_over_before_the_release_and_stay_after_it(chart: Chart) -> None:
    found = release(chart)
    boats, oars = found.of("CustomResourceDefinitionPatch").values()
    assert boats["spec"] == BOATS["spec"]
    assert boats["metadata"] == {
        "name": "boats.example.com",
        "annotations": {
            "made-by": "them",
            "pulumi.com/patchForce": "true",
            "pulumi.com/waitFor": "condition=Established",
        },
    }
    assert oars["metadata"]["name"] == "oars.example.com"
    assert found.retained() == {"CustomResourceDefinitionPatch"}
    (last,) = found.urns(":Release")
    assert {*found.urns("DefinitionPatch")} <= found.before(last)
    assert found.one("Release")["skipCrds"] is True


def test_helm_makes_what_was_not_fetched(chart: Chart) -> None:
    found = release(chart.model_copy(update={"digest": ""}))
    assert found.of("CustomResourceDefinitionPatch") == {}
    assert not found.one("Release").get("skipCrds")


def test_definitions_that_another_chart_brings_are_left_to_it(chart: Chart) -> None:
    found = release(chart, definitions_apart=True)
    assert found.of("CustomResourceDefinitionPatch") == {}
    assert found.one("Release")["skipCrds"] is True
