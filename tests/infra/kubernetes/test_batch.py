"""What batches have on Kubernetes: pods that run as servers do, with no more rights, on nodes of their own."""

from __future__ import annotations

import json
import os
from typing import Any

import yaml

from infra.kubernetes.pod import UNPRIVILEGED
from tandem.kubernetes.jobs import job
from tandem.scripts import shared, sources
from tests.infra.kubernetes.samples import GOLDEN, SAMPLES, manifests, manifests_of, whole

NOT_FOR_BATCHES = shared("job", "batch").NOT_FOR_BATCHES


def one(kind: str, name: str = "batch") -> dict[str, Any]:
    (found,) = [item for item in manifests("batch") if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pod() -> dict[str, Any]:
    return one("PodTemplate")["template"]["spec"]


def containers() -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in (*pod()["initContainers"], *pod()["containers"])}


def served() -> dict[str, dict[str, Any]]:
    spec = one("Deployment", "vllm-main")["spec"]["template"]["spec"]
    return {item["name"]: item for item in (*spec["initContainers"], *spec["containers"])}


def variables(container: dict[str, Any]) -> dict[str, str | None]:
    return {item["name"]: item.get("value") for item in container["env"]}


def test_the_job_is_the_golden_one() -> None:
    template = one("PodTemplate") | {"metadata": {"name": "batch", "uid": "u-1"}}
    made = job(template, "batch-20261130-120000-0a1b", 2, 4, 7200)
    path = GOLDEN / "job.yaml"
    text = yaml.safe_dump(whole(made), sort_keys=True)
    if os.environ.get("GOLDEN_UPDATE"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_pods_hold_no_right_that_they_do_not_need() -> None:
    assert pod()["securityContext"] == UNPRIVILEGED
    assert (pod()["automountServiceAccountToken"], pod()["enableServiceLinks"]) == (False, False)
    assert pod()["serviceAccountName"] == "batch"
    assert one("ServiceAccount")["automountServiceAccountToken"] is False
    for container in containers().values():
        assert container["securityContext"] == served()["vllm"]["securityContext"]
    assert one("PodTemplate")["template"]["metadata"]["annotations"] == {"eks.amazonaws.com/skip-containers": "vllm"}
    policy = one("NetworkPolicy")["spec"]
    assert policy["egress"] == one("NetworkPolicy", "servers")["spec"]["egress"]
    assert "ingress" not in policy
    assert policy["podSelector"]["matchLabels"].items() <= one("PodTemplate")["template"]["metadata"]["labels"].items()


def test_vllm_is_told_what_servers_are() -> None:
    ours, theirs = containers()["vllm"], served()["vllm"]
    command, server = ours["command"], theirs["command"]
    place = server.index("--max-num-queued-reqs")
    kept = [*server[server.index("serve", 3) + 1 : place], *server[place + 2 : server.index("--host")]]
    runner = ["python3", "/tandem/server.py", "serve", "python3", "-P", "/tandem/runner.py", "/batch/batch.sock"]
    assert command == [*runner, *(item for item in kept if item not in NOT_FOR_BATCHES)]
    for_the_edge = {"VLLM_LOGGING_CONFIG_PATH", "PYTHONPATH"}
    assert variables(ours) == {key: value for key, value in variables(theirs).items() if key not in for_the_edge}
    assert (ours["image"], ours["resources"]) == (theirs["image"], theirs["resources"])
    mounts = {item["mountPath"]: item for item in theirs["volumeMounts"] if item["mountPath"] != "/log"}
    assert {item["mountPath"]: item for item in ours["volumeMounts"]} == {
        **mounts,
        "/batch": {"name": "batch", "mountPath": "/batch"},
    }
    assert containers()["prepare"] == served()["prepare"]


def test_vllm_is_begun_anew_beside_the_worker_whose_end_is_the_pods() -> None:
    assert pod()["restartPolicy"] == "Never"
    assert [item["name"] for item in pod()["initContainers"]] == ["prepare", "vllm"]
    assert containers()["vllm"]["restartPolicy"] == "Always"
    probe = containers()["vllm"]["livenessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800, (
        "half of a launch: over PCIe a second one follows"
    )
    assert probe["exec"]["command"] == ["test", "-e", "/local/opened"]
    (worker,) = pod()["containers"]
    told = json.loads(variables(worker)["TANDEM_BATCH"] or "")
    most = int(containers()["vllm"]["command"][containers()["vllm"]["command"].index("--max-num-seqs") + 1])
    assert told == {"at_once": most, "region": "us-east-1", "url": "https://bucket.s3.us-east-1.amazonaws.com"}
    assert "TANDEM_SECRETS" not in variables(worker), "it reads no secret"
    assert {"local", "batch"} <= {item["name"] for item in worker["volumeMounts"]}


def test_scripts_are_the_servers_with_those_of_batches() -> None:
    (volume,) = [item for item in pod()["volumes"] if item["name"] == "script"]
    names = [item["configMap"]["name"] for item in volume["projected"]["sources"]]
    assert names == ["in-pod", "batch"]
    files = [name for map_ in names for name in one("ConfigMap", map_)["data"]]
    assert len(files) == len({*files})
    assert {"in_pod.py", "runner.py", "server.py", "role.py", *sources("shared")} <= {*files}


def test_nodes_come_for_batches_alone() -> None:
    ours, theirs = one("NodePool", "gpu-batch")["spec"], one("NodePool", "gpu")["spec"]
    assert ours["limits"] == {"nvidia.com/gpu": "8"}  # two nodes of four
    purchase = {item["key"]: item["values"] for item in ours["template"]["spec"]["requirements"]}
    assert purchase["karpenter.sh/capacity-type"] == ["spot"]
    taints = {item["key"] for item in ours["template"]["spec"]["taints"]}
    assert taints == {"nvidia.com/gpu", "tandem/batch"}
    assert {item["key"] for item in theirs["template"]["spec"]["taints"]} == {"nvidia.com/gpu"}
    assert {item["key"] for item in pod()["tolerations"]} == taints
    assert pod()["nodeSelector"] == {"karpenter.sh/nodepool": "gpu-batch"}
    assert ours["disruption"]["consolidateAfter"] == "2m"
    assert ours["weight"] < theirs["weight"]


def test_what_servers_have_is_as_without_batches() -> None:
    """What is switched on replaces no pod."""
    without = manifests_of({key: value for key, value in SAMPLES["batch"].items() if key != "batch"})
    added = [(item["kind"], item["metadata"]["name"]) for item in manifests("batch") if item not in without]
    assert sorted(added) == [
        ("ConfigMap", "batch"),
        ("NetworkPolicy", "batch"),
        ("NodePool", "gpu-batch"),
        ("PodTemplate", "batch"),
        ("ServiceAccount", "batch"),
    ]
    assert [item for item in without if item not in manifests("batch")] == []
