"""What reaches the API server: golden files, and what must hold in all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from infra.kubernetes.edge import canary_version, edge_version
from infra.kubernetes.workload import InferenceService
from tandem import capacity
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.scripts import DIRECTORY
from tandem.settings import Settings
from tests.infra.declared import declared_by
from tests.infra.kubernetes.samples import BASE, GOLDEN, SAMPLES, manifests, manifests_of, rendered

ALL = pytest.mark.parametrize("sample", SAMPLES)


@ALL
def test_manifests_are_the_golden_ones(sample: str) -> None:
    """`make golden` writes them anew; the difference is then reviewed."""
    path = GOLDEN / f"{sample}.yaml"
    if os.environ.get("GOLDEN_UPDATE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(rendered(sample), encoding="utf-8")
    assert rendered(sample) == path.read_text(encoding="utf-8")


def test_edges_of_one_model_reach_each_other_on_one_port_and_know_who_serves() -> None:
    name = one("karpenter", "Deployment")["metadata"]["name"]
    service, policy = one("karpenter", "Service", f"{name}-peers"), one("karpenter", "NetworkPolicy", f"{name}-routed")
    assert service["spec"]["clusterIP"] == "None"
    assert not service["spec"].get("publishNotReadyAddresses"), "who starts or leaves is not named"
    ours = {"app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": name}
    assert service["spec"]["selector"] == policy["spec"]["podSelector"]["matchLabels"] == ours
    way = {"ports": [{"port": 8081, "protocol": "TCP"}]}
    peers = [{"podSelector": {"matchLabels": ours}}]
    assert (policy["spec"]["ingress"], policy["spec"]["egress"]) == ([way | {"from": peers}], [way | {"to": peers}])
    (pod,) = pods("karpenter")
    agent = {variable["name"]: variable.get("value") for variable in named(pod)["keys"]["env"]}
    assert json.loads(agent["TANDEM_POD"] or "")["peers"] == f"{name}-peers.inference.svc"
    assert "listen 8081" in one("karpenter", "ConfigMap", f"{name}-edge")["data"]["nginx.conf"]
    assert "listen 8081" not in one("prod", "ConfigMap", f"{name}-edge")["data"]["nginx.conf"]


def one(sample: str, kind: str, name: str | None = None) -> dict[str, Any]:
    (found,) = [item for item in manifests(sample) if item["kind"] == kind and name in (None, item["metadata"]["name"])]
    return found


def pods(sample: str) -> Iterator[dict[str, Any]]:
    for item in manifests(sample):
        if item["kind"] == "Deployment":
            yield item["spec"]["template"]["spec"]
        if item["kind"] == "LeaderWorkerSet":
            template = item["spec"]["leaderWorkerTemplate"]
            yield template["leaderTemplate"]["spec"]
            yield template["workerTemplate"]["spec"]


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    return [*pod["initContainers"], *pod["containers"]]


def named(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in containers(pod)}


@ALL
def test_pods_hold_no_right_that_they_do_not_need(sample: str) -> None:
    for pod in pods(sample):
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 2000)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


@ALL
def test_each_pod_has_a_pair_of_gpus_and_shared_memory_for_them(sample: str) -> None:
    for pod in pods(sample):
        for name, container in named(pod).items():
            gpus = "2" if name in ("prepare", "vllm") else None
            assert container["resources"]["limits"].get("nvidia.com/gpu") == gpus
        assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}} in pod["volumes"]
        server = pod["containers"][0]["command"]
        assert server[server.index("--tensor-parallel-size") + 1] == "2"


@ALL
def test_a_pod_leaves_within_its_grace(sample: str) -> None:
    for pod in pods(sample):
        server = pod["containers"][0]
        command, stop = server["command"], server["lifecycle"]["preStop"]
        drain = int(command[command.index("--shutdown-timeout") + 1])
        if "--headless" in command:  # ends at once then, and its leader must have ended by then
            *does, seconds = stop["exec"]["command"]
            assert does == ["python3", "/tandem/server.py", "accompany"]
            assert 30 + drain <= int(seconds) < pod["terminationGracePeriodSeconds"]
        else:
            assert stop["sleep"]["seconds"] == 30
            assert 30 + drain < pod["terminationGracePeriodSeconds"]


@ALL
def test_the_startup_probe_covers_the_whole_launch(sample: str) -> None:
    for pod in pods(sample):
        for probe in filter(None, [pod["containers"][0].get("startupProbe")]):
            starts = 2 if "VLLM_SKIP_P2P_CHECK" in {one["name"] for one in pod["containers"][0]["env"]} else 1
            assert probe["periodSeconds"] * probe["failureThreshold"] * starts >= 3600, "over PCIe a second one follows"
            assert probe["exec"]["command"][-1] == "ready"


def templates(sample: str) -> list[dict[str, Any]]:
    found = [item["spec"].get("leaderWorkerTemplate") or item["spec"] for item in manifests(sample) if "spec" in item]
    names = ("template", "leaderTemplate", "workerTemplate")
    return [part[name] for part in found for name in names if "containers" in part.get(name, {}).get("spec", {})]


@ALL
def test_the_edge_starts_before_the_server_and_ends_after_it(sample: str) -> None:
    """Only pods that answer have one; who may enter is known before anything is downloaded."""
    *leaders, last = templates(sample)
    for template in [*leaders, last] if sample != "pipeline" else leaders:
        agent, edge, *beside, prepare = template["spec"]["initContainers"]
        assert [one["name"] for one in (agent, edge, prepare)] == ["keys", "edge", "prepare"]
        assert [one.get("restartPolicy") for one in (agent, edge, prepare)] == ["Always", "Always", None]
        assert agent["startupProbe"]["exec"]["command"] == ["test", "-e", "/run/tandem/keys"]
        assert [one["name"] for one in beside] == ([] if sample == "pipeline" else ["keeper"])
        assert "startupProbe" not in edge, "it would wait for the server, which waits for it"
        assert edge["readinessProbe"]["httpGet"] == {"path": "/healthz", "port": 8080}
    if sample == "pipeline":
        assert [one["name"] for one in last["spec"]["initContainers"]] == ["prepare"]


@ALL
def test_only_who_reads_secrets_has_a_role_and_knows_where_they_are(sample: str) -> None:
    """The webhook of EKS Pod Identity leaves out whom the annotation names. A server that streams reads its bucket."""
    for template in templates(sample):
        left_out = template["metadata"]["annotations"].get("eks.amazonaws.com/skip-containers", "").split(",")
        for name, container in named(template["spec"]).items():
            needs = name in ("keys", "prepare") or (name == "vllm" and sample == "sleeping")
            assert (name in left_out) is not needs
            assert ("TANDEM_SECRETS" in {one["name"] for one in container["env"]} if "env" in container else False) is (
                name in ("keys", "prepare")
            )


@ALL
def test_a_server_reads_of_shared_files_its_own_weights_and_what_its_pods_kept(sample: str) -> None:
    own = ["hub/models--Qwen--Qwen3-32B", "hub/models--acme--sql", "hub/models--acme--legal"]
    seen = {"pipeline": own}.get(sample, [])
    cache = [] if sample == "pipeline" else ["compile/vllm-main"]
    for pod in pods(sample):
        mounts = [one for one in named(pod)["vllm"]["volumeMounts"] if one["name"] == "models"]
        assert [one["subPath"] for one in mounts] == [*seen, *cache]
        assert all(one["readOnly"] for one in mounts)
        writers = {
            name: [one["mountPath"] for one in container["volumeMounts"] if one["name"] == "models"]
            for name, container in named(pod).items()
            if any(one["name"] == "models" and not one.get("readOnly") for one in container["volumeMounts"])
        }
        proves = {"keys": ["/proven"]} if sample == "prod" else {}
        assert writers == {"prepare": ["/models"]} | ({"keeper": ["/cache"]} if cache else {}) | proves
        for keeper in filter(None, [named(pod).get("keeper")]):
            assert next(one for one in keeper["volumeMounts"] if one["name"] == "local")["readOnly"]
        seen_at_all = {one["name"] for one in named(pod)["vllm"]["volumeMounts"]}
        assert seen_at_all <= {"script", "log", "local", "tmp", "shm", "models"}


@ALL
def test_a_pod_with_a_canary_is_ready_once_that_has_passed(sample: str) -> None:
    """Of the agent, as the sidecar that it is: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/"""
    agent = named(next(pods(sample)))["keys"]
    mounts = {one["mountPath"]: one for one in agent["volumeMounts"]}
    if sample == "prod":
        assert agent["readinessProbe"]["exec"]["command"] == ["test", "-e", "/run/tandem/canary.open"]
        assert (mounts["/proven"]["subPath"], mounts["/etc/tandem"]["readOnly"]) == ("canary/vllm-main", True)
    else:
        assert "readinessProbe" not in agent
        assert not {"/proven", "/etc/tandem"} & mounts.keys()


def test_a_pod_is_replaced_when_what_it_asks_changes() -> None:
    """It reads it when it starts."""
    services = (
        cast(InferenceService, SimpleNamespace(nginx="", keys_secret_arns=[], canary=text)) for text in ("", "1", "2")
    )
    assert len({edge_version(service) for service in services}) == 3


def test_a_version_is_all_that_is_served_and_asked() -> None:
    """A pod has its own, since what is asked lies in an object that is changed while it runs."""
    first = {"canary": "1", "image": "1", "manifest": None, "arguments": ("--port", "1")}
    changes = ({}, {"canary": "2"}, {"image": "2"}, {"manifest": "2"}, {"arguments": ("--port", "2")})
    services = (cast(InferenceService, SimpleNamespace(**{**first, **change})) for change in changes)
    assert len({canary_version(service) for service in services}) == 5


def test_weights_lie_where_the_scripts_put_them() -> None:
    """The directory that a server sees is the one that `prepare` fills."""
    model, root = BASE["inference"]["model"], Path("/models/hub")
    program = (
        "import sys, pathlib, cache; print(cache.Cache(pathlib.Path(sys.argv[1]), {'model': sys.argv[2]}).repository)"
    )
    command = [sys.executable, "-c", program, str(root), model]
    done = subprocess.run(command, cwd=DIRECTORY / "shared", capture_output=True, text=True, check=True)
    server = next(pods("pipeline"))["containers"][0]
    mount, *adapters = [one["mountPath"] for one in server["volumeMounts"] if one["name"] == "models"]
    assert mount == done.stdout.strip()
    begin = server["command"].index("--lora-modules") + 1
    paths = [one.partition("=")[2] for one in server["command"][begin : begin + len(adapters)]]
    assert (
        adapters
        == [path.partition("/snapshots/")[0] for path in paths]
        == [f"{root}/models--acme--sql", f"{root}/models--acme--legal"]
    )


def test_a_model_that_streams_has_an_account_and_a_role_of_its_own() -> None:
    """Which opens its own weights, the clients and the edge's log; the hub's token is the others'."""
    found = declared_by(SAMPLES["sleeping"], "golden")
    (lent,) = [one for one in found.of("PodIdentityAssociation").values() if one["serviceAccount"] == "vllm-main"]
    (pod,) = pods("sleeping")
    assert pod["serviceAccountName"] == "vllm-main"
    assert one("sleeping", "ServiceAccount", "vllm-main")["automountServiceAccountToken"] is False
    policies = [item for item in found.of("RolePolicy").values() if item["role"] == lent["roleArn"].rpartition("/")[2]]
    statements = [part for item in policies for part in json.loads(item["policy"])["Statement"]]
    assert {action for part in statements for action in part["Action"]} == {
        *(
            "secretsmanager:GetSecretValue",
            "s3:ListBucket",
            "s3:GetObject",
            "cloudwatch:PutMetricData",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ),
    }
    resources = [resource for part in statements for resource in part["Resource"]]
    assert "arn:aws:s3:::weights/qwen3-32b/*" in resources
    assert not [resource for resource in resources if "token" in resource]
    (shared,) = [pod["serviceAccountName"] for pod in pods("karpenter")]
    assert shared == "inference"


