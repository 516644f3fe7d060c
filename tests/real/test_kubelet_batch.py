"""A batch's pods on a real kubelet, by a real Job: containers with one socket and the same GPUs, what ends them, and
who goes on.

As in kubelet_stack.py, but that the runner is the played one (tests/batch/played_runner.py), which takes its time; S3
is moto's, and claims are short. vLLM's own runner works in tests/real/test_batch.py, with the same worker.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import kubelet
import node_plugins
import pod_identity
import pytest
from buckets import made_empty
from kubelet_stack import CPU, GPUS, MODEL, NAME, OF_CHARTS, SETTINGS, TOKEN, containers_of
from moto.server import ThreadedMotoServer

from infra.kubernetes.pod import USER
from pulumi_rehearsal.kubernetes.api import Object, countdown
from pulumi_rehearsal.kubernetes.build import KUBECTL
from rehearsal.host import registry
from rehearsal.host.hub import Hub, serving
from tandem.errors import UserError
from tandem.kubernetes.jobs import job as job_of
from tandem.kubernetes.kubectl import Kubectl
from tandem.kubernetes.names import BATCH, BATCH_POOL, GPU, GPU_NODE, NAMESPACE, NODE_POOL, OF_BATCH
from tandem.scripts import shared
from tests.infra.kubernetes.samples import manifests_of

pytestmark = pytest.mark.real

job = shared("job", "batch")
BUCKET, ID, REQUESTS = "batches", "batch-1", 300
KINDS = (
    *("Namespace", "ServiceAccount", "ConfigMap", "NetworkPolicy"),
    *("PersistentVolume", "PersistentVolumeClaim", "PodTemplate"),
)
SOONER = {
    "job.py": ("LEASE_SECONDS = 120", "LEASE_SECONDS = 10"),
    "batch.py": ("KEEP_SECONDS = 10", "KEEP_SECONDS = 2"),
    "runner.py": ("time.sleep(0.002)", "time.sleep(0.25)"),
}
AS_VLLM = """\
    import signal
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    time.sleep(8)
    main(sys.argv[1])
"""
"""Ends as vLLM's runner does, and loads its model first."""
MEMORY = "256Mi"


def declared(lent_by: str, bucket: str) -> list[Object]:
    """What the program sends for batches, changed as the top of this file says."""
    own = [one for one in manifests_of(SETTINGS | {"batch": {"maxUsd": 20}}) if one["kind"] in KINDS]
    [template] = [one["template"] for one in own if one["kind"] == "PodTemplate"]
    for container in (*template["spec"]["initContainers"], *template["spec"]["containers"]):
        container["resources"]["requests"] |= {"cpu": CPU, "memory": MEMORY}
        container["resources"]["limits"]["memory"] = MEMORY
        for variable in container["env"]:
            if variable["name"] == "TANDEM_BATCH":
                variable["value"] = json.dumps(json.loads(variable["value"]) | {"url": bucket, "at_once": 8})
    pod_identity.lend(template, lent_by)
    [scripts] = [one["data"] for one in own if one["metadata"]["name"] == BATCH and one["kind"] == "ConfigMap"]
    played = Path(__file__).parents[1].joinpath("batch/played_runner.py").read_text()
    scripts["runner.py"] = played.replace("    main(sys.argv[1])\n", AS_VLLM)
    for name, (long, short) in SOONER.items():
        assert long in scripts[name]
        scripts[name] = scripts[name].replace(long, short)
    return own


