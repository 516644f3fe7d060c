"""A stack's servers on a real node (kubelet.py): the program's own manifests, as it would send them.

What differs from an EKS node with GPUs:

* the image, under its own name: the guest's stub of vLLM with the hub's real client; its environment has HF_ENDPOINT,
  which leads to the played hub, and STUB_LOAD_SECONDS, for a start that takes a while;
* EFS is a directory, handed out by a driver of a few lines (node_plugins.py) through the volume that the manifests
  declare. The access point's owner is played: its directory is there before the pods;
* the role is lent by a played webhook and a played agent, with the API server's real tokens, and Secrets Manager is
  played, too (pod_identity.py); the edge's image is this machine's nginx (edge_image.py);
* GPUs are numbers of a played device plugin, which brings a played nvidia-smi;
* CPU and memory of a pod are what this machine has (CPU, MEMORY);
* a hung server is given up sooner (SOONER): at the manifest's own pace it takes four and a half minutes;
* nothing enforces network policies, and no load balancer opens readiness gates: its webhook adds them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
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
import pod_identity
from asking import Answer, ask
from edge import ALICE, document, key_of
from edge_image import edge_image
from machines import until

from infra.kubernetes.pod import USER
from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.build import KUBECTL
from rehearsal.host import registry
from rehearsal.host.hub import Hub, serving
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import GPU, GPU_NODE, NAMESPACE
from tandem.ports import SERVING_PORT
from tests.infra.kubernetes.samples import BASE, manifests_of

MODEL, TOKEN = BASE["inference"]["model"], "hf_" + "t" * 30
NAME, GPUS = "vllm-main", 4
LOAD_SECONDS = 11
"""Of a start: longer than PROBE_SECONDS, so that the startup probe looks in vain at least once."""
DRIVER = "580.159.04"
CPU, MEMORY = "100m", "512Mi"
SOONER = {"readinessProbe": {"failureThreshold": 1}, "livenessProbe": {"failureThreshold": 2, "periodSeconds": 5}}
BATCH, QUEUE = 24, 24
"""Requests that a server takes: few, so that a busy machine has them all at once before the first ends."""
SETTINGS = BASE | {
    "inference": BASE["inference"] | {"maxNumSeqs": BATCH, "maxQueuedRequests": QUEUE},
    "scaling": {"minReplicas": 1},
    "huggingFaceToken": TOKEN,
    # All clients come from one address here.
    "edge": {"requestsPerSecondPerClient": 10_000, "connectionsPerClient": 10_000},
}
OF_CHARTS = (
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "efs.csi.aws.com"},
        "spec": {"attachRequired": False},
    },
)
"""As the driver's own add-on declares itself."""
OF_CONTROLLERS = ("EC2NodeClass", "NodePool", "ScaledObject", "TargetGroupBinding")
"""Kinds that are none of Kubernetes' own."""
PAUSE = ["python3", "-c", "import signal; signal.pause()"]


def declared(lent_by: str) -> list[Object]:
    """What the program sends of Kubernetes' own kinds, with the pod changed as the top of this file says.

    Args:
        lent_by: address of what lends the pods' role.
    """
    log = (r"arn:aws:mock:([\w-]+:\d+):LogGroup/([\w-]+)", r"arn:aws:logs:\1:log-group:\2")
    own = [
        json.loads(re.sub(*log, json.dumps(one)))  # the agent reads the group's name in its ARN
        for one in manifests_of(SETTINGS)
        if one["kind"] not in OF_CONTROLLERS
    ]
    [deployment] = [one for one in own if one["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    for container in (*pod["initContainers"], *pod["containers"]):
        container["resources"]["requests"] |= {"cpu": CPU, "memory": MEMORY if GPU in _limits(container) else "64Mi"}
        if GPU in _limits(container):
            container["resources"]["limits"]["memory"] = MEMORY
    pod_identity.lend(deployment["spec"]["template"], lent_by)
    for probe, changed in SOONER.items():
        pod["containers"][0][probe] |= changed
    return own


def _limits(container: Object) -> Object:
    return container["resources"]["limits"]


@dataclass
class Cluster:
    """A cluster of one real node, with the stack's manifests.

    Attributes:
        hub: where pods download.
        efs: what they share.
        store: where they read who may enter.
        tool: their nvidia-smi.
    """

    node: kubelet.Node
    hub: Hub
    efs: Path
    store: pod_identity.Store
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
        head = f"POST /v1/completions HTTP/1.1\r\nHost: server\r\nAuthorization: Bearer {key_of('alice')}\r\n"
        found.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        return found

    def completes(
        self, pod: Object, tokens: int = 1, key: str | None = key_of("alice"), seconds: float = 600, **more: Any
    ) -> Answer:
        """A client's request, for which it waits so long."""
        body = {"model": MODEL, "prompt": "1", "max_tokens": tokens, **more}
        return ask(SERVING_PORT, body, key, host=pod["status"]["podIP"], seconds=seconds)

    def admits(self, *names: str) -> None:
        """Who may enter from now on."""
        [arn] = [arn for arn in self.store.secrets if "issued" in arn]
        self.store.secrets[arn] = json.dumps(document(**{name: {} for name in names}))

    def driver(self, version: str) -> None:
        """What the node's nvidia-smi says; written in place, as containers have the file itself."""
        self.tool.write_text(f"#!/usr/bin/python3\nprint('{version}')\n")


def server_of(pod: Object) -> Object:
    """The status of its server."""
    [found] = pod["status"]["containerStatuses"]
    return found


def preparation_of(pod: Object) -> Object:
    """The status of its init container that ends."""
    return containers_of(pod)["prepare"]


def containers_of(pod: Object) -> dict[str, Object]:
    """The status of each container, by name."""
    status = pod["status"]
    return {one["name"]: one for kind in ("initContainerStatuses", "containerStatuses") for one in status.get(kind, ())}


def waiting(pod: Object) -> dict[str, str]:
    """Why each container waits, by its name."""
    states = {name: one["state"] for name, one in containers_of(pod).items()}
    return {name: state["waiting"]["reason"] for name, state in states.items() if "waiting" in state}


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
    store = pod_identity.Store({})
    with (
        kubelet.node() as node,
        serving(hub, kubelet.ADDRESS) as url,
        pod_identity.serving(store, kubelet.ADDRESS) as lent_by,
    ):
        found = Cluster(node, hub, efs, store, directory / "nvidia-smi")
        found.driver(DRIVER)
        found.tool.chmod(0o755)
        manifests = declared(lent_by)
        [files] = [one for one in manifests if "secrets.json" in one.get("data", {})]
        secrets = json.loads(files["data"]["secrets.json"])
        store.secrets |= {secrets["hubToken"]: TOKEN, secrets["keys"][0]: json.dumps(ALICE)}
        [deployment] = [one for one in manifests if one["kind"] == "Deployment"]
        pod = deployment["spec"]["template"]["spec"]
        image, edge = pod["containers"][0]["image"], pod["initContainers"][1]["image"]
        server = registry.image(layers, HF_ENDPOINT=url, STUB_LOAD_SECONDS=str(LOAD_SECONDS))
        images = {image: server, edge: edge_image(), kubelet.PAUSE: registry.image(layers, PAUSE)}
        registry.archive(images, directory / "images.tar")
        node.bring(directory / "images.tar")
        plugins = [node_plugins.efs(efs, node.inside), node_plugins.Gpus(GPUS, found.tool)]
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
