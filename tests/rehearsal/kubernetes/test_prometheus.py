"""The real Prometheus finds the program's pods, and the program's queries find their queue."""

from __future__ import annotations

from collections.abc import Callable

import urllib3

from pulumi_rehearsal.kubernetes import prometheus_command
from pulumi_rehearsal.kubernetes.api import Api, countdown
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane
from pulumi_rehearsal.kubernetes.prometheus import Prometheus, prometheus
from pulumi_rehearsal.kubernetes.watch import seconds_until
from rehearsal.kubernetes.disruption import all_back
from rehearsal.kubernetes.vllm_metrics import vllm
from tandem.kubernetes.names import NAMESPACE
from tests.rehearsal.kubernetes.conftest import of_the_program, servers_of_the_program

SECONDS = 30


def answer(server: Prometheus, query: str) -> float | None:
    """What KEDA would get; None without a value."""
    found = urllib3.request("GET", f"{server.url}/api/v1/query", fields={"query": query}).json()["data"]["result"]
    return float(found[0]["value"][1]) if found else None


def comes_to(value: float | None, look: Callable[[], float | None]) -> bool:
    return any(look() == value for _ in countdown(SECONDS))


def test_the_programs_query_comes_to_the_queue_of_the_programs_pods(kubernetes: ControlPlane, api: Api) -> None:
    servers, scaled = servers_of_the_program(replicas=2), of_the_program("ScaledObject")
    waiting, running = (trigger["metadata"]["query"] for trigger in scaled["spec"]["triggers"])
    name = servers["metadata"]["name"]
    namespace = api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    prometheus_command.ensure(print)
    try:
        api.apply(servers, "test")
        assert seconds_until(lambda: all_back(api), SECONDS)
        with prometheus(kubernetes, vllm) as found:
            assert comes_to(2, lambda: answer(found, waiting.replace("sum", "count")))
            found.servers.waiting[name] = 28
            assert comes_to(28, lambda: answer(found, waiting))
            assert answer(found, running) == 0
            found.servers.waiting[name] = 0
            assert comes_to(0, lambda: answer(found, waiting))
            api.delete(servers)
            assert comes_to(None, lambda: answer(found, waiting))
    finally:
        api.delete(namespace)
        assert seconds_until(lambda: api.get("v1", "Namespace", NAMESPACE) is None, SECONDS)
