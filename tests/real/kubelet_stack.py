"""A stack's servers on a real node (kubelet.py): the program's own manifests, as it would send them.

What differs from an EKS node with GPUs:

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
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import kubelet
import node_plugins
from clients import Answer, ask
from machines import until

from infra.kubernetes.kubectl import Kubectl
from infra.kubernetes.names import GPU, GPU_NODE, NAMESPACE
from infra.kubernetes.workload import USER
from infra.ports import SERVING_PORT
from rehearsal.host import registry
from rehearsal.host.hub import Hub, serving
from rehearsal.kubernetes.api import Object
from rehearsal.kubernetes.build import KUBECTL
from tests.infra.kubernetes.samples import BASE, manifests_of

MODEL, KEY, TOKEN = BASE["inference"]["model"], "first-key-0123456789", "hf_" + "t" * 30
NAME, GPUS = "vllm-main", 4
LOAD_SECONDS = 11
"""Of a start: longer than PROBE_SECONDS, so that the startup probe looks in vain at least once."""
DRIVER = "580.159.04"
CPU, MEMORY = "100m", "512Mi"
SOONER = {"readinessProbe": {"failureThreshold": 1}, "livenessProbe": {"failureThreshold": 2, "periodSeconds": 5}}
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
OF_CONTROLLERS = (
    *("EC2NodeClass", "NodePool", "ScaledObject", "TargetGroupBinding"),
    "SecretProviderClass",  # the volume names it, its driver would read it
)
"""Kinds that are none of Kubernetes' own."""
PAUSE = ["python3", "-c", "import signal; signal.pause()"]


