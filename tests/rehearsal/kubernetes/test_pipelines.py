"""A model over two nodes, on the real controller of LeaderWorkerSets, with the real Karpenter and load balancer
controller: how stages find each other, where they stand, and how they go and come back together.

Played is what a node does: its pods are ready at once and gone at once. No DNS server runs: what one would answer is
computed from the same EndpointSlices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.api import Api, Object
from pulumi_rehearsal.kubernetes.cluster import Cluster, title
from pulumi_rehearsal.kubernetes.control_plane import BAD_DIGEST
from pulumi_rehearsal.kubernetes.nodes import is_ready
from pulumi_rehearsal.kubernetes.watch import lowest_available, seconds_until
from rehearsal import rollout
from rehearsal.kubernetes import expectations
from rehearsal.kubernetes.autoscaling import try_load
from rehearsal.kubernetes.disruption import evict
from rehearsal.kubernetes.verdicts import of_cluster
from rehearsal.placeholders import OTHER_DIGEST, change_image
from rehearsal.scene import Scene, pins_of, stack_config
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import GROUP, LEADER, NAMESPACE, SET, ZONE
from tandem.kubernetes.rollouts import PIPELINES, PODS
from tandem.ops import inventory
from tandem.ops.rollout.cluster import Deployments
from tandem.settings import Settings
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes]

MODEL = "vllm-main"
REPLICAS, STAGES = 2, 2
BACK_SECONDS = 60
SEARCHED = (f"{NAMESPACE}.svc.cluster.local", "svc.cluster.local", "cluster.local")
"""Where a pod's resolver looks for a name with fewer than five dots:
https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#namespaces-of-services"""

STACK = "pipelined"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], maxHosts: 4, rollout: launchFirst}
  tandem:scaling: {minReplicas: 2, maxReplicas: 3, spread: zones, waitingRequestsPerReplica: 5}
  tandem:inference: {model: Qwen/Qwen3-32B, quantization: fp8, maxModelLen: 8192, pipelineParallelSize: 2}
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """As `up` leaves it."""
    with scene_of(tmp_path_factory.mktemp(STACK), STACK, FILE) as scene:
        up = scene.workspace.up()
        assert up.succeeded, up.messages
        yield scene


@pytest.fixture
def cluster(scene: Scene) -> Cluster:
    assert scene.cluster is not None
    return scene.cluster


@pytest.fixture
def api(cluster: Cluster) -> Api:
    return cluster.api