def test_a_change_of_the_edge_makes_new_pods_and_a_secret_does_not_stand_in_them() -> None:
    def version(values: dict[str, Any]) -> str:
        (server,) = [item for item in manifests_of(values) if item["kind"] == "Deployment"]
        assert "arn:" not in json.dumps(server)
        return server["metadata"]["labels"]["tandem/version"]

    assert version(BASE | {"edge": {"maxBodyMib": 3}}) != version(BASE) == version(dict(BASE))
    files = one("sleeping", "ConfigMap", "vllm-main-edge")["data"]
    assert "server 127.0.0.1:8000 max_conns=1280;" in files["nginx.conf"]
    secrets = json.loads(files["secrets.json"])
    assert [len(secrets["keys"]), "hugging-face-token" in secrets["hubToken"]] == [2, True]


def test_only_the_load_balancer_comes_in_and_only_monitoring_asks_for_metrics() -> None:
    deny, allow = one("karpenter", "NetworkPolicy", "default-deny"), one("karpenter", "NetworkPolicy", "servers")
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    requests, metrics = allow["spec"]["ingress"]
    assert requests == {"from": [{"ipBlock": {"cidr": "10.20.0.0/17"}}], "ports": [{"port": 8080, "protocol": "TCP"}]}
    assert metrics["ports"] == [{"port": 9090, "protocol": "TCP"}]
    assert [list(source) for source in metrics["from"]] == [["namespaceSelector"]]
    assert {port["port"] for out in allow["spec"]["egress"] for port in out["ports"]} == {53, 443, 80}
    traced = manifests_of(BASE | {"tracing": {"endpoint": "http://otel.observability:4318/v1/traces"}})
    (policy,) = (one for one in traced if one["metadata"]["name"] == "servers")
    assert {port["port"] for out in policy["spec"]["egress"] for port in out["ports"]} == {53, 443, 80, 4318}
    (template,) = templates("karpenter")
    scraped = {key: template["metadata"]["annotations"][f"prometheus.io/{key}"] for key in ("scrape", "port", "path")}
    assert scraped == {"scrape": "true", "port": "9090", "path": "/metrics"}


