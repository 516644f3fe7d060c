"""Who asks what others have put into a cluster; tests/rehearsal/kubernetes/test_others_objects.py asks a real one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from tandem.errors import Problem, UserError
from tandem.kubernetes.kubectl import Kubectl
from tandem.ops import others_objects
from tandem.ops.commands import ephemeral_down, region
from tandem.ops.kinds.kind import Clients, Found
from tandem.ops.screen import Screen

CLUSTER = Found(type="aws:eks/cluster:Cluster", id="tandem-t", facts={"status": "ACTIVE"})
POOL = {"kind": "NodePool", "apiVersion": "karpenter.sh/v1", "metadata": {"name": "theirs"}}
GROUP = {"kind": "LeaderWorkerSet", "apiVersion": "leaderworkerset.x-k8s.io/v1", "metadata": {"name": "theirs"}}


class Asked:
    """`kubectl` of a cluster in which somebody has put something."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self.found = found

    read, one = Kubectl.read, Kubectl.one

    def run(self, *arguments: str) -> str:
        if "customresourcedefinitions" in arguments:
            names = (*others_objects.HOLDS, *others_objects.GOES)
            return "".join(f"customresourcedefinition.apiextensions.k8s.io/{name}\n" for name in names)
        return json.dumps({"items": self.found})


def there(monkeypatch: pytest.MonkeyPatch, clusters: Sequence[Found], *found: dict[str, Any]) -> None:
    monkeypatch.setattr(others_objects, "ours", lambda *_: clusters)
    monkeypatch.setattr(others_objects, "of_stack", lambda *_: SimpleNamespace(kubectl=Asked(*found)))


def told(clients: Clients) -> list[str]:
    lines: list[str] = []
    others_objects.refuse(clients, "t", "1", lines.append)
    return lines


def test_what_destroy_would_wait_for_is_refused(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, [CLUSTER], POOL, GROUP)
    with pytest.raises(UserError, match=r"NodePool theirs.*would wait for it for ever"):
        told(clients)


def test_neither_removal_begins(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, [CLUSTER], POOL)
    monkeypatch.setattr(region, "resume", lambda *_: None)
    engine: Any = SimpleNamespace(
        name="t",
        exists=lambda: True,
        export=lambda: {"deployment": {}},
        destroy=lambda *_: pytest.fail("it destroys"),
    )
    monkeypatch.setattr(region, "Removal", lambda **_: SimpleNamespace(run=engine.destroy))
    for remove in (
        lambda: ephemeral_down._remove(Screen(), clients, "t", engine, [CLUSTER]),
        lambda: region._remove(Screen(), clients, engine, 0),
    ):
        with pytest.raises(UserError, match="NodePool theirs"):
            remove()


def test_what_goes_with_the_cluster_is_told(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, [CLUSTER], GROUP)
    [line] = told(clients)
    assert line.startswith("LeaderWorkerSet theirs: is not the stack's, and goes with its cluster")


def test_without_a_cluster_nobody_is_asked(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    there(monkeypatch, [], POOL)
    assert told(clients) == []


def test_a_cluster_out_of_reach_stops_no_removal(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: Any) -> None:
        raise UserError(Problem(key="kubectl", wrong="is not on PATH"))

    there(monkeypatch, [CLUSTER])
    monkeypatch.setattr(others_objects, "of_stack", refuses)
    assert told(clients) == ["kubectl: is not on PATH"]
