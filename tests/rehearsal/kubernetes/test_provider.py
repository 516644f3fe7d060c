"""The provider against a real API server: what it makes, changes, refuses and removes, called as by the engine."""

from __future__ import annotations

from copy import deepcopy

import pytest

from rehearsal.kubernetes import provider as module
from rehearsal.kubernetes.api import Api, ApiError, Object
from rehearsal.kubernetes.build import CRD_DIRECTORIES
from rehearsal.kubernetes.provider import RELEASE, KubernetesProvider
from rehearsal.plugin import InitializationError, ProviderError, Subject
from rehearsal.wire import Secret, unknown
from tests.rehearsal.kubernetes.conftest import ZONES, deployment

SEED = b"seed"


def subject(manifest: Object, name: str = "server", **config: object) -> Subject:
    type = f"kubernetes:{manifest['apiVersion']}:{manifest['kind']}"
    return Subject(type, name, f"urn:pulumi:dev::test::{type}::{name}", config)


def config_map(namespace: str | None = None, **data: str) -> Object:
    metadata = {"name": "settings"} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.fixture
def provider(api: Api) -> KubernetesProvider:
    return KubernetesProvider(api)


def node_zones(api: Api, namespace: str) -> list[str]:
    zones = {
        node["metadata"]["name"]: node["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for node in api.list("v1", "Node")
    }
    return sorted(zones[pod["spec"]["nodeName"]] for pod in api.list("v1", "Pod", namespace))


def test_a_deployment_is_there_when_its_pods_are_ready_over_the_zones(
    provider: KubernetesProvider, api: Api, namespace: str
) -> None:
    wanted = deployment(namespace)
    id, state = provider.create(subject(wanted), wanted)
    assert id == f"{namespace}/server"
    assert state["status"]["readyReplicas"] == 2
    assert node_zones(api, namespace) == list(ZONES)
    assert provider.report() == {"kubernetes:apps/v1:Deployment": (1, 0)}
    provider.delete(subject(wanted), id, wanted, state)
    assert api.get("apps/v1", "Deployment", "server", namespace) is None
    assert api.list("v1", "Pod", namespace) == []
    assert provider.report() == {}


def test_pods_without_a_gpu_are_named_with_the_schedulers_words(provider: KubernetesProvider, namespace: str) -> None:
    wanted = deployment(namespace, replicas=1, gpus=8)
    wanted["metadata"]["annotations"] = {"pulumi.com/timeoutSeconds": "5"}
    with pytest.raises(InitializationError) as caught:
        provider.create(subject(wanted), wanted)
    assert "'server' timed out waiting to be Ready" in str(caught.value)
    assert "0/2 nodes are available: 2 Insufficient nvidia.com/gpu" in str(caught.value)
    assert caught.value.id == f"{namespace}/server"
    provider.delete(subject(wanted), caught.value.id, wanted, caught.value.state)


def test_what_need_not_be_waited_for_is_not(provider: KubernetesProvider, namespace: str) -> None:
    wanted = deployment(namespace, replicas=1, gpus=8)
    wanted["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}
    id, state = provider.create(subject(wanted), wanted)
    assert state["status"].get("readyReplicas") is None
    provider.delete(subject(wanted), id, wanted, state)


def test_an_update_rolls_and_removes_what_the_program_no_longer_has(
    provider: KubernetesProvider, api: Api, namespace: str
) -> None:
    old = deployment(namespace)
    old["metadata"]["labels"] = {"team": "a"}
    id, state = provider.create(subject(old), old)
    new = deepcopy(old)
    del new["metadata"]["labels"]
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "server:2"
    found = provider.update(subject(new), id, old, new, state)
    assert found["status"]["updatedReplicas"] == 2
    live = api.get("apps/v1", "Deployment", "server", namespace)
    assert live is not None
    assert "team" not in live["metadata"].get("labels", {})
    assert live["spec"]["template"]["spec"]["containers"][0]["image"] == "server:2"


def test_a_field_that_does_not_exist_is_refused_in_the_preview(provider: KubernetesProvider, namespace: str) -> None:
    wrong = deployment(namespace)
    wrong["spec"]["template"]["spec"]["tollerations"] = []
    with pytest.raises(ProviderError, match=r'strict decoding error: .*unknown field ".*tollerations"|tollerations'):
        provider.preview(subject(wrong), wrong, None)


def test_a_preview_makes_nothing_and_knows_the_defaults(provider: KubernetesProvider, api: Api, namespace: str) -> None:
    wanted = deployment(namespace)
    shown = provider.preview(subject(wanted), wanted, None)
    assert shown["spec"]["progressDeadlineSeconds"] == 600
    assert "status" not in shown
    assert api.list("apps/v1", "Deployment", namespace) == []


@pytest.mark.parametrize("missing", ["namespace", "kind", "value"])
def test_a_preview_of_what_needs_something_not_there_yet_shows_the_inputs(
    provider: KubernetesProvider, namespace: str, missing: str
) -> None:
    wanted = config_map("not-there-yet" if missing == "namespace" else namespace, key="value")
    if missing == "kind":
        wanted |= {"apiVersion": "example.com/v1", "kind": "Unheard"}
    if missing == "value":
        wanted["data"]["key"] = unknown
    assert provider.preview(subject(wanted), wanted, None) == wanted


def test_a_kind_without_a_definition_fails_as_in_reality(
    provider: KubernetesProvider, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MISORDERED_SECONDS", 0.2)
    wanted = config_map(namespace) | {"apiVersion": "example.com/v1", "kind": "Unheard"}
    with pytest.raises(ProviderError, match="Verify that any required CRDs have been created"):
        provider.create(subject(wanted), wanted)


def test_what_is_there_already_is_not_taken_over(provider: KubernetesProvider, namespace: str) -> None:
    wanted = config_map(namespace, key="value")
    provider.create(subject(wanted), wanted)
    with pytest.raises(ProviderError, match='configmaps "settings" already exists'):
        provider.create(subject(wanted), wanted)


def test_pod_security_is_the_real_one(provider: KubernetesProvider, api: Api, namespace: str) -> None:
    level = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    api.patch({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}, level)
    wanted = deployment(namespace, replicas=1)
    wanted["metadata"]["annotations"] = {"pulumi.com/timeoutSeconds": "1"}
    with pytest.raises(InitializationError, match='violates PodSecurity "restricted'):
        provider.create(subject(wanted), wanted)


def test_an_object_that_is_gone_is_not_read(provider: KubernetesProvider, api: Api, namespace: str) -> None:
    wanted = config_map(namespace, key="value")
    id, state = provider.create(subject(wanted), wanted)
    assert provider.read(subject(wanted), id, wanted, state) is not None
    api.delete(wanted)
    assert provider.read(subject(wanted), id, wanted, state) is None
    provider.delete(subject(wanted), id, wanted, state)


# -- names and differences


def test_a_name_is_made_where_there_is_none_and_kept(provider: KubernetesProvider) -> None:
    nameless = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}
    first = provider.check(subject(nameless), nameless, {}, SEED).inputs
    assert first["metadata"]["name"].startswith("server-")
    assert len(first["metadata"]["name"]) == len("server-") + 8
    assert first["metadata"]["namespace"] == "default"
    assert first["metadata"]["annotations"] == {"pulumi.com/autonamed": "true"}
    again = provider.check(subject(nameless), nameless, first, b"another seed").inputs
    assert again["metadata"]["name"] == first["metadata"]["name"]


def test_the_providers_namespace_is_where_objects_go_that_name_none(provider: KubernetesProvider) -> None:
    manifest = config_map(None)
    checked = provider.check(subject(manifest, namespace="inference"), manifest, {}, SEED)
    assert checked.inputs["metadata"]["namespace"] == "inference"
    whole = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "inference"}}
    assert "namespace" not in provider.check(subject(whole, namespace="x"), whole, {}, SEED).inputs["metadata"]