def test_a_prometheus_that_is_there_scrapes_from_its_own_namespace() -> None:
    """The sample's is prometheus.observability, and so are its pods."""
    for sample, name in (("sleeping", "observability"), ("karpenter", "monitoring")):
        _, metrics = one(sample, "NetworkPolicy", "servers")["spec"]["ingress"]
        assert metrics["from"] == [
            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}},
        ]


@pytest.mark.parametrize("types", [["g6e.12xlarge"], ["g6e.12xlarge", "p5.48xlarge"], ["g7.12xlarge"]])
def test_servers_and_their_edges_fit_on_every_node(types: list[str]) -> None:
    (server,) = [
        item
        for item in manifests_of(BASE | {"fleet": BASE["fleet"] | {"instanceTypes": types}})
        if item["kind"] == "Deployment"
    ]
    pod = named(server["spec"]["template"]["spec"])
    cpu = sum(
        float(pod[name]["resources"]["requests"]["cpu"].replace("m", "e-3"))
        for name in ("keys", "edge", "keeper", "vllm")
    )
    memory = sum(_gib(pod[name]["resources"]["limits"]["memory"]) for name in ("keys", "edge", "keeper", "vllm"))
    for one_type in (INSTANCE_TYPES[name] for name in types):
        assert cpu * one_type.servers(2) <= capacity.SHARE * one_type.vcpus
        assert memory * one_type.servers(2) <= capacity.SHARE * one_type.memory_gib


