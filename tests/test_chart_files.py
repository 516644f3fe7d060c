"""What is read from a chart that was fetched."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tandem import chart_files
from tandem.pins import Chart

Manifest = dict[str, Any]


def definition(plural: str, **fields: Any) -> Manifest:
    """A CRD of example.com, whose objects have these fields, or a name."""
    properties = {name: {"type": kind} for name, kind in (fields or {"name": "string"}).items()}
    schema = {"type": "object", "properties": properties}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"kind": plural.removesuffix("s").capitalize(), "plural": plural},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


def packed(name: str, files: Mapping[str, str]) -> bytes:
    """As `helm package` packs it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for file, text in files.items():
            info = tarfile.TarInfo(f"{name}/{file}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return content.getvalue()


def fetched(name: str, files: Mapping[str, str]) -> Chart:
    """A pinned chart with these files, in its place."""
    content = packed(name, files)
    chart = Chart(repository="https://charts.example.com", version="1.0.0", digest=chart_files.digest_of(content))
    file = chart_files.file_of(chart, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return chart


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart_files, "DIRECTORY", tmp_path)


def test_definitions_are_those_of_the_chart_itself() -> None:
    files = {
        "Chart.yaml": "name: boats",
        "crds/two.yaml": f"---\n{json.dumps(definition('boats'))}\n---\n---\n{json.dumps(definition('oars'))}\n",
        "crds/further/one.json": json.dumps(definition("sails")),
        "crds/kustomization.yaml": "kind: Kustomization\nresources: [two.yaml]\n",
        "crds/README.md": "kind: CustomResourceDefinition",
        "templates/crds/four.yaml": json.dumps(definition("keels")),
        "charts/harbour/crds/five.yaml": json.dumps(definition("piers")),
    }
    assert chart_files.definitions(fetched("boats", files), "boats") == [
        definition("boats"),
        definition("oars"),
        definition("sails"),
    ]


def test_fields_lose_their_description_and_nothing_else() -> None:
    told = definition("boats")
    [version] = told["spec"]["versions"]
    field = {
        "type": "object",
        "default": {"description": "a hull"},
        "properties": {"x": {"enum": [{"description": ""}]}},
    }
    listed = {"type": "array", "items": {"type": "object", "properties": {"properties": {"type": "string"}}}}
    wanted = {"description": field, "properties": listed}
    version["schema"]["openAPIV3Schema"]["properties"] = wanted
    whole = json.loads(json.dumps(told))
    schema = whole["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["description"] = schema["properties"]["description"]["description"] = "In words."
    schema["properties"]["properties"]["items"]["properties"]["properties"]["description"] = "Such as these."
    whole["spec"]["versions"][0]["additionalPrinterColumns"] = [{"name": "x", "description": "In a table."}]
    version["additionalPrinterColumns"] = [{"name": "x"}]
    assert chart_files.definitions(fetched("boats", {"crds/one.yaml": json.dumps(whole)}), "boats") == [told]


def test_of_a_chart_that_is_not_here_nothing_is_known() -> None:
    chart = fetched("boats", {"crds/one.yaml": json.dumps(definition("boats"))})
    chart_files.file_of(chart, "boats").unlink()
    assert chart_files.definitions(chart, "boats") == []
    assert chart_files.definitions(chart.model_copy(update={"digest": ""}), "boats") == []