@pytest.mark.parametrize(
    ("change", "replaced", "first_goes_the_old"),
    [
        (("spec", "replicas", 3), False, False),
        (("spec", "selector", {"matchLabels": {"app": "other"}}), True, True),
        (("metadata", "name", "other"), True, False),
    ],
)
def test_what_cannot_change_replaces(
    provider: KubernetesProvider, change: tuple[str, str, object], replaced: bool, first_goes_the_old: bool
) -> None:
    old = deployment("default")
    new = deepcopy(old)
    section, key, value = change
    new[section][key] = value
    found = provider.diff(subject(new), "default/server", old, new, old)
    assert found.changes
    assert (bool(found.replaces), found.delete_before_replace) == (replaced, first_goes_the_old)


def test_a_config_map_is_replaced_unless_the_provider_may_change_it(provider: KubernetesProvider) -> None:
    old, new = config_map("default", key="a"), config_map("default", key="b")
    assert provider.diff(subject(new), "x", old, new, old).replaces == {"data.key"}
    assert provider.diff(subject(new, enableConfigMapMutable="true"), "x", old, new, old).replaces == set()


def test_a_secrets_content_is_secret_in_the_state(provider: KubernetesProvider, namespace: str) -> None:
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "namespace": namespace},
        "stringData": {"key": "value"},
    }
    _, state = provider.create(subject(manifest), manifest)
    assert state["data"] == Secret({"key": "dmFsdWU="})