def test_models_of_several_shapes_share_a_node_by_its_gpus() -> None:
    """One, two and four GPUs a server: what it asks of a node is the part that its GPUs are; and its nodes are counted
    by GPUs."""
    shapes = {"main": 2, "small": 1, "large": 4}
    inference = {
        model: BASE["inference"] | {"maxModelLen": 16384, "tensorParallelSize": gpus} for model, gpus in shapes.items()
    }
    once = {"minReplicas": 1, "maxReplicas": 1}
    further = {
        name: {"hostName": f"{name}.example.com", "inference": inference[name], "scaling": once}
        for name in ("small", "large")
    }
    settings = BASE | {
        "inference": inference["main"],
        "models": further,
        "scaling": {"minReplicas": 2, "maxReplicas": 2},
        "loadBalancer": {"domainName": "llm.example.com", "hostedZoneId": "Z0123456789ABC"},
    }
    servers = {
        item["metadata"]["name"]: named(item["spec"]["template"]["spec"])["vllm"]
        for item in manifests_of(settings)
        if item["kind"] == "Deployment"
    }
    each = INSTANCE_TYPES["g6e.12xlarge"]
    for model, gpus in shapes.items():
        server = servers[f"vllm-{model}"]
        command = server["command"]
        assert command[command.index("--tensor-parallel-size") + 1] == str(gpus)
        assert server["resources"]["limits"]["nvidia.com/gpu"] == str(gpus)
        assert int(server["resources"]["requests"]["cpu"]) + 1 == int(each.vcpus * capacity.SHARE) * gpus // each.gpus
    found = Settings.model_validate(settings)
    assert capacity.gpus_of(found, most=True) == 2 * 2 + 1 + 4
    assert capacity.nodes_that_serve(found, most=True) == 3


