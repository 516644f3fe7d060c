"""Paths by task: of each edge those that its model answers, of the load balancer those of all models."""

from __future__ import annotations

import json
import re

import pytest

from tandem.edge import edge_of, render_edge
from tandem.serving.engine import timeouts
from tandem.settings import Settings
from tandem.tasks import PATHS, POOLED, PROBES, Task, answers, probe

GENERATING = {"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/models"}
OPEN: dict[Task, set[str]] = {
    "generate": GENERATING,
    "embed": {"/v1/embeddings", "/v1/score", "/v1/rerank", "/v1/models"},
    "score": {"/v1/score", "/v1/rerank", "/v1/models"},
}
ALL = sorted(GENERATING | POOLED)


def settings(task: Task, **models: Task) -> Settings:
    served = {"model": "Qwen/Qwen3-8B"}
    further = {
        name: {"hostName": f"{name}.example.com", "inference": served | {"task": one}} for name, one in models.items()
    }
    return Settings.model_validate({"region": "us-east-1", "inference": served | {"task": task}, "models": further})


def methods(task: Task) -> dict[str, set[str]]:
    """By path, as nginx reads them."""
    found = settings(task)
    text = render_edge(edge_of(found, []), timeouts(found), place="host")
    patterns = dict(re.findall(r'"~\^(GET|POST) \((.+?)\)\(', text))
    return {path: {name for name, one in patterns.items() if re.fullmatch(one, path)} for path in ALL}


@pytest.mark.parametrize("task", OPEN)
def test_an_edge_opens_the_paths_of_its_task_and_no_others(task: Task) -> None:
    for path, found in methods(task).items():
        method = "GET" if path == "/v1/models" else "POST"
        assert found == ({method} if path in OPEN[task] else set()), path


def test_a_load_balancer_has_the_paths_of_all_its_models() -> None:
    for task, paths in OPEN.items():
        assert set(settings(task).paths) == paths
    both = settings("generate", rank="score")
    assert set(both.paths) == OPEN["generate"] | OPEN["score"]
    assert set(edge_of(both, []).paths) == OPEN["generate"]
    assert set(edge_of(both, [], both.models["rank"].inference).paths) == OPEN["score"]


@pytest.mark.parametrize("task", PROBES)
def test_a_probe_takes_a_path_that_is_open(task: Task) -> None:
    for path in PROBES[task]:
        assert answers(task, path)
        assert probe(task, "m", ["/v1/models", path])["path"] == path
    assert json.loads(json.dumps(probe(task, "m")))["body"]["model"] == "m"
    assert all(set(paths) <= POOLED for paths in PATHS.values())
