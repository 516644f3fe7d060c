"""A queue over the pods that are scraped: what they say adds up to it."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from pulumi_rehearsal.kubernetes.api import Object
from pulumi_rehearsal.kubernetes.played_servers import INSTANCE, STALE_SECONDS, PlayedServers, Shares
from pulumi_rehearsal.kubernetes.pod_discovery import target_group

PODS = ("a", "b", "c")


def pod(name: str, address: str = "10.0.0.1", phase: str = "Running", model: str = "vllm-main") -> Object:
    annotations = {"prometheus.io/port": "8080"}
    metadata = {"namespace": "inference", "name": name, "uid": name, "annotations": annotations}
    return {
        "metadata": metadata | {"labels": {INSTANCE: model}},
        "spec": {"nodeName": "node", "containers": [{"ports": [{"containerPort": 8080}]}]},
        "status": {"phase": phase, "podIP": address, "hostIP": "10.1.0.1"},
    }


def waiting(servers: PlayedServers, address: str, now: float = 0) -> float:
    status, text = servers.scrape(f"http://{address}:8080/metrics", now)
    assert status == 200
    return float(text.rpartition(" ")[2])


def told(shares: Shares) -> dict[str, float]:
    return {name: share for name, (share, _) in shares.told.items()}


def asked(
    shares: Shares, queue: float, *pods: str, running: tuple[str, ...] = PODS, now: float = 0
) -> dict[str, float]:
    for name in pods:
        shares.of(name, queue, set(running), now)
    return told(shares)


def test_a_queue_is_shared_evenly_once_all_have_been_asked() -> None:
    shares = Shares()
    asked(shares, 0, *PODS)
    assert asked(shares, 9, *PODS) == {"a": 3, "b": 3, "c": 3}


def test_a_new_pod_does_not_add_to_the_queue() -> None:
    shares = Shares()
    asked(shares, 8, "a")
    assert asked(shares, 8, "b", "a", "b") == {"a": 8, "b": 0}
    assert asked(shares, 12, "b", "a") == {"a": 8, "b": 4}


@pytest.mark.parametrize(("running", "now"), [(("b", "c"), 1.0), (PODS, STALE_SECONDS + 1)])
def test_what_waited_in_a_pod_moves_on_when_it_is_gone_and_forgotten(running: tuple[str, ...], now: float) -> None:
    shares = Shares()
    asked(shares, 0, *PODS)
    asked(shares, 9, *PODS)
    assert asked(shares, 9, "b", "c", running=running, now=now) == {"a": 3, "b": 3, "c": 3}
    assert asked(shares, 9, "b", "c", running=("b", "c"), now=STALE_SECONDS + 1) == {"b": 4.5, "c": 4.5}


def test_the_sum_is_never_off_for_longer_than_a_round() -> None:
    shares, noise = Shares(), random.Random(3)
    for _ in range(200):
        queue = noise.uniform(0, 10)
        for name in noise.sample(PODS, 3):
            shares.of(name, queue, set(PODS), 0)
        assert sum(told(shares).values()) == pytest.approx(queue)


def test_each_model_has_its_own_queue() -> None:
    servers = PlayedServers(lambda: [pod("a"), pod("b", "10.0.0.2", model="vllm-other")])
    servers.waiting = {"vllm-main": 7}
    servers.discover()
    assert (waiting(servers, "10.0.0.1"), waiting(servers, "10.0.0.2")) == (7, 0)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://10.0.0.1:8080/metrics", 200),
        ("http://10.0.0.1:8080/", 404),
        ("http://10.0.0.1:9090/metrics", 502),
        ("http://10.0.0.2:8080/metrics", 502),  # waits for a node
        ("http://10.0.0.3:8080/metrics", 502),  # nobody's
    ],
)
def test_only_servers_that_run_answer_and_only_where_they_do(url: str, status: int) -> None:
    servers = PlayedServers(lambda: [pod("a"), pod("b", "10.0.0.2", phase="Pending")])
    servers.discover()
    assert servers.scrape(url, now=0)[0] == status


def test_a_pod_answers_once_it_has_started() -> None:
    long_ago, just_now = pod("a"), pod("b", "10.0.0.2")
    long_ago["status"]["startTime"] = "2026-01-01T00:00:00Z"
    just_now["status"]["startTime"] = datetime.now(UTC).isoformat()
    servers = PlayedServers(lambda: [long_ago, just_now])
    servers.start_seconds = 600
    servers.discover()
    assert [servers.scrape(f"http://10.0.0.{number}:8080/metrics", now=0)[0] for number in (1, 2)] == [200, 502]
    assert servers.serving("vllm-main") == 1


def test_pods_without_an_address_are_not_discovered() -> None:
    without = pod("a") | {"status": {"phase": "Pending"}}
    assert PlayedServers(lambda: [without, pod("b")]).discover() == [target_group(pod("b"))]


def test_a_sidecar_is_scraped_at_its_own_port() -> None:
    """It stands among the init containers, which discovery reads too."""
    beside = pod("a")
    beside["spec"]["initContainers"] = [{"restartPolicy": "Always", "ports": [{"containerPort": 9090}]}]
    servers = PlayedServers(lambda: [beside])
    assert servers.discover()[0]["targets"] == ["10.0.0.1:8080", "10.0.0.1:9090"]
    assert servers.scrape("http://10.0.0.1:9090/metrics", now=0)[0] == 200


def test_a_pod_is_discovered_in_the_words_of_prometheus() -> None:
    prefix = "__meta_kubernetes"
    assert target_group(pod("a")) == {
        "targets": ["10.0.0.1:8080"],
        "labels": {
            f"{prefix}_namespace": "inference",
            f"{prefix}_pod_name": "a",
            f"{prefix}_pod_uid": "a",
            f"{prefix}_pod_ip": "10.0.0.1",
            f"{prefix}_pod_phase": "Running",
            f"{prefix}_pod_node_name": "node",
            f"{prefix}_pod_host_ip": "10.1.0.1",
            f"{prefix}_pod_label_app_kubernetes_io_instance": "vllm-main",
            f"{prefix}_pod_labelpresent_app_kubernetes_io_instance": "true",
            f"{prefix}_pod_annotation_prometheus_io_port": "8080",
            f"{prefix}_pod_annotationpresent_prometheus_io_port": "true",
        },
    }
