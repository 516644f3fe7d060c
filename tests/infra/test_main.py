"""The program's entry point: what comes before a single resource is declared, and in which order."""

from __future__ import annotations

import gc
import json
import runpy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest

from tandem import chart_files, charts, pins
from tandem.errors import Problem, UserError
from tests.infra.declared import Recorder

SOUND: Mapping[str, Any] = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6e.12xlarge"], "maxHosts": 4},
    "inference": {"model": "Qwen/Qwen3-8B"},
}
AWAY = UserError(Problem(key="charts", wrong="no repository answers"))


@pytest.fixture(autouse=True)
def charts_are_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A chart that is pinned and was never fetched, from where nobody answers."""
    text = Path("images/pins.toml").read_text()
    pinned = pins.parse(text)
    keda = pinned.kubernetes.charts["keda"].model_copy(update={"digest": f"sha256:{'0' * 64}"})
    kubernetes = pinned.kubernetes.model_copy(update={"charts": {**pinned.kubernetes.charts, "keda": keda}})
    monkeypatch.setattr(pins, "load", lambda: pinned.model_copy(update={"kubernetes": kubernetes}))
    monkeypatch.setattr(chart_files, "DIRECTORY", tmp_path)

    def fetch(_: object) -> None:
        raise AWAY

    monkeypatch.setattr(charts, "fetch", fetch)
    yield
    gc.enable()  # the program turns it off


def told(values: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> str:
    """What the program says of a stack that cannot come up, before it ends."""
    config = {f"tandem:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    monkeypatch.setenv("PULUMI_CONFIG", json.dumps(config))
    pulumi.runtime.set_mocks(Recorder(), project="tandem", stack="golden")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("infra", run_name="__main__")
    assert ended.value.code == 32
    return caplog.text


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"scaling": {"minReplicas": 9}}, "scaling.maxReplicas"),
        (
            {"inference": {"model": "Qwen/Qwen3-32B"}, "fleet": {"instanceTypes": ["g6.12xlarge"], "maxHosts": 2}},
            "inference.",
        ),
        ({"requirePins": True}, "images/pins.toml: vllm.digest"),
    ],
)
def test_a_mistake_is_told_before_a_chart_is_asked_for(
    changes: dict[str, Any], key: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = told({**SOUND, **changes}, monkeypatch, caplog)
    assert key in said
    assert "no repository answers" not in said


def test_without_a_mistake_the_chart_is_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert "no repository answers" in told(SOUND, monkeypatch, caplog)