def stages(api: Api) -> list[Object]:
    """Those that are not about to go."""
    found = api.list("v1", "Pod", NAMESPACE, labelSelector=f"{SET}={MODEL}")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def pipelines(pods: Iterable[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = defaultdict(list)
    for pod in pods:
        found[pod["metadata"]["labels"].get(GROUP, "")].append(pod)
    return found


def whole(api: Api) -> dict[str, int]:
    """Pipelines that have all their stages, ready and of one version."""
    return {MODEL: sum(is_whole(group) for group in pipelines(stages(api)).values())}


def is_whole(group: Sequence[Object]) -> bool:
    images = {pod["spec"]["containers"][0]["image"] for pod in group}
    return (len(group), len(images)) == (STAGES, 1) and all(map(is_ready, group))


def all_whole(api: Api) -> bool:
    return whole(api)[MODEL] == REPLICAS and len(stages(api)) == REPLICAS * STAGES


def is_leader(pod: Object) -> bool:
    return pod["metadata"]["labels"][LEADER] == "0"


def names(pods: Iterable[Object]) -> set[str]:
    return {pod["metadata"]["name"] for pod in pods}


def uids(pods: Iterable[Object]) -> set[str]:
    return {pod["metadata"]["uid"] for pod in pods}


def digests(api: Api) -> set[str]:
    return {pod["spec"]["containers"][0]["image"].partition("@")[2] for pod in stages(api)}


def slices_of(api: Api, service: str) -> list[Object]:
    label = f"kubernetes.io/service-name={service}"
    return api.list("discovery.k8s.io/v1", "EndpointSlice", NAMESPACE, labelSelector=label)


def a_records(slices: Iterable[Object]) -> dict[str, str]:
    """An address for each endpoint that is ready and has a host's name.

    Stands for: CoreDNS, asked for the names of a headless Service.
    Held by: nothing, written after CoreDNS v1.12.0, plugin/kubernetes/object/endpoint.go.
    """
    return {
        f"{endpoint['hostname']}.{service}.{one['metadata']['namespace']}.svc.cluster.local": endpoint["addresses"][0]
        for one in slices
        for service in [one["metadata"]["labels"]["kubernetes.io/service-name"]]
        for endpoint in one.get("endpoints") or ()
        if endpoint["conditions"].get("ready", True) and "hostname" in endpoint
    }


def test_up_waits_for_whole_pipelines_and_a_second_one_changes_nothing(scene: Scene, cluster: Cluster) -> None:
    assert whole(cluster.api) == {MODEL: REPLICAS}
    config = stack_config(scene.workspace.directory, STACK)
    settings = Settings.model_validate({key.removeprefix("tandem:"): value for key, value in config.items()})
    verdicts = of_cluster(cluster, scene.workspace.resources(), settings)
    assert [one.violations for one in verdicts] == [()] * len(verdicts)
    assert scene.workspace.up().changing() == []


def test_what_the_real_charts_define_is_served_as_it_was_declared(scene: Scene) -> None:
    """The server leaves some empty fields out, which each `up` would put back."""
    defined = [one["urn"] for one in scene.workspace.resources() if one["type"].endswith("DefinitionPatch")]
    assert {urn.rpartition(".")[2] for urn in defined} == {"aws", "io"}
    targets = [f"--target={urn}" for urn in defined]
    scene.workspace.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes", *targets)


def test_stages_find_their_leader_by_a_name(api: Api) -> None:
    """Before it is ready, too: it becomes ready only once they have found it."""
    assert api.get("v1", "Service", MODEL, NAMESPACE) is None, "that name is a Deployment's"
    for group in pipelines(stages(api)).values():
        [leader] = filter(is_leader, group)
        name = leader["metadata"]["name"]
        service = api.get("v1", "Service", name, NAMESPACE)
        assert service is not None
        assert service["metadata"]["ownerReferences"][0]["uid"] == leader["metadata"]["uid"]
        assert (service["spec"]["clusterIP"], service["spec"]["publishNotReadyAddresses"]) == ("None", True)
        records = a_records(slices_of(api, name))
        assert len(records) == STAGES
        assert (leader["spec"]["hostname"], leader["spec"]["subdomain"]) == (name, name)
        for pod in group:
            container = pod["spec"]["containers"][0]
            told = {one["name"]: one.get("value", "") for one in container["env"]}["LWS_LEADER_ADDRESS"]
            found = {records[name] for end in SEARCHED if (name := f"{told}.{end}") in records}
            assert found == {leader["status"]["podIP"]}
            words = container["command"]
            assert words[words.index("--master-addr") + 1] == "$(LWS_LEADER_ADDRESS)"
            assert pod["spec"]["dnsPolicy"] == "ClusterFirst"


def test_stages_stand_in_one_zone_and_replicas_in_all(api: Api) -> None:
    zones = {node["metadata"]["name"]: node["metadata"]["labels"].get(ZONE) for node in api.list("v1", "Node")}
    found = [{zones[pod["spec"]["nodeName"]] for pod in group} for group in pipelines(stages(api)).values()]
    assert sorted(found, key=str) == [{"us-east-1a"}, {"us-east-1b"}]


def test_only_leaders_answer(scene: Scene, api: Api) -> None:
    leaders = {pod["status"]["podIP"] for pod in filter(is_leader, stages(api))}
    [group] = scene.clients("elbv2").describe_target_groups()["TargetGroups"]
    health = scene.clients("elbv2").describe_target_health(TargetGroupArn=group["TargetGroupArn"])
    assert {one["Target"]["Id"] for one in health["TargetHealthDescriptions"]} == leaders
    entries = [endpoint for one in slices_of(api, f"{MODEL}-entry") for endpoint in one["endpoints"]]
    assert {endpoint["addresses"][0] for endpoint in entries} == leaders
    assert len(leaders) == REPLICAS


def test_an_eviction_takes_one_pipeline_and_no_other_meanwhile(api: Api) -> None:
    gone, stays = sorted(pipelines(stages(api)).values(), key=lambda group: min(names(group)))
    [worker] = [pod for pod in gone if not is_leader(pod)]
    with lowest_available(api, whole) as lowest:
        assert evict(api, worker) is None
        refused = [evict(api, pod, dry=True) for pod in stays]
        assert all(words and "would violate the pod's disruption budget" in words for words in refused)
        assert seconds_until(lambda: not uids(stages(api)) & uids(gone) and all_whole(api), BACK_SECONDS)
    assert lowest == {MODEL: REPLICAS - 1}
    assert uids(stays) < uids(stages(api))
    assert names(stages(api)) == names([*gone, *stays])


@pytest.mark.long
def test_a_new_image_replaces_one_pipeline_at_a_time(scene: Scene, api: Api) -> None:
    change_image(pins_of(scene.workspace))
    with lowest_available(api, whole) as lowest:
        up = scene.workspace.up()
    assert up.succeeded, up.messages
    assert lowest == {MODEL: REPLICAS}
    assert digests(api) == {OTHER_DIGEST}
    assert all_whole(api)


@pytest.mark.long
def test_a_bad_image_is_noticed_and_the_way_back_leads_to_the_old_one(scene: Scene, cluster: Cluster, api: Api) -> None:
    assert digests(api) == {OTHER_DIGEST}
    kubectl = Kubectl(cluster.plane.kubeconfig, str(build.KUBECTL.command("kubectl")))
    platform = Deployments(kubectl)
    [served], before = platform.look(), uids(stages(api))
    change_image(pins_of(scene.workspace), BAD_DIGEST)
    with lowest_available(api, whole) as lowest, ThreadPoolExecutor(1) as pool:
        up = pool.submit(scene.workspace.up)
        [noticed] = rollout.watch_and_go_back(platform, up.done)
    assert "ImagePullBackOff: Back-off pulling image" in noticed.failures[0]
    assert expectations.is_not_called_a_success(up.result(), api.list("v1", "ConfigMap")).violations == ()
    assert lowest == {MODEL: REPLICAS}
    assert seconds_until(lambda: uids(stages(api)) == before, BACK_SECONDS)

    change_image(pins_of(scene.workspace))
    again = scene.workspace.up()
    assert again.succeeded, again.messages
    assert uids(stages(api)) == before
    [found] = platform.look()
    assert (found.state, found.before) == ("done", served.before), "the bad one is no version to go back to"


@pytest.mark.long
def test_load_brings_a_pipeline_and_it_goes_after_it(cluster: Cluster, api: Api) -> None:
    [scaled] = api.list("keda.sh/v1alpha1", "ScaledObject")
    answer = try_load(api, cluster.prometheus.servers, scaled)
    assert expectations.follow_the_load(answer).violations == ()
    assert (answer.rise, answer.fall) == ([2, 3], [3, 2])


@pytest.mark.long
def test_pipelines_become_servers_of_one_node_and_pipelines_again(scene: Scene, cluster: Cluster, api: Api) -> None:
    platform = Deployments(Kubectl(cluster.plane.kubeconfig, str(build.KUBECTL.command("kubectl"))))
    for nodes, unit in (("1", PODS), ("2", PIPELINES)):
        scene.workspace.pulumi("config", "set", "--path", "tandem:inference.pipelineParallelSize", nodes)
        with ThreadPoolExecutor(1) as pool:
            up, seen = pool.submit(scene.workspace.up), []
            while not up.done():
                seen.append({one.unit for one in platform.look()})
        assert up.result().succeeded, up.result().messages
        assert {PODS, PIPELINES} in seen, "the old ones go once the new ones serve"
        [found] = platform.look()
        assert (found.unit, found.state) == (unit, "done")
    assert seconds_until(lambda: all_whole(api), BACK_SECONDS) is not None
    test_stages_find_their_leader_by_a_name(api)


def test_destroy_leaves_nothing(scene: Scene, cluster: Cluster) -> None:
    destroy = scene.workspace.destroy()
    assert destroy.succeeded, destroy.messages
    assert [title(object) for object in cluster.objects()] == []
    assert inventory.find(scene.clients, STACK).resources == []
