"""CRDs follow their chart: the program's own component, the real provider and its Helm, a real control plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.workspace import Workspace
from simulated.on_plane import workspace as workspace
from simulated.on_plane import write
from tandem import chart_files
from tests.test_chart_files import definition, fetched

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]

NAMESPACE = "kube-system"
PROGRAM = """
from pathlib import Path
from infra.components import helm_chart
from tandem import chart_files
from tandem.pins import Chart

chart_files.DIRECTORY = Path({place!r})
if {by_helm}:  # as the program was before it declared them
    helm_chart.definitions = lambda *_: []
chart = Chart(repository="https://charts.example.com", version="1.0.0", digest={digest!r})
arguments = helm_chart.HelmChartArgs(name="boats", chart=chart, namespace={namespace!r})
helm_chart.HelmChart("boats", arguments, server)
"""
BOAT: Object = {"apiVersion": "example.com/v1", "kind": "Boat", "metadata": {"name": "theirs", "namespace": NAMESPACE}}
OAR: Object = BOAT | {"kind": "Oar", "metadata": {"name": "of-the-chart", "namespace": NAMESPACE}}


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_files, "DIRECTORY", tmp_path / "charts")


@pytest.fixture(autouse=True)
def nothing_stays(api: Api) -> Iterator[None]:
    yield
    for plural in ("boats", "oars"):
        api.delete(definition(plural))
    api.forget_kinds()


def pin(workspace: Workspace, *definitions: Object, by_helm: bool = False) -> None:
    """Another version of a chart, which also brings an object of one of its kinds."""
    files = {f"crds/{one['spec']['names']['plural']}.yaml": json.dumps(one) for one in definitions}
    about = {"apiVersion": "v2", "name": "boats", "version": "1.0.0"}
    chart = fetched("boats", files | {"Chart.yaml": json.dumps(about), "templates/oar.yaml": json.dumps(OAR)})
    place, digest = str(chart_files.DIRECTORY), chart.digest
    write(workspace, PROGRAM.format(place=place, by_helm=by_helm, digest=digest, namespace=NAMESPACE))


def up(workspace: Workspace) -> dict[str, str]:
    """What an `up` does to which resource."""
    done = workspace.up()
    assert done.succeeded, done.messages
    return {step.urn.rpartition("::")[2]: step.operation for step in done.changing()}


def fields(api: Api, plural: str) -> Any:
    [version] = found(api, plural)["spec"]["versions"]
    return {*version["schema"]["openAPIV3Schema"]["properties"]}


def found(api: Api, plural: str) -> Object:
    one = api.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", f"{plural}.example.com")
    assert one is not None
    return one


def test_a_cluster_that_lacks_them_gets_them_before_the_chart_and_keeps_them_after(
    workspace: Workspace, api: Api
) -> None:
    pin(workspace, definition("boats"), definition("oars"))
    made = up(workspace)
    assert {made[f"boats-{plural}.example.com"] for plural in ("boats", "oars")} == {"create"}
    assert api.get("example.com/v1", "Oar", "of-the-chart", NAMESPACE) is not None
    assert up(workspace) == {}
    workspace.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert up(workspace) == {}

    api.create(BOAT)
    assert workspace.destroy().succeeded
    assert workspace.resources() == []
    assert api.get("example.com/v1", "Oar", "of-the-chart", NAMESPACE) is None
    assert api.get("example.com/v1", "Boat", "theirs", NAMESPACE) is not None
    assert up(workspace)["boats-boats.example.com"] == "create", "what stayed is no obstacle"


def test_those_that_helm_made_follow_their_chart_and_their_objects_stay(workspace: Workspace, api: Api) -> None:
    pin(workspace, definition("boats", length="integer"), definition("oars"), by_helm=True)
    up(workspace)
    first = found(api, "boats")
    api.create(BOAT)

    pin(workspace, definition("boats", length="integer", colour="string"), definition("oars"), by_helm=True)
    up(workspace)
    assert fields(api, "boats") == {"length"}, "which is why they are declared"

    pin(workspace, definition("boats", length="integer", colour="string"), definition("oars"))
    assert {*up(workspace).values()} <= {"create", "update"}
    assert fields(api, "boats") == {"length", "colour"}

    pin(workspace, definition("boats", colour="string"), definition("oars"))
    assert up(workspace) == {"boats-boats.example.com": "update", "boats": "update"}
    assert fields(api, "boats") == {"colour"}, "what only Helm's version had went, too"
    assert found(api, "boats")["metadata"]["uid"] == first["metadata"]["uid"]
    assert api.get("example.com/v1", "Boat", "theirs", NAMESPACE) is not None
