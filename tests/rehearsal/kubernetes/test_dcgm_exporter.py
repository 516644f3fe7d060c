"""NVIDIA's exporter of GPU metrics, as docs/alarms.md has it installed beside the program's own Prometheus.

Beside this file lies what its makers have of it (https://github.com/NVIDIA/dcgm-exporter, tag 4.5.3-4.8.2, Apache 2.0):
the chart of deployment/, and metrics.txt, which the exporter's own code wrote: counters of etc/default-counters.csv,
its renderer, and its pod mapper, which asked a kubelet's socket about three GPUs, two of them a server's. Values, card
and names are made up there; the exporter needs a GPU to run whole.
"""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulumi_rehearsal.kubernetes import build
from pulumi_rehearsal.kubernetes.prometheus import SCRAPE_JOB
from pulumi_rehearsal.kubernetes.watch import seconds_until
from tandem.kubernetes.names import GPU, GPU_NODE, NAMESPACE
from tandem.ops.load import soak
from tests.infra.kubernetes.samples import manifests_of
from tests.observing.growing import growing
from tests.observing.live import started
from tests.rehearsal.kubernetes import helm

HERE = Path(__file__).parent / "dcgm-exporter"
# Stands for: NVIDIA's exporter on a node with GPUs
# Held by: nothing, it needs a GPU; its own code wrote this answer, by written_by.go beside it.
METRICS = (HERE / "metrics.txt").read_text(encoding="utf-8")
DOCS = (Path(__file__).parents[3] / "docs/alarms.md").read_text(encoding="utf-8")
SERVER, IDLE = "vllm-main-6b5b49bdf8-fr8b8", "GPU-2"
STACK = {
    "region": "us-east-1",
    "platform": "eks",
    "fleet": {"instanceTypes": ["g6.12xlarge"], "maxHosts": 2},
    "inference": {"model": "Qwen/Qwen3-8B"},
}


def installed() -> tuple[list[str], Mapping[str, Any]]:
    """The words of docs/alarms.md's command, and the values that it sets."""
    [block] = re.findall(r"```\n(helm install dcgm-exporter .*?)```", DOCS, re.DOTALL)
    words, values = shlex.split(block.replace("\\\n", " ")), dict[str, Any]()
    for flag, text in itertools.pairwise(words):
        if flag in ("--set", "--set-string"):
            path, _, value = text.partition("=")
            put(values, re.split(r"(?<!\\)\.", path), value if flag == "--set-string" or value != "false" else False)
    return words, values


def put(place: dict[str, Any], path: list[str], value: Any) -> None:
    """As Helm reads `--set`: a dot with a backslash is none, and [0] a list's first."""
    name, listed = path[0].replace("\\.", ".").removesuffix("[0]"), path[0].endswith("[0]")
    if len(path) == 1:
        place[name] = value
    else:
        below = place.setdefault(name, [{}] if listed else {})
        put(below[0] if listed else below, path[1:], value)


@pytest.fixture(scope="module")
def manifests() -> list[Any]:
    build.ensure((build.PROVIDER,), print)
    words, values = installed()
    version = words[words.index("--version") + 1]
    archive = HERE / f"dcgm-exporter-{version}.tgz"
    [answer] = helm.rendered(archive, values, namespace=words[words.index("--namespace") + 1])
    texts = [text for name, text in answer["manifests"].items() if name.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


@pytest.fixture(scope="module")
def pod(manifests: list[Any]) -> Any:
    [found] = [one["spec"]["template"] for one in manifests if one["kind"] == "DaemonSet"]
    return found


@pytest.mark.kubernetes
def test_no_operator_is_wanted(manifests: list[Any]) -> None:
    assert {one["apiVersion"] for one in manifests} == {"v1", "apps/v1", "rbac.authorization.k8s.io/v1"}


@pytest.mark.kubernetes
def test_it_runs_on_the_programs_gpu_nodes_and_takes_no_gpu(pod: Any) -> None:
    [pool] = [one for one in manifests_of(STACK) if one["kind"] == "NodePool"]
    node = pool["spec"]["template"]
    assert [one["key"] for one in node["spec"]["taints"]] == [GPU]
    assert pod["spec"]["tolerations"] == [{"operator": "Exists"}]
    assert pod["spec"]["nodeSelector"] == {GPU_NODE: "true"}
    assert pod["spec"]["nodeSelector"].items() <= node["metadata"]["labels"].items()
    assert GPU not in str(pod["spec"]["containers"])


@pytest.mark.kubernetes
def test_it_knows_pods_and_counts_what_is_looked_at(manifests: list[Any], pod: Any) -> None:
    [container] = pod["spec"]["containers"]
    assert {"name": "DCGM_EXPORTER_KUBERNETES", "value": "true"} in container["env"]
    [counters] = [one["data"]["metrics"] for one in manifests if one["kind"] == "ConfigMap"]
    counted = {line.split(",")[0].strip() for line in counters.splitlines() if line and not line.startswith("#")}
    named = set(re.findall(r"DCGM_FI_\w+", DOCS)) | {name for name in soak.WATCHED if name.startswith("DCGM_")}
    assert len(named) > 1
    assert named <= counted
    assert named <= set(re.findall(r"(?m)^# TYPE (\S+) gauge$", METRICS))


@pytest.mark.kubernetes
def test_the_programs_prometheus_finds_it_and_keeps_the_names_of_servers(pod: Any, tmp_path: Path) -> None:
    """By the job of the program's chart, which lets labels of the answer count before those of the pod that gave it."""
    told, [container] = pod["metadata"]["annotations"], pod["spec"]["containers"]
    assert told["prometheus.io/port"] == str(container["ports"][0]["containerPort"])
    assert {"name": "DCGM_EXPORTER_LISTEN", "value": f":{told['prometheus.io/port']}"} in container["env"]
    with growing(METRICS) as port:
        labels = {
            "__meta_kubernetes_pod_annotation_prometheus_io_scrape": told["prometheus.io/scrape"],
            "__meta_kubernetes_pod_annotation_prometheus_io_port": str(port),
            "__meta_kubernetes_pod_ip": "127.0.0.1",
            "__meta_kubernetes_namespace": "gpu-metrics",
            "__meta_kubernetes_pod_name": "dcgm-exporter-x7k2p",
        }
        job = yaml.safe_load(SCRAPE_JOB.read_text(encoding="utf-8"))
        del job["kubernetes_sd_configs"]
        job["static_configs"] = [{"targets": ["127.0.0.1:1"], "labels": labels}]
        every = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        with started({"global": every, "scrape_configs": [job]}, tmp_path) as live:
            assert seconds_until(lambda: bool(live.ask("DCGM_FI_DEV_FB_USED")), 60) is not None
            found = {one["metric"]["UUID"]: one["metric"] for one in live.ask("DCGM_FI_DEV_FB_USED")}
    whose = {uuid: (one["namespace"], one["pod"], one.get("container")) for uuid, one in found.items()}
    assert whose == {
        "GPU-0": (NAMESPACE, SERVER, "vllm"),
        "GPU-1": (NAMESPACE, SERVER, "vllm"),
        IDLE: ("gpu-metrics", "dcgm-exporter-x7k2p", None),
    }


def test_a_soak_reads_each_gpus_memory() -> None:
    with growing(METRICS) as port:
        told, silent = soak.look([f"http://127.0.0.1:{port}/metrics"])
    assert (silent, [name for name, _ in told]) == ([], ["DCGM_FI_DEV_FB_USED"] * 3)
