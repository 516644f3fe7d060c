"""What is read from a state about a cluster."""

from __future__ import annotations

from typing import Any

import pytest

from pulumi_rehearsal.kubernetes import declared
from pulumi_rehearsal.kubernetes.api import Api
from pulumi_rehearsal.kubernetes.charts import RECORDED
from pulumi_rehearsal.kubernetes.hosting import Controller
from pulumi_rehearsal.kubernetes.provider_plugin import RELEASE
from rehearsal.kubernetes import expectations

MAP = "kubernetes:core/v1:ConfigMap"


def release(chart: str) -> dict[str, Any]:
    return {"type": RELEASE, "inputs": {"chart": chart}}


def config_map(namespace: str, **fields: object) -> dict[str, Any]:
    head = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}}
    return {"type": MAP, "inputs": {**head, "__defaults": [], **fields}}


def test_real_charts_are_counted_apart_from_recorded_ones() -> None:
    state = [config_map("x"), release("karpenter"), release("prometheus"), {"type": "aws:s3/bucket:Bucket"}]
    assert declared.by_type(state) == [(MAP, 1, 0), (RELEASE, 1, 1)]
    assert declared.recorded_charts(state) == {"prometheus": RECORDED["prometheus"]}


def test_a_field_that_the_api_server_does_not_know_is_named(api: Api, namespace: str) -> None:
    sound, wrong = config_map(namespace, data={"a": "b"}), config_map(namespace, datta={"a": "b"})
    assert list(declared.refusals(api, declared.manifests([sound]))) == []
    [words] = declared.refusals(api, declared.manifests([sound, wrong]))
    assert words.startswith("ConfigMap settings:")
    assert "datta" in words
    assert api.get("v1", "ConfigMap", "settings", namespace) is None, "nothing was made"


def test_a_controller_that_ended_by_itself_is_named() -> None:
    controller = Controller("karpenter", "kube-system", start=lambda _: never(), ended=["karpenter ended: panic"])
    assert expectations.kept_running([controller]).violations == ("karpenter ended: panic",)


def never() -> Any:
    raise AssertionError("nothing is started")


def server(*, create: float | None = None, **annotations: str) -> dict[str, Any]:
    named = {f"pulumi.com/{key}": value for key, value in annotations.items()}
    resource = {"type": declared.SERVERS[0], "inputs": {"metadata": {"name": "vllm-main", "annotations": named}}}
    return resource | ({"customTimeouts": {"create": create}} if create else {})


@pytest.mark.parametrize(
    ("resource", "seconds"),
    [
        (server(), 600),
        (server(create=7200), 7200),
        (server(timeoutSeconds="9000"), 9000),
        (server(skipAwait="true"), None),
        (server(waitFor="jsonpath={.metadata.uid}"), None),
    ],
)
def test_ten_minutes_are_what_nobody_declared(resource: dict[str, Any], seconds: float | None) -> None:
    waits = declared.waits([resource, release("karpenter")])
    assert waits == {"vllm-main": seconds}
    found = expectations.are_given_their_time(waits, 3600)
    assert found.met is (seconds is None or seconds >= 3600)
    assert found.met or found.violations[0].endswith("fails after 600 s, a first start may take 3600 s")
