"""What vLLM's server in a pod tells Prometheus of its queue.

Stands for: vLLM's metrics.
Held by: tests/real/test_engine.py::test_pods_are_played_with_the_metrics_of_a_real_server
"""

from __future__ import annotations

METRICS = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="{model}"}} {running}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="{model}"}} {waiting}
"""
"""Names and labels of vLLM 0.32.0."""


def vllm(model: str, waiting: float, running: float = 0.0) -> str:
    """The metrics of a server of a model in which requests wait, and run."""
    return METRICS.format(model=model, waiting=waiting, running=running)
