"""The pods of a stack on a real kubelet: Debian's containerd, the real hub client, our scripts, a stub for the server.

The manifests are the program's own, as it would send them. What differs from an EKS node with GPUs:

* the image, under its own name: the guest's stub of vLLM with the hub's real client; its environment has HF_ENDPOINT,
  which leads to the played hub, and STUB_LOAD_SECONDS, for a start that takes a while;
* EFS and Secrets Manager are a directory and files, handed out by drivers of a few lines (node_plugins.py), through the
  volumes that the manifests declare. The access point's owner is played: its directory is there before the pods;
* GPUs are numbers of a played device plugin, which brings a played nvidia-smi;
* CPU and memory of a pod are what this machine has (CPU, MEMORY);
* a hung server is given up sooner (SOONER): at the manifest's own pace it takes four and a half minutes;
* nothing enforces network policies, and no load balancer opens readiness gates: its webhook adds them.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import kubelet
import node_plugins
import pytest
from clients import Answer, ask
from machines import expected, until

from infra.kubernetes.kubectl import Kubectl
from infra.kubernetes.rollouts import stage
from infra.kubernetes.shared import NAMESPACE, PORT
from infra.kubernetes.workload import DEREGISTRATION_SECONDS, GPU, GPU_NODE, HUNG_GRACE_SECONDS, USER
from infra.scripts import sources
from rehearsal.host import registry
from rehearsal.host.hub import Hub, serving
from rehearsal.kubernetes.api import Object
from rehearsal.kubernetes.build import KUBECTL
from rehearsal.kubernetes.nodes import is_ready
from tests.infra.kubernetes.samples import BASE, manifests_of

pytestmark = pytest.mark.real

MODEL, KEY, TOKEN = BASE["inference"]["model"], "first-key-0123456789", "hf_" + "t" * 30
NAME, GPUS, LOAD_SECONDS = "vllm-main", 4, 12
CPU, MEMORY = "100m", "512Mi"
SOONER = {"readinessProbe": {"failureThreshold": 1}, "livenessProbe": {"failureThreshold": 2, "periodSeconds": 5}}
LOOK_SECONDS = 25
"""What probe.py takes to see that an engine hangs."""

SETTINGS = BASE | {"scaling": {"minReplicas": 1}, "huggingFaceToken": TOKEN}
OF_CHARTS = (
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "secrets-store.csi.k8s.io"},
        "spec": {"attachRequired": False, "podInfoOnMount": True, "volumeLifecycleModes": ["Ephemeral"]},
    },
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "efs.csi.aws.com"},
        "spec": {"attachRequired": False},
    },
)
"""As the drivers' own charts declare themselves."""
STATUS = "print(open('/proc/1/status').read())"
PAUSE = ["python3", "-c", "import signal; signal.pause()"]


