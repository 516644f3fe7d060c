"""The charts that the rehearsal serves: real ones react to each value of ours, stubs keep theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tomlkit
import urllib3

from pulumi_rehearsal.kubernetes import build, charts
from pulumi_rehearsal.kubernetes.provider_plugin import RELEASE
from rehearsal.placeholders import pin_charts
from tandem import chart_files, pins
from tandem import charts as program
from tandem.errors import UserError
from tests.infra.declared import declared_by
from tests.infra.kubernetes.samples import SAMPLES, whole
from tests.rehearsal.kubernetes import helm

pytestmark = pytest.mark.kubernetes

Values = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def packed() -> None:
    build.ensure((build.CRDS, build.PROVIDER), print)
    charts.ensure(print)


@cache
def releases() -> dict[str, Values]:
    """Values by chart, of all samples together."""
    found: dict[str, Values] = {}
    for sample in SAMPLES.values():
        for one in declared_by(sample, "golden").resources:
            if one.type == RELEASE:
                values = whole(one.inputs.get("values") or {})
                found.setdefault(charts.chart_name(one.inputs["chart"]), {}).update(values)
    return found


def rendered(chart: str, *values: Values) -> list[Mapping[str, Any]]:
    [archive] = charts.packed().glob(f"{chart}-[0-9]*.tgz")
    return helm.rendered(archive, *values)


def leaves(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def otherwise(values: Values, path: Sequence[str], *, keep: bool) -> Values:
    """The values without one of them, or with another in its place."""
    found = deepcopy(values)
    *way, last = path
    place = found
    for key in way:
        place = place[key]
    value = place.pop(last)
    if keep:
        place[last] = not value if isinstance(value, bool) else f"{value}-other" if isinstance(value, str) else []
    return found


@pytest.mark.parametrize("chart", ["aws-load-balancer-controller", "karpenter", "nvidia-device-plugin"])
def test_each_value_of_ours_changes_what_a_real_chart_renders(chart: str) -> None:
    values = releases()[chart]
    ways = [path for path in leaves(values) if path]
    without = [otherwise(values, path, keep=False) for path in ways]
    other = [otherwise(values, path, keep=True) for path in ways]
    ours, *tried = (one["text"] for one in rendered(chart, values, *without, *other))
    assert "error" not in ours
    both = zip(ways, tried[: len(ways)], tried[len(ways) :], strict=True)
    assert [way for way, *two in both if {*two} == {ours}] == []


def test_only_charts_without_values_of_ours_are_left_out_above() -> None:
    assert {name for name in charts.REAL if releases().get(name)} == {
        *("aws-load-balancer-controller", "karpenter", "nvidia-device-plugin")
    }


def test_a_value_that_a_chart_does_not_know_would_be_noticed() -> None:
    values = releases()["karpenter"]
    ours, wrong = rendered("karpenter", values, values | {"setings": {"clusterName": "x"}})
    assert ours["text"] == wrong["text"]


def test_each_chart_that_the_program_pins_is_served(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text(pins.PINS_FILE.read_text())
    names = list(pins.load().kubernetes.charts)
    with charts.repository([*names, "unheard"]) as served:
        pin_charts(file, served)
        index = urllib3.request("GET", f"{served.url}/index.yaml").json()["entries"]
        for [entry] in index.values():
            assert urllib3.request("HEAD", f"{served.url}/{entry['urls'][0]}").status == 200
    pinned: Any = tomlkit.parse(file.read_text())["kubernetes"]
    assert {name: {"repository": served.url} | served.pins[name] for name in names}.items() <= {
        name: {key: chart[key] for key in ("repository", "version", "digest")}
        for name, chart in pinned["charts"].items()
    }.items()
    assert {name: pin["version"] for name, pin in served.pins.items()} == {
        name: entry["version"] for name, [entry] in index.items()
    }
    assert {name for name in names if charts.reason(name)} == {*charts.RECORDED}
    assert charts.reason("unheard") == charts.UNKNOWN


def test_the_program_takes_what_is_served_and_refuses_other_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_files, "DIRECTORY", tmp_path)
    with charts.repository(["lws"]) as served:
        pin = pins.Chart(repository=served.url, **served.pins["lws"])
        program.fetch({"lws": pin})
        [archive] = charts.packed().glob("lws-*.tgz")
        assert program.file_of(pin, "lws").read_bytes() == archive.read_bytes()
        with pytest.raises(UserError, match="serves another lws"):
            program.fetch({"lws": pin.model_copy(update={"digest": f"sha256:{'5' * 64}"})})


@pytest.mark.parametrize("chart", [name for name in charts.REAL if name != "karpenter-crd"])
def test_pinned_images_are_what_a_real_chart_starts(chart: str) -> None:
    digest = f"sha256:{'5' * 64}"
    [archive] = charts.packed().glob(f"{chart}-[0-9]*.tgz")
    shipped = pins.load().kubernetes.charts[chart]
    found = program.images(archive.read_bytes(), chart, shipped.images)
    references = {key: f"{reference.partition('@')[0]}@{digest}" for key, reference in found.items()}
    pinned = shipped.model_copy(update={"images": references})
    ours = releases().get(chart, {})
    [plain, by_digest] = rendered(chart, ours, ours | pinned.image_values)
    started = {*IMAGE.findall(by_digest["text"])}
    assert started == {*references.values()}
    assert {one.partition("@")[0] for one in IMAGE.findall(plain["text"])} == {
        one.partition("@")[0] for one in references.values()
    }


IMAGE = re.compile(r"\bimage: \\*\"?([\w./-]+:[^\s\\\"]+)")


def test_a_chart_that_cannot_be_had_keeps_its_values() -> None:
    [found] = rendered("prometheus", {"server": {"retention": "2d"}})
    assert '{\\"server\\":{\\"retention\\":\\"2d\\"}}' in found["manifests"]["prometheus/templates/recorded.yaml"]
    assert charts.RECORDED["prometheus"]


def test_keda_comes_with_the_rights_of_its_own_manifests() -> None:
    [found] = rendered("keda", {})
    assert "kind: ClusterRoleBinding" in found["manifests"]["keda/templates/keda.yaml"]
    assert "ValidatingWebhookConfiguration" not in found["text"]