def _gib(text: str) -> float:
    return float(text[:-2]) / (1024 if text.endswith("Mi") else 1)


def test_a_drain_takes_one_pod_and_a_broken_pod_is_in_nobodys_way() -> None:
    assert one("karpenter", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert one("pipeline", "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    kept = next(
        manifest["spec"]
        for manifest in manifests_of(BASE | {"scaling": {"minAvailable": 1}})
        if manifest["kind"] == "PodDisruptionBudget"
    )
    assert (kept["minAvailable"], kept["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    assert "maxUnavailable" not in kept


def test_replicas_are_kept_apart_before_they_fill_nodes() -> None:
    """Nodes join one by one: without the least number of nodes all replicas would go to the first."""
    (pod,) = pods("karpenter")
    nodes, *wishes = pod["topologySpreadConstraints"]
    assert (nodes["topologyKey"], nodes["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "DoNotSchedule")
    assert (nodes["maxSkew"], nodes["minDomains"], nodes["nodeTaintsPolicy"]) == (1, 2, "Honor")
    assert "matchLabelKeys" not in nodes, "a new pod would wait for a node that is full of old ones"
    assert [(one["topologyKey"], one["whenUnsatisfiable"], one["matchLabelKeys"]) for one in wishes] == [
        ("kubernetes.io/hostname", "ScheduleAnyway", ["pod-template-hash"]),
        ("topology.kubernetes.io/zone", "ScheduleAnyway", ["pod-template-hash"]),
    ]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}


@pytest.mark.parametrize(("fewest", "apart"), [(2, 1), (3, 2), (4, 2), (1, None)])
def test_a_node_may_have_as_many_more_as_it_has_of_the_fewest(fewest: int, apart: int | None) -> None:
    """Karpenter plans so many for a node, and replaces a node that has no more."""
    scaling = {"minReplicas": fewest, "maxReplicas": 4}
    (server,) = (one for one in manifests_of(BASE | {"scaling": scaling}) if one["kind"] == "Deployment")
    spread = server["spec"]["template"]["spec"]["topologySpreadConstraints"]
    hosts = {one["maxSkew"] for one in spread if one["topologyKey"] == "kubernetes.io/hostname"}
    assert hosts == ({apart} if apart else set())


def test_a_pipeline_counts_once_and_stands_in_one_zone() -> None:
    leader, worker = pods("pipeline")
    nodes, zones, *_ = leader["topologySpreadConstraints"]
    assert (zones["whenUnsatisfiable"], zones["minDomains"], nodes["minDomains"]) == ("DoNotSchedule", 2, 2)
    assert zones["labelSelector"]["matchLabels"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"
    assert "topologySpreadConstraints" not in worker
    assert "affinity" not in leader
    (beside,) = worker["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert beside["topologyKey"] == "topology.kubernetes.io/zone"
    assert beside["matchLabelKeys"] == ["leaderworkerset.sigs.k8s.io/group-key"]
    # A worker that matched itself could come first, and take a place in the zone where its leader must not stand.
    assert beside["labelSelector"]["matchLabels"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"


def test_the_controller_of_pipelines_has_their_name_to_itself() -> None:
    """It makes a Service of that name, by which stages look for their leader."""
    name = one("pipeline", "LeaderWorkerSet")["metadata"]["name"]
    entry = one("pipeline", "Service")["metadata"]["name"]
    assert entry != name
    assert one("pipeline", "TargetGroupBinding")["spec"]["serviceRef"]["name"] == entry


def test_base_on_demand_then_spot_with_gpus_limited() -> None:
    pools = {item["metadata"]["name"]: item["spec"] for item in manifests("karpenter") if item["kind"] == "NodePool"}
    wanted = {
        name: (pool["weight"], pool["limits"]["nvidia.com/gpu"], pool["template"]["spec"]["requirements"][1]["values"])
        for name, pool in pools.items()
    }
    assert wanted == {"gpu-base": (100, "4", ["on-demand"]), "gpu": (50, "12", ["spot", "on-demand"])}


def test_the_base_is_as_many_nodes_as_it_says_of_whatever_types() -> None:
    """Limits count GPUs: of types of several sizes a base of two would be up to four of the smaller ones."""
    fleet = {"instanceTypes": ["g6e.12xlarge", "g6e.48xlarge"], "maxHosts": 4, "onDemandBase": 2}
    found = {one["metadata"]["name"]: one["spec"] for one in manifests_of(BASE | {"fleet": fleet}) if _is_pool(one)}
    types = {name: pool["template"]["spec"]["requirements"][0]["values"] for name, pool in found.items()}
    assert types == {"gpu-base": ["g6e.12xlarge"], "gpu": ["g6e.12xlarge", "g6e.48xlarge"]}
    assert {name: pool["limits"]["nvidia.com/gpu"] for name, pool in found.items()} == {"gpu-base": "8", "gpu": "16"}


def _is_pool(manifest: dict[str, Any]) -> bool:
    return manifest["kind"] == "NodePool"


def test_models_that_sleep_have_objects_of_their_own() -> None:
    asleep = {"scaling": {"minReplicas": 0}}
    small = asleep | {"hostName": "small.example.com", "inference": {"model": "Qwen/Qwen3-8B", "maxModelLen": 8192}}
    found = manifests_of(BASE | asleep | {"models": {"small": small}})
    names = sorted(one["metadata"]["name"] for one in found if one["kind"] == "TriggerAuthentication")
    assert names == ["vllm-main", "vllm-small"]


def test_a_capacity_block_is_one_pool_in_its_zone() -> None:
    node_class, pool = one("sleeping", "EC2NodeClass")["spec"], one("sleeping", "NodePool")["spec"]
    assert node_class["capacityReservationSelectorTerms"] == [{"id": "cr-" + "0" * 17}]
    assert len(node_class["subnetSelectorTerms"]) == 1
    assert pool["template"]["spec"]["requirements"][1]["values"] == ["reserved"]


@pytest.mark.parametrize(("when_full", "purchases"), [("onDemand", ["reserved", "on-demand"]), ("wait", ["reserved"])])
def test_reservations_are_in_the_pool_that_was_there(when_full: str, purchases: list[str]) -> None:
    """Another pool would have to end this one's nodes, all at once."""
    ids = {"us-east-1a": "cr-" + "1" * 17, "us-east-1b": "cr-" + "2" * 17}
    reserved = {"capacityReservations": {"byZone": ids, "whenFull": when_full}}
    found = manifests_of(BASE | {"fleet": BASE["fleet"] | reserved, "batch": {"maxUsd": 80, "spot": False}})
    (node_class,) = (item["spec"] for item in found if item["kind"] == "EC2NodeClass")
    assert node_class["capacityReservationSelectorTerms"] == [{"id": id} for id in ids.values()]
    pools = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["requirements"] for item in found if _is_pool(item)
    }
    assert {name: requirements[1]["values"] for name, requirements in pools.items()} == {
        "gpu": purchases,
        "gpu-batch": ["on-demand"],
    }


def test_bottlerocket_has_its_data_on_a_second_disk_and_both_are_encrypted() -> None:
    spec = one("pipeline", "EC2NodeClass")["spec"]
    disks = {disk["deviceName"]: disk["ebs"] for disk in spec["blockDeviceMappings"]}
    assert spec["amiFamily"] == "Bottlerocket"
    assert {device: disk["volumeSize"] for device, disk in disks.items()} == {"/dev/xvda": "4Gi", "/dev/xvdb": "200Gi"}
    assert all(disk["encrypted"] for disk in disks.values())


@ALL
def test_no_age_ends_nodes(sample: str) -> None:
    """It would end all nodes of one `up` at once, without budget or successor."""
    pools = [item["spec"] for item in manifests(sample) if item["kind"] == "NodePool"]
    assert {pool["template"]["spec"]["expireAfter"] for pool in pools} == {"Never"}


def test_nodes_are_replaced_one_by_one_and_in_the_window_only() -> None:
    always = {"nodes": "1", "reasons": ["Drifted", "Underutilized"]}
    assert one("karpenter", "NodePool", "gpu")["spec"]["disruption"]["budgets"] == [always]
    # Open from 22:30 for five hours: shut from 3:30 for the other nineteen.
    shut = always | {"nodes": "0", "schedule": "30 3 * * *", "duration": "19h"}
    assert one("pipeline", "NodePool")["spec"]["disruption"]["budgets"] == [always, shut]


def test_a_drain_has_time_for_each_server_of_a_node_and_its_successor() -> None:
    """Two servers on a node of four GPUs, four on one of eight; each leaves in 7 minutes, and starts in an hour."""
    periods = {
        sample: one(sample, "NodePool", name)["spec"]["template"]["spec"]["terminationGracePeriod"]
        for sample, name in (("karpenter", "gpu"), ("sleeping", "gpu-reserved"))
    }
    assert periods == {"karpenter": "3h", "sleeping": "5h"}


def test_stages_of_a_pipeline_talk_by_several_connections_and_servers_of_one_node_are_left_alone() -> None:
    for sample, expected in (
        ("pipeline", {"NCCL_SOCKET_NTHREADS": "2", "NCCL_NSOCKS_PERTHREAD": "8"}),
        ("karpenter", {}),
    ):
        for pod in pods(sample):
            [server] = [one for one in pod["containers"] if one["name"] in ("vllm", "worker")]
            told = {one["name"]: one.get("value") for one in server["env"] if one["name"].startswith("NCCL_SO")}
            told |= {one["name"]: one.get("value") for one in server["env"] if one["name"].startswith("NCCL_NS")}
            assert told == expected


def test_stages_of_a_pipeline_find_each_other() -> None:
    template = one("pipeline", "LeaderWorkerSet")["spec"]["leaderWorkerTemplate"]
    leader = template["leaderTemplate"]["spec"]["containers"][0]["command"]
    worker = template["workerTemplate"]["spec"]["containers"][0]["command"]
    for command, rank in ((leader, "0"), (worker, "$(LWS_WORKER_INDEX)")):
        assert command[command.index("--pipeline-parallel-size") + 1] == "2"
        assert command[command.index("--node-rank") + 1] == rank
        assert command[command.index("--master-addr") + 1] == "$(LWS_LEADER_ADDRESS)"
    assert worker[-1] == "--headless"
    assert "--headless" not in leader
    assert one("pipeline", "Service")["spec"]["selector"]["leaderworkerset.sigs.k8s.io/worker-index"] == "0"


def test_replicas_follow_the_queue_and_leave_slowly() -> None:
    spec = one("karpenter", "ScaledObject")["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"], spec["cooldownPeriod"]) == (2, 4, 300)
    assert spec["fallback"] == {"failureThreshold": 3, "replicas": 2, "behavior": "currentReplicasIfHigher"}
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 300
    assert (behavior["scaleUp"]["stabilizationWindowSeconds"], behavior["scaleUp"]["tolerance"]) == (60, "250m")
    waiting, running = spec["triggers"]
    assert (waiting["metadata"]["threshold"], running["metadata"]["threshold"]) == ("4", "25.6")
    assert waiting["metadata"]["query"] == (
        'sum(vllm:num_requests_waiting{namespace="inference",app_kubernetes_io_instance="vllm-main"})'
    )


def test_a_sleeping_model_is_woken_by_what_the_load_balancer_refused() -> None:
    spec = one("sleeping", "ScaledObject")["spec"]
    assert (spec["minReplicaCount"], spec["fallback"]["replicas"]) == (0, 1)
    # A first replica that has not made a token yet must not be taken for an idle one.
    assert spec["cooldownPeriod"] == 300 + 3600
    refused, served = spec["triggers"][2:]
    assert {refused["type"], served["type"]} == {"aws-cloudwatch"}
    assert refused["metadata"]["metricName"] == "HTTPCode_ELB_503_Count"
    assert refused["metadata"]["dimensionValue"] == "app/dev-1/50dc6c495c0c9188"


def test_a_model_that_serves_stays_awake_without_prometheus() -> None:
    """By its own target group's count, kept in sight for as long as an answer may take."""
    served = one("sleeping", "ScaledObject")["spec"]["triggers"][3]["metadata"]
    assert (served["metricName"], served["dimensionName"]) == ("RequestCount", "TargetGroup;LoadBalancer")
    assert served["dimensionValue"] == "TargetGroup/golden;app/dev-1/50dc6c495c0c9188"
    assert served["metricCollectionTime"] == "600"
    assert len(one("karpenter", "ScaledObject")["spec"]["triggers"]) == 2


@ALL
def test_nothing_measured_is_no_load_of_zero(sample: str) -> None:
    found = [item["spec"] for item in manifests(sample) if item["kind"] == "ScaledObject"]
    triggers = [one["metadata"] for spec in found for one in spec["triggers"] if one["type"] == "prometheus"]
    assert {trigger["ignoreNullValues"] for trigger in triggers} == {"false"}
