"""The client of the API server, against the real one."""

from __future__ import annotations

import pytest
import urllib3

from pulumi_rehearsal.kubernetes import api as client
from pulumi_rehearsal.kubernetes.api import Api, ApiError, NoSuchKind, Object
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.watch import seconds_until

pytestmark = pytest.mark.kubernetes

KIND = "Widget"
ROUNDS = 12


def crd(group: str, round: int) -> Object:
    """A CRD whose schema is another one each round, so that the server reads its storage anew."""
    properties = {"spec": {"type": "object", "description": f"round {round}"}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    }
    names = {"kind": KIND, "plural": "widgets", "singular": "widget", "listKind": "WidgetList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "names": names, "scope": "Cluster", "versions": [version]},
    }


def refusals(api: Api, group: str) -> int:
    """How often the server says 429 to lists of a kind whose CRD changes all the time."""
    refused = 0
    api.apply(crd(group, 0), "tests")
    api.wait_until_served(f"{group}/v1", KIND, 10)
    for round in range(1, ROUNDS):
        api.apply(crd(group, round), "tests")
        for _ in range(40):
            try:
                api.list(f"{group}/v1", KIND)
            except ApiError as error:
                if error.status != 429:
                    raise
                refused += 1
    api.delete(crd(group, 0))
    return refused


def test_a_server_that_reads_a_kinds_storage_anew_is_asked_again(kubernetes: ControlPlane) -> None:
    assert refusals(kubernetes.api, "patient.example") == 0


def test_without_it_the_server_refuses(kubernetes: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ASKED_TO_COME_BACK", urllib3.Retry(0, raise_on_status=False))
    impatient = Api(kubernetes.api.url, kubernetes.token, kubernetes.authority.certificate)
    assert refusals(impatient, "impatient.example") > 0


def is_gone(api: Api, path: str) -> bool:
    try:
        api.request("GET", path)
    except ApiError as error:
        return error.status == 404
    return False


def test_a_kind_that_is_remembered_and_went_has_no_objects(kubernetes: ControlPlane) -> None:
    """Discovery still tells of it for a moment after its definition is gone."""
    api, version = kubernetes.api, "passing.example/v1"
    api.apply(crd("passing.example", 0), "tests")
    api.wait_until_served(version, KIND, 10)
    api.delete(crd("passing.example", 0))
    assert seconds_until(lambda: is_gone(api, f"/apis/{version}/widgets"), 30) is not None
    assert api.list_where_served(version, KIND) == []
    with pytest.raises(NoSuchKind):
        api.list(version, KIND)