def declared() -> list[Object]:
    """What a stack's program sends of Kubernetes' own kinds, with the pod changed as the top of this file says."""
    own = [one for one in manifests_of(SETTINGS) if one["apiVersion"].count(".") < 1 or ".k8s.io/" in one["apiVersion"]]
    own = [one for one in own if not one["apiVersion"].startswith(("secrets-store", "elbv2"))]
    [deployment] = [one for one in own if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        container["resources"]["requests"] |= {"cpu": CPU, "memory": MEMORY}
        container["resources"]["limits"]["memory"] = MEMORY
    for probe, changed in SOONER.items():
        pod["containers"][0][probe] |= changed
    return own


@dataclass
class Cluster:
    """A cluster of one real node, with the stack's manifests."""

    node: kubelet.Node
    hub: Hub
    efs: Path
    secrets: node_plugins.StorageDriver

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.node.plane.kubeconfig, str(KUBECTL.command("kubectl")))

    def pods(self) -> list[Object]:
        """The servers', oldest first."""
        found = self.node.plane.api.list("v1", "Pod", NAMESPACE)
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def pod(self, name: str) -> Object | None:
        return self.node.plane.api.get("v1", "Pod", name, NAMESPACE)

    def events(self, name: str) -> list[str]:
        """Reason and message of a pod's."""
        found = self.node.plane.api.list("v1", "Event", NAMESPACE, fieldSelector=f"involvedObject.name={name}")
        return [f"{one['reason']}: {one['message']}" for one in found]

    def scale(self, replicas: int) -> None:
        [deployment] = self.node.plane.api.list("apps/v1", "Deployment", NAMESPACE)
        self.node.plane.api.patch(deployment, {"spec": {"replicas": replicas}})

    def inside(self, pod: str, program: str) -> str:
        """What a Python program says in a server's container."""
        command = [*(KUBECTL.command("kubectl"), "--kubeconfig", self.node.plane.kubeconfig, "-n", NAMESPACE)]
        command += ["exec", pod, "-c", "vllm", "--", "python3", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node that has four played GPUs, and the stack's manifests with one replica."""
    directory = tmp_path_factory.mktemp("kubelet")
    efs = directory / "efs"
    for place in (efs, efs / "compile", efs / "compile" / NAME):
        place.mkdir(mode=0o750)
        os.chown(place, USER, USER)
    tool = directory / "nvidia-smi"
    tool.write_text("#!/usr/bin/python3\nprint('580.159.04')\n")
    tool.chmod(0o755)
    hub = Hub(MODEL, {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 4096}, token=TOKEN)
    layers = registry.stub_layers(directory)  # before: in there is no network
    with kubelet.node() as node, serving(hub, kubelet.ADDRESS) as url:
        manifests = declared()
        [name] = {
            one["spec"]["template"]["spec"]["containers"][0]["image"]
            for one in manifests
            if one["kind"] == "Deployment"
        }
        server = registry.image(layers, HF_ENDPOINT=url, STUB_LOAD_SECONDS=str(LOAD_SECONDS))
        registry.archive({name: server, kubelet.PAUSE: registry.image(layers, PAUSE)}, directory / "images.tar")
        node.bring(directory / "images.tar")
        secrets = node_plugins.secrets({"vllm.yaml": json.dumps({"api-key": [KEY]}), "hub-token": TOKEN})
        plugins = [secrets, node_plugins.efs(efs, node.inside), node_plugins.Gpus(GPUS, tool)]
        taint = {"key": GPU, "value": "true", "effect": "NoSchedule"}
        with (
            node_plugins.serving(plugins, node.plugins),
            node.kubelet({GPU_NODE: "true", "topology.kubernetes.io/zone": "us-east-1a"}, [taint]),
        ):
            until(lambda: _gpus(node) == GPUS, "the node has its GPUs", 60)
            for one in (*OF_CHARTS, *manifests):
                node.plane.api.apply(one, "tandem")
            yield Cluster(node, hub, efs, secrets)


def _gpus(node: kubelet.Node) -> int:
    [found] = node.plane.api.list("v1", "Node")
    return int(found["status"]["allocatable"].get(GPU, 0))


def test_x(cluster: Cluster) -> None:
    t = time.time()
    last = ""
    while time.time() - t < 100:
        for p in cluster.pods():
            now = (
                f"{p['metadata']['name']} {stage(p)} "
                + json.dumps(p.get("status", {}).get("containerStatuses", [{}])[0].get("state"))
                + json.dumps(p.get("status", {}).get("initContainerStatuses", [{}])[0].get("state"))
            )
            if now != last:
                print(round(time.time() - t, 1), now)
                last = now
        if cluster.pods() and is_ready(cluster.pods()[0]):
            break
        time.sleep(0.1)
    p = cluster.pods()[0]
    print(json.dumps(p["status"], indent=1))
    print("\n".join(cluster.events(p["metadata"]["name"])))
    print(cluster.kubectl.run("logs", p["metadata"]["name"], "--all-containers"))
    print(cluster.inside(p["metadata"]["name"], STATUS))
    print(
        cluster.inside(
            p["metadata"]["name"],
            "import os;print(os.environ);print(open('/proc/self/mountinfo').read()); import subprocess; [print(os.stat(d), d) for d in ['/tandem/server.py','/run/secrets/tandem/vllm.yaml','/local','/models','/cache','/tmp','/dev/shm', '/run/secrets/tandem']]",
        )
    )
    print(cluster.secrets.asked, cluster.hub.downloads())
