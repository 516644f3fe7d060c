"""Where the load balancer and monitoring find servers: the same ports and path on each platform."""

from __future__ import annotations

SERVING_PORT = 8080
"""Of the edge; the load balancer's security group lets this one through."""
SERVER_PORT = 8000
"""Of the vLLM server behind a pod's edge, on the loopback interface."""
ROUTING_PORT = 8081
"""Of the edge of a pod: what edges of the same model's pods pass on to it."""
EDGE_METRICS_PORT = 9090
"""Of the edge: metrics of the servers and its own. On hosts on the loopback interface alone."""
EDGE_AGENT_PORT = 5514
"""Of the agent beside the edge, on the loopback interface: access log lines by UDP, counters by HTTP."""
HEALTH_PATH = "/healthz"
"""Of the edge. On hosts true only while a replica makes tokens; in a pod its probes see that: vLLM's /health can
be 200 while the engine hangs."""