@dataclass(frozen=True)
class Cluster:
    """A real node, a batch, and the Job that works at it."""

    node: kubelet.Node
    s3: Any

    def put(self, key: str, text: str) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=text.encode())

    def lines(self, kind: str) -> list[dict[str, Any]]:
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=job.place(ID, kind)).get("Contents", [])
        texts = [self.s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read().decode() for one in listed]
        return [json.loads(line) for text in texts for line in job.lines(text)]

    def has_kept(self, pod: str) -> bool:
        """Answers of this pod's own."""
        listed = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=job.place(ID, "answers")).get("Contents", [])
        return any(one["Key"].endswith(f"-{pod}.jsonl") for one in listed)

    @property
    def answered(self) -> int:
        return len({line["custom_id"] for kind in ("answers", "done") for line in self.lines(kind)})

    @property
    def pods(self) -> dict[str, Object]:
        found = self.node.plane.api.list("v1", "Pod", NAMESPACE, labelSelector=f"{OF_BATCH}={ID}")
        return {one["metadata"]["name"]: one for one in found}

    @property
    def ended(self) -> set[str]:
        [found] = self.node.plane.api.list("batch/v1", "Job", NAMESPACE)
        return {one["type"] for one in found["status"].get("conditions", ()) if one["status"] == "True"}

    @property
    def kubectl(self) -> Kubectl:
        return Kubectl(self.node.plane.kubeconfig, str(KUBECTL.command("kubectl")))

    def begin(self, pods: int) -> None:
        body = {"model": MODEL, "messages": []}
        lines = [
            json.dumps({"custom_id": f"r{number}", "method": "POST", "url": job.URLS[0], "body": body})
            for number in range(REQUESTS)
        ]
        parts = [*job.parts(lines)]
        for number, part in enumerate(parts, 1):
            self.put(job.place(ID, "input", number), "\n".join(part))
        self.put(f"jobs/{ID}/job.json", json.dumps({"parts": len(parts), "ends": 2**32}))
        self.put(job.CURRENT, json.dumps({"id": ID}))
        template = json.loads(self.kubectl.run("get", "podtemplate", BATCH, "--output", "json"))
        self.kubectl.create(job_of(template, ID, 1, pods, 3600))

    def kill(self, pod: str, container: str) -> None:
        """Ends what is in a container, `kubectl exec` with it, and nothing else."""
        program = f"import os; os.kill(1, {signal.SIGTERM.value})"
        with contextlib.suppress(UserError):
            self.kubectl.run("exec", pod, "--container", container, "--", "python3", "-c", program)

    def seen(self) -> str:
        states = {name: {one: it["state"] for one, it in containers_of(pod).items()} for name, pod in self.pods.items()}
        logs = [self.kubectl.run("logs", name, "--all-containers", "--prefix", "--tail", "30") for name in self.pods]
        return json.dumps(states, indent=1) + "\n".join(logs)

    def until(self, condition: Callable[[], object], what: str, seconds: float = 300) -> None:
        for left in countdown(seconds, poll_seconds=0.5):
            if condition():
                return
            assert left, f"{what}: not in {seconds} s: {self.seen()}"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    efs = tmp_path / "efs"
    for place in (efs, efs / "compile", efs / "compile" / NAME):
        place.mkdir(mode=0o750)
        os.chown(place, USER, USER)
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/usr/bin/python3\nprint('580.159.04')\n")
    tool.chmod(0o755)
    hub = Hub(MODEL, {"config.json": b"{}", "model.safetensors": bytes(4096)}, token=TOKEN)
    layers = registry.stub_layers(tmp_path)  # before: in there is no network
    store = pod_identity.Store({})
    with (
        kubelet.node() as node,
        serving(hub, kubelet.ADDRESS) as url,
        pod_identity.serving(store, kubelet.ADDRESS) as lent_by,
    ):
        server = ThreadedMotoServer(ip_address=kubelet.ADDRESS, port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        s3 = boto3.client(
            *("s3", "us-east-1"),
            endpoint_url=f"http://{host}:{port}",
            aws_access_key_id="x",
            aws_secret_access_key="y",
        )
        made_empty(s3, BUCKET)
        manifests = declared(lent_by, f"http://{host}:{port}/{BUCKET}")
        [files] = [one for one in manifests if "secrets.json" in one.get("data", {})]
        store.secrets[json.loads(files["data"]["secrets.json"])["hubToken"]] = TOKEN
        [template] = [one["template"]["spec"] for one in manifests if one["kind"] == "PodTemplate"]
        image = template["containers"][0]["image"]
        stub = registry.image(layers, HF_ENDPOINT=url)
        pause = registry.image(layers, ["python3", "-c", "import signal; signal.pause()"])
        registry.archive({image: stub, kubelet.PAUSE: pause}, tmp_path / "images.tar")
        node.bring(tmp_path / "images.tar")
        labels = {GPU_NODE: "true", NODE_POOL: BATCH_POOL}
        taints = [{"key": key, "value": "true", "effect": "NoSchedule"} for key in (GPU, OF_BATCH)]
        plugins = [node_plugins.efs(efs, node.inside), node_plugins.Gpus(GPUS, tool)]
        with node_plugins.serving(plugins, node.plugins), node.kubelet(labels, taints):
            for one in (*OF_CHARTS, *manifests):
                node.plane.api.apply(one, "tandem")
            yield Cluster(node, s3)
        server.stop()


def test_killed_taken_away_and_done_once(cluster: Cluster) -> None:
    cluster.begin(2)
    # Of each: a server that is killed while it loads has nobody who hears of its end.
    cluster.until(lambda: len([*filter(cluster.has_kept, cluster.pods)]) == 2, "the first answers are kept")
    assert len(cluster.pods) == 2, "which have all four GPUs: a container that prepares leaves its own to vLLM"
    first, second = sorted(cluster.pods)
    for pod in (first, second):
        names = {name: one["restartCount"] for name, one in containers_of(cluster.pods[pod]).items()}
        assert names == {"prepare": 0, "vllm": 0, "worker": 0}

    # vLLM ends, and comes again beside the same worker.
    cluster.kill(first, "vllm")
    cluster.until(lambda: containers_of(cluster.pods[first])["vllm"]["restartCount"] == 1, "vLLM is begun anew")
    before = cluster.answered
    cluster.until(lambda: cluster.answered >= before + 20, "both go on")
    assert containers_of(cluster.pods[first])["worker"]["restartCount"] == 0

    # A node takes a pod away; the Job makes another, which goes on with what it left.
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": second, "namespace": NAMESPACE}}
    cluster.node.plane.api.request("POST", f"/api/v1/namespaces/{NAMESPACE}/pods/{second}/eviction", eviction)
    cluster.until(lambda: second not in cluster.pods and len(cluster.pods) == 2, "another has come")
    cluster.until(lambda: cluster.ended, "the Job ends")
    assert cluster.ended >= {"Complete"}, cluster.seen()
    [found] = cluster.node.plane.api.list("batch/v1", "Job", NAMESPACE)
    assert found["status"].get("failed", 0) == 0, "what is taken away is no failure"
    assert {pod["status"]["phase"] for pod in cluster.pods.values()} == {"Succeeded"}

    done = cluster.lines("done")
    assert [line["custom_id"] for line in done] == [f"r{number}" for number in range(REQUESTS)]
    assert all(map(job.answered, done))
    assert {*Counter(line["custom_id"] for line in cluster.lines("answers")).values()} == {1}, "none was asked twice"
    said = cluster.kubectl.run("logs", first, "--container", "worker")
    assert "vLLM ended" in said
    assert "the batch is done" in said