@pytest.mark.parametrize(
    "type", ["kubernetes:helm.sh/v4:Chart", "kubernetes:yaml/v2:ConfigGroup", "kubernetes:v1:PodPatch"]
)
def test_what_is_not_simulated_is_named(provider: KubernetesProvider, type: str) -> None:
    [(_, reason)] = provider.check(Subject(type, "x", "urn", {}), {}, {}, SEED).failures
    assert type in reason


# -- charts, and the order of removal


BINDING = {
    "apiVersion": "elbv2.k8s.aws/v1beta1",
    "kind": "TargetGroupBinding",
    "spec": {"serviceRef": {"name": "server", "port": 80}, "targetGroupARN": "arn:aws:elasticloadbalancing:x"},
}


def binding(namespace: str) -> Object:
    """Deleted in the background: the garbage collector hears of a new kind only after half a minute."""
    annotations = {"pulumi.com/deletionPropagationPolicy": "background"}
    return {**BINDING, "metadata": {"name": "server", "namespace": namespace, "annotations": annotations}}


def install(provider: KubernetesProvider, chart: str, name: str) -> str:
    inputs = {"chart": chart, "name": name, "namespace": "kube-system"}
    id, _ = provider.create(Subject(RELEASE, name, "urn", {}), inputs)
    return id


def test_a_chart_brings_its_kinds_and_is_only_recorded(provider: KubernetesProvider, namespace: str) -> None:
    release = install(provider, "oci://example.com/charts/aws-load-balancer-controller", "lbc")
    wanted = binding(namespace)
    id, state = provider.create(subject(wanted), wanted)
    assert provider.report() == {"kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding": (1, 0), RELEASE: (0, 1)}
    provider.delete(subject(wanted), id, wanted, state)
    provider.delete(Subject(RELEASE, "lbc", "urn", {}), release, {}, {})
    assert provider.report() == {}


def test_a_chart_brings_what_it_depends_on(provider: KubernetesProvider, api: Api) -> None:
    install(provider, "secrets-store-csi-driver-provider-aws", "secrets")
    assert api.kind("secrets-store.csi.x-k8s.io/v1", "SecretProviderClass").plural == "secretproviderclasses"


def test_what_a_controller_holds_cannot_go_after_it(
    provider: KubernetesProvider, api: Api, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GONE_SECONDS", 0.5)
    release = install(provider, "aws-load-balancer-controller", "lbc")
    wanted = binding(namespace)
    id, state = provider.create(subject(wanted), wanted)
    provider.delete(Subject(RELEASE, "lbc", "urn", {}), release, {}, {})
    with pytest.raises(ProviderError, match=r"it is held by elbv2\.k8s\.aws/resources"):
        provider.delete(subject(wanted), id, wanted, state)
    install(provider, "aws-load-balancer-controller", "lbc")
    provider.delete(subject(wanted), id, wanted, state)
    assert api.get("elbv2.k8s.aws/v1beta1", "TargetGroupBinding", "server", namespace) is None


@pytest.mark.parametrize("chart", sorted(CRD_DIRECTORIES))
def test_the_definitions_of_every_known_chart_are_accepted(provider: KubernetesProvider, chart: str) -> None:
    assert install(provider, chart, chart) == f"kube-system/{chart}"


def test_the_api_says_what_is_wrong_in_the_servers_words(api: Api) -> None:
    with pytest.raises(ApiError) as caught:
        api.create(config_map("no-such-namespace"))
    assert (caught.value.status, caught.value.reason, caught.value.about) == (404, "NotFound", "namespaces")
    assert str(caught.value) == 'namespaces "no-such-namespace" not found'
