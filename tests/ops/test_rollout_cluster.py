"""`tandem rollout` on platform eks: which cluster is asked, and what is read from its answers.

tests/rehearsal/kubernetes/test_rollout.py has it with the real `kubectl` on a real control plane.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tandem.alarms import name_of_both
from tandem.errors import UserError
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.rollouts import PIPELINES, _of_deployment, look
from tandem.ops.commands.rollout import _check, _meant
from tandem.ops.kinds.kind import Clients
from tandem.ops.rollout import Gate, Rollout, Version
from tandem.ops.rollout.cluster import Deployments, of_stack
from tandem.ops.screen import Screen
from tests.ops.account import Builder, id_of

ONE = Rollout(
    name="vllm-main",
    model="main",
    unit="pods",
    state="running",
    size=2,
    versions=(Version(name="2", runs={}, wanted=True, serving=0, moving=1),),
)


@pytest.mark.account
def test_kubectl_gets_a_kubeconfig_of_this_life_alone(clients: Clients) -> None:
    Builder(clients, "dev", "tandem-dev-one").kubernetes()
    with ExitStack() as up:
        found = of_stack(clients, "dev", id_of("tandem-dev-one"), "us-east-1", up)
        document = json.loads(found.kubectl.kubeconfig.read_text())
        assert document["current-context"].startswith("tandem-dev-one")
        assert "get-token" in document["users"][0]["user"]["exec"]["args"]
    assert not found.kubectl.kubeconfig.exists()
    with ExitStack() as up, pytest.raises(UserError, match="no EKS cluster"):
        of_stack(clients, "dev", "another life", "us-east-1", up)


def test_without_kubectl_it_says_so(tmp_path: Any) -> None:
    with pytest.raises(UserError, match="is not on PATH"):
        Deployments(Kubectl(tmp_path, "no-such-kubectl")).look()


def deployment(**status: Any) -> dict[str, Any]:
    annotations = {"deployment.kubernetes.io/revision": "2"}
    return {
        "metadata": {"name": "vllm-main", "uid": "d", "generation": 3, "annotations": annotations},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"tandem/version": "old"}}}},
        "status": {"observedGeneration": 3, **status},
    }


DONE = {"updatedReplicas": 2, "availableReplicas": 2, "replicas": 2}
LATE = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded", "message": "has timed out progressing."}]


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (deployment(**DONE), "done"),
        (deployment(**DONE, observedGeneration=2), "running"),
        (deployment(**{**DONE, "replicas": 3}), "running"),
        (deployment(conditions=LATE), "failing"),
        (deployment(conditions=[{"type": "ReplicaFailure", "message": "exceeded quota"}]), "failing"),
        ({**deployment(**DONE), "spec": {**deployment()["spec"], "paused": True}}, "held"),
    ],
)
def test_the_state_is_that_of_the_deployment(found: dict[str, Any], state: str) -> None:
    template = {"metadata": {"labels": {"tandem/version": "a1"}}, "spec": {"containers": [{"image": "vllm"}]}}
    new = {
        "metadata": {
            "uid": "r",
            "annotations": {"deployment.kubernetes.io/revision": "2"},
            "ownerReferences": [{"uid": "d"}],
        },
        "spec": {"template": template},
        "status": {},
    }
    assert _of_deployment(found, [new], []).state == state


def test_a_revision_that_the_cluster_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def replica_set(deployment: str, revision: str) -> dict[str, Any]:
        labels = {"labels": {"tandem/version": "a1"}}
        return {
            "metadata": {
                "annotations": {"deployment.kubernetes.io/revision": revision},
                "ownerReferences": [{"uid": "d", "name": deployment}],
            },
            "spec": {"template": {"metadata": labels, "spec": {"containers": [{"image": f"vllm:{revision}"}]}}},
        }

    sets = [replica_set("vllm-main", "10"), replica_set("vllm-main", "2"), replica_set("vllm-embed", "3")]
    monkeypatch.setattr(Kubectl, "read", lambda *_: sets)
    platform = Deployments(Kubectl(Path("kubeconfig")))
    assert platform.runs(ONE, "10")["image"] == "vllm:10"
    with pytest.raises(UserError, match="no such revision") as refused:
        platform.runs(ONE, "3")
    assert refused.value.problems[0].allowed == "2, 10"


def replica_set(number: str, version: str, before: str = "") -> dict[str, Any]:
    """Args:
    before: numbers that it had before it was gone back to.
    """
    template = {"metadata": {"labels": {"tandem/version": version}}, "spec": {"containers": [{"image": version}]}}
    annotations = {"deployment.kubernetes.io/revision": number}
    if before:
        annotations["deployment.kubernetes.io/revision-history"] = before
    metadata = {"uid": number, "annotations": annotations, "ownerReferences": [{"uid": "d"}]}
    return {"metadata": metadata, "spec": {"template": template}, "status": {}}


def before(wanted: str, made: str, *sets: dict[str, Any]) -> str | None:
    """Where the way back leads.

    Args:
        wanted: revision that new pods are of.
        made: version of the last `up`.
    """
    return rolled_out(wanted, made, *sets).before


def rolled_out(wanted: str, made: str, *sets: dict[str, Any]) -> Rollout:
    found = deployment(**DONE)
    found["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = wanted
    found["metadata"]["labels"] = {"tandem/version": made}
    [found["spec"]["template"]] = [one["spec"]["template"] for one in sets if one["metadata"]["uid"] == wanted]
    return _of_deployment(found, sets, [])


def test_a_version_begins_when_the_cluster_first_hears_of_it() -> None:
    first, new = replica_set("1", "old"), replica_set("2", "new")
    first["metadata"]["creationTimestamp"] = "2026-11-28T00:00:00Z"
    new["metadata"]["creationTimestamp"] = "2026-11-29T00:00:00Z"
    assert rolled_out("2", "new", first, new).began == datetime(2026, 11, 29, tzinfo=UTC)
    again = replica_set("3", "old", "1")
    again["metadata"]["creationTimestamp"] = "2026-11-28T00:00:00Z"
    assert rolled_out("3", "old", again, new).began is None, "it has served before"


@pytest.mark.account
def test_a_models_own_objectives_are_its_gate(clients: Clients) -> None:
    """Not those of another model beside it."""
    watch = clients("cloudwatch")
    for model, state in (("main", "OK"), ("embed", "ALARM")):
        name, said = name_of_both("prod", model, "first-token-slow", "life"), f"{model}: late. docs/alarms.md"
        watch.put_composite_alarm(AlarmName=name, AlarmRule='ALARM("part")', AlarmDescription=said)
        watch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="played")
    gate = Gate(clients, "prod", "life", timedelta(hours=3))
    begun = replace(ONE, before="1", began=datetime.now(UTC) - timedelta(minutes=5))
    assert gate.begun(begun) == []
    other = replace(begun, name="vllm-embed", model="embed")
    assert gate.begun(other) == ["embed: late. docs/alarms.md"]
    assert gate.begun(replace(other, before="2")) == [], "it is on its way back"
    assert gate.begun(replace(other, before=None)) == [], "there is no way back"
    assert gate.begun(replace(other, began=None)) == [], "it has served before"


def test_a_way_back_that_was_taken_leads_nowhere_else() -> None:
    """`kubectl rollout undo` changes the template, and not the label of the Deployment."""
    assert before("2", "bad", replica_set("1", "bad"), replica_set("2", "old")) == "2"
    assert before("2", "old", replica_set("1", "earlier"), replica_set("2", "old")) == "1"


def test_the_way_back_leads_to_nothing_that_was_gone_back_from() -> None:
    """Kubernetes gives what is gone back to a new number, and keeps its old ones."""
    bad = replica_set("2", "bad")
    assert before("3", "old", bad, replica_set("3", "old", "1")) is None
    assert before("4", "new", bad, replica_set("3", "old", "1"), replica_set("4", "new")) == "3"
    assert before("4", "old", replica_set("1", "earlier"), replica_set("3", "bad"), replica_set("4", "old", "2")) == "1"


class Both:
    """Servers of a model that becomes pipelines."""

    def __init__(self, *found: Rollout) -> None:
        self.found, self.taken = found, list[Rollout]()

    def look(self) -> Sequence[Rollout]:
        return self.found

    def runs(self, rollout: Rollout, version: str) -> Mapping[str, str]:
        return {}

    def take(self, rollout: Rollout, version: str) -> None:
        self.taken.append(rollout)

    def cancel(self, rollout: Rollout) -> None:
        raise AssertionError

    go_on = cancel


@pytest.mark.parametrize("knows", [True, False])
def test_a_cluster_is_asked_for_pipelines_where_it_knows_the_word(monkeypatch: pytest.MonkeyPatch, knows: bool) -> None:
    """Whatever the settings are: those of before run until `up` ends."""
    groups = json.dumps({"groups": [{"name": "apps"}, *([{"name": "leaderworkerset.x-k8s.io"}] if knows else [])]})
    asked: list[str] = []
    monkeypatch.setattr(Kubectl, "run", lambda *_: groups)
    monkeypatch.setattr(Kubectl, "read", lambda _, kinds: asked.append(kinds) or [])
    assert look(Kubectl(Path("kubeconfig"))) == ([], [])
    assert ("leaderworkersets" in asked[0]) is knows


@pytest.mark.parametrize("smoke", [True, False])
def test_a_check_while_a_model_becomes_pipelines_takes_no_deployment_back(smoke: bool) -> None:
    """Which is done, and has a version before."""
    there = replace(ONE, state="done", before="1")
    becomes = replace(ONE, unit=PIPELINES, versions=(replace(ONE.versions[0], serving=1),))
    platform = Both(there, becomes)
    run = partial(_check, Screen(), "dev", platform, 0, lambda _: smoke, lambda _: ())
    if smoke:
        assert run()
    else:
        with pytest.raises(UserError, match="no version before"):
            run()
    assert platform.taken == []


def test_what_is_not_done_is_meant_and_else_a_name_is_wanted() -> None:
    done, other = replace(ONE, state="done"), replace(ONE, name="vllm-embed", model="embed")
    assert _meant([done, other], None) == [other]
    assert _meant([done], None) == [done]
    assert _meant([done, other], "main") == [done]
    becomes = replace(ONE, unit=PIPELINES)
    assert _meant([done, becomes], "main") == [becomes], "the Deployment goes once the pipelines serve"
    with pytest.raises(UserError) as refused:
        _meant([done, replace(other, state="done")], None)
    assert refused.value.problems[0].allowed == "main, embed"
