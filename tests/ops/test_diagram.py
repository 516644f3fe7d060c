"""`tandem diagram`: what a box holds, which arrows there are, and the picture in the documentation."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from infra import stack
from pulumi_rehearsal import engine
from pulumi_rehearsal.moto import SimulatedAccount
from rehearsal.scene import set_the_scene
from tandem import pins
from tandem.errors import UserError
from tandem.loading import load_stack_file
from tandem.ops import diagram
from tandem.ops.cli import app
from tandem.ops.diagram import Declared, boxes, columns, direct, svg
from tandem.ops.options import stack_file
from tandem.ops.pulumi import Stack
from tests.infra.declared import declared

PICTURE = Path(__file__).parents[2] / "docs/prod-ec2.svg"
NETWORK, FLEET, CACHE = "tandem:index:Network", "tandem:index:GpuFleet", "tandem:index:ModelCache"


def urn(types: str, name: str = "x") -> str:
    return f"urn:pulumi:dev::tandem::{types}::{name}"


SMALL = [
    Declared(urn("pulumi:pulumi:Stack"), []),
    Declared(urn("pulumi:providers:aws"), []),
    Declared(urn(NETWORK), []),
    Declared(urn(f"{NETWORK}$aws:ec2/vpc:Vpc"), [urn("pulumi:providers:aws")]),
    *[Declared(urn(f"{NETWORK}$aws:ec2/subnet:Subnet", str(n)), [urn(f"{NETWORK}$aws:ec2/vpc:Vpc")]) for n in (1, 2)],
    Declared(urn(CACHE), []),
    Declared(urn(f"{CACHE}$aws:efs/mountTarget:MountTarget"), [urn(f"{NETWORK}$aws:ec2/subnet:Subnet", "1")]),
    Declared(urn(FLEET), []),
    Declared(
        urn(f"{FLEET}$aws:autoscaling/group:Group"),
        [urn(f"{CACHE}$aws:efs/mountTarget:MountTarget"), urn(f"{NETWORK}$aws:ec2/subnet:Subnet", "2"), urn(FLEET)],
    ),
    Declared(urn("aws:cloudwatch/logGroup:LogGroup", "hosts"), []),
]
LOGS = "aws:cloudwatch/logGroup:LogGroup::hosts"


def test_a_box_is_a_component_with_what_is_in_it_or_a_resource_alone() -> None:
    made, needs = boxes(SMALL)
    assert {key: box.lines for key, box in made.items()} == {
        NETWORK: ["2 Subnet", "Vpc"],
        CACHE: ["MountTarget"],
        FLEET: ["Group"],
        LOGS: ["hosts"],
    }
    assert needs == {NETWORK: set(), CACHE: {NETWORK}, FLEET: {CACHE, NETWORK}, LOGS: set()}


def test_what_a_replacement_has_still_to_remove_is_not_drawn() -> None:
    there = {"urn": urn(f"{NETWORK}$aws:ec2/vpc:Vpc")}
    assert diagram.of_state([there, there | {"delete": True}]) == [Declared(there["urn"], ())]


def test_a_box_names_few_kinds_and_counts_the_rest() -> None:
    kinds = {f"Kind{n}": n for n in range(1, 8)}
    assert diagram.Box("B", kinds).lines == ["7 Kind7", "6 Kind6", "5 Kind5", "4 Kind4", "and 6 more"]


def test_each_is_right_of_what_it_needs_and_an_arrow_is_drawn_once() -> None:
    _, needs = boxes(SMALL)
    assert columns(needs) == [[LOGS, NETWORK], [CACHE], [FLEET]]
    assert direct(needs)[FLEET] == {CACHE}


def test_two_that_need_each_other_have_both_arrows() -> None:
    needs = {"a": {"b"}, "b": {"a"}, "c": {"a", "b"}}
    assert direct(needs) == {"a": {"b"}, "b": {"a"}, "c": {"a", "b"}}
    assert [name for column in columns(needs) for name in column] == ["b", "a", "c"]


def test_the_picture_is_svg_in_which_nothing_lies_outside() -> None:
    root = ElementTree.fromstring(svg("a < b", SMALL))
    assert (root[0].text or "").startswith("a < b: 6 resources")
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    places = [
        {key: float(value) for key, value in one.attrib.items() if key in ["x", "y", "width", "height"]} for one in root
    ]
    for place in (one for one in places if {"x", "width"} <= one.keys()):
        assert 0 <= place["x"] <= place["x"] + place["width"] <= width
        assert 0 <= place["y"] <= place["y"] + place["height"] <= height
    assert len(root.findall(".//{*}path[@marker-end]")) == 2


def test_the_picture_in_the_documentation_is_of_the_stack_in_the_project() -> None:
    """Made anew by `make golden`."""
    settings = load_stack_file(stack_file("prod-ec2")).model_copy(update={"require_pins": False})
    found = declared(lambda: stack.build(settings, pins.load(), "prod-ec2"), "prod-ec2")
    picture = svg("prod-ec2", [Declared(urn, sorted({*found.before(urn)})) for urn in found.urns("")])
    if os.environ.get("GOLDEN_UPDATE"):
        PICTURE.write_text(picture, encoding="utf-8")
    assert PICTURE.read_text(encoding="utf-8") == picture


def test_a_stack_without_resources_is_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stack, "export", lambda _self: {"deployment": {}})
    result = CliRunner().invoke(app, ["diagram", "dev"])
    assert isinstance(result.exception, UserError)
    assert "no resources of this stack" in str(result.exception)


def test_a_program_reads_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    state = [{"urn": one.urn, "dependencies": one.needs} for one in SMALL]
    monkeypatch.setattr(Stack, "export", lambda _self: {"deployment": {"resources": state}})
    found = json.loads(CliRunner().invoke(app, ["diagram", "dev", "--json"]).stdout)["components"]
    (fleet,) = [one for one in found if one["name"] == "GpuFleet"]
    assert fleet == {"name": "GpuFleet", "type": FLEET, "resources": {"Group": 1}, "needs": ["ModelCache", "Network"]}


@pytest.mark.engine
def test_what_the_engine_made_is_drawn(
    moto_server: SimulatedAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real engine's own state: each of its resources is in a box, and no input in the picture."""
    moto_server.reset()
    with set_the_scene("dev", engine.ensure(print), moto_server) as scene:
        scene.workspace.up()
        state = json.loads(scene.workspace.pulumi("stack", "export"))
    monkeypatch.setattr(Stack, "export", lambda _self: state)
    file = tmp_path / "dev.svg"
    assert CliRunner().invoke(app, ["diagram", "dev", "--output", str(file)]).exit_code == 0
    picture = file.read_text(encoding="utf-8")
    resources = state["deployment"]["resources"]
    ours = [one for one in resources if not one["type"].startswith((*diagram.ENGINE_TYPES, diagram.OURS))]
    assert f"dev: {len(ours)} resources" in picture
    assert {one["type"].rpartition(":")[2] for one in resources if one["type"].startswith("tandem:")} <= {
        box.name for box in boxes(diagram.of_state(resources))[0].values()
    }
    ids = {str(one["id"]) for one in ours if len(str(one.get("id", ""))) > 8}
    assert not [one for one in ids if one in picture]