def declared() -> list[Object]:
    """What the program sends of Kubernetes' own kinds, with the pod changed as the top of this file says."""
    own = [one for one in manifests_of(SETTINGS) if one["kind"] not in OF_CONTROLLERS]
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
    """A cluster of one real node, with the stack's manifests.

    Attributes:
        hub: where pods download.
        efs: what they share.
        secrets: the driver that gives them keys.
        tool: their nvidia-smi.
    """

    node: kubelet.Node
    hub: Hub
    efs: Path
    secrets: node_plugins.StorageDriver
    tool: Path

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.node.plane.kubeconfig, str(KUBECTL.command("kubectl")))

    def pods(self) -> list[Object]:
        """The replicas', oldest first."""
        selector = f"app.kubernetes.io/instance={NAME}"
        found = self.node.plane.api.list("v1", "Pod", NAMESPACE, labelSelector=selector)
        return sorted(found, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    def pod(self, name: str) -> Object:
        """A pod that is there."""
        found = self.node.plane.api.get("v1", "Pod", name, NAMESPACE)
        assert found, f"pod {name} is gone"
        return found

    @property
    def template(self) -> Object:
        """Of the servers' pods."""
        [deployment] = self.node.plane.api.list("apps/v1", "Deployment", NAMESPACE)
        return deployment["spec"]["template"]

    @property
    def image(self) -> str:
        """That the servers run."""
        return self.template["spec"]["containers"][0]["image"]

    def alone(self, image: str, node: str) -> str:
        """Has a pod of the template run on a node, without GPUs, as nobody's replica; its name."""
        spec = self.template["spec"]
        for container in (*spec["initContainers"], *spec["containers"]):
            container["image"] = image
            for amounts in container["resources"].values():
                amounts.pop(GPU, None)
        made = self.node.plane.api.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"generateName": "alone-", "namespace": NAMESPACE},
                "spec": spec | {"nodeName": node},
            }
        )
        return made["metadata"]["name"]

    def restarts(self, name: str) -> int:
        return server_of(self.pod(name))["restartCount"]

    def events(self, name: str) -> list[str]:
        """Reason and message of a pod's."""
        found = self.node.plane.api.list("v1", "Event", NAMESPACE, fieldSelector=f"involvedObject.name={name}")
        return [f"{one['reason']}: {one['message']}" for one in found]

    def scale(self, replicas: int) -> None:
        """As the autoscaler does."""
        [deployment] = self.node.plane.api.list("apps/v1", "Deployment", NAMESPACE)
        self.node.plane.api.patch(deployment, {"spec": {"replicas": replicas}})

    def inside(self, pod: str, program: str) -> str:
        """What a Python program says in a server's container."""
        command = [KUBECTL.command("kubectl"), "--kubeconfig", self.node.plane.kubeconfig, "-n", NAMESPACE, "exec", pod]
        done = subprocess.run(
            [*command, "-c", "vllm", "--", "python3", "-c", program], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def signal(self, pod: str, number: signal.Signals) -> None:
        """To a server; where that ends, so does everything in its container."""
        with contextlib.suppress(AssertionError):
            self.inside(pod, f"import os; os.kill(1, {number.value})")

    def stream(self, pod: Object) -> socket.socket:
        """A client's connection, with a request whose answer takes a minute."""
        body = json.dumps({"model": MODEL, "prompt": "1", "max_tokens": 600, "stream": True})
        found = socket.create_connection((pod["status"]["podIP"], SERVING_PORT))
        head = f"POST /v1/completions HTTP/1.1\r\nHost: server\r\nAuthorization: Bearer {KEY}\r\n"
        found.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return found

    def completes(self, pod: Object, tokens: int = 1, **more: Any) -> Answer:
        """A client's request."""
        body = {"model": MODEL, "prompt": "1", "max_tokens": tokens, **more}
        return ask(SERVING_PORT, body, KEY, host=pod["status"]["podIP"])

    def driver(self, version: str) -> None:
        """What the node's nvidia-smi says; written in place, as containers have the file itself."""
        self.tool.write_text(f"#!/usr/bin/python3\nprint('{version}')\n")


def server_of(pod: Object) -> Object:
    """The status of its server."""
    [found] = pod["status"]["containerStatuses"]
    return found


def preparation_of(pod: Object) -> Object:
    """The status of its init container."""
    [found] = pod["status"]["initContainerStatuses"]
    return found


def waiting(pod: Object) -> dict[str, str]:
    """Why each container waits, by its name."""
    status = pod["status"]
    containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    return {one["name"]: one["state"]["waiting"]["reason"] for one in containers if "waiting" in one["state"]}


def when(text: str) -> float:
    """Seconds since 1970 of a time in the API, which is whole seconds."""
    return datetime.fromisoformat(text).timestamp()


def since(pod: Object, condition: str) -> float:
    """When a condition of a pod became what it is."""
    return next(when(one["lastTransitionTime"]) for one in pod["status"]["conditions"] if one["type"] == condition)


@contextlib.contextmanager
def on_a_node(directory: Path) -> Iterator[Cluster]:
    """The stack's servers, two replicas, on one node with four GPUs.

    Args:
        directory: an empty one.
    """
    efs = directory / "efs"
    for place in (efs, efs / "compile", efs / "compile" / NAME):
        place.mkdir(mode=0o750)
        os.chown(place, USER, USER)
    hub = Hub(MODEL, {"config.json": b"{}", "model.safetensors": bytes(range(256)) * 4096}, token=TOKEN)
    layers = registry.stub_layers(directory)  # before: in there is no network
    with kubelet.node() as node, serving(hub, kubelet.ADDRESS) as url:
        secrets = node_plugins.secrets({"vllm.yaml": json.dumps({"api-key": [KEY]}), "hub-token": TOKEN})
        found = Cluster(node, hub, efs, secrets, directory / "nvidia-smi")
        found.driver(DRIVER)
        found.tool.chmod(0o755)
        manifests = declared()
        [deployment] = [one for one in manifests if one["kind"] == "Deployment"]
        image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
        server = registry.image(layers, HF_ENDPOINT=url, STUB_LOAD_SECONDS=str(LOAD_SECONDS))
        registry.archive({image: server, kubelet.PAUSE: registry.image(layers, PAUSE)}, directory / "images.tar")
        node.bring(directory / "images.tar")
        plugins = [secrets, node_plugins.efs(efs, node.inside), node_plugins.Gpus(GPUS, found.tool)]
        taint = {"key": GPU, "value": "true", "effect": "NoSchedule"}
        with (
            node_plugins.serving(plugins, node.plugins),
            node.kubelet({GPU_NODE: "true", "topology.kubernetes.io/zone": "us-east-1a"}, [taint]),
        ):
            until(lambda: _gpus(node) == GPUS, "the node has its GPUs", 60)
            for one in (*OF_CHARTS, *manifests):
                node.plane.api.apply(one, "tandem")
            found.scale(2)
            yield found


def _gpus(node: kubelet.Node) -> int:
    [found] = node.plane.api.list("v1", "Node")
    return int(found["status"]["allocatable"].get(GPU, 0))
