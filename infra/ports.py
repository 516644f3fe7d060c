"""Where the load balancer finds servers: one port and a path for each platform."""

from __future__ import annotations

SERVING_PORT = 8080
"""Of nginx on hosts and of vLLM in pods; the load balancer's security group lets this one through."""
HOST_HEALTH_PATH = "/healthz"
"""True only while a replica makes tokens; vLLM's own /health can be 200 while the engine hangs."""
POD_HEALTH_PATH = "/health"
"""For the load balancer; that a server makes tokens, its own probes see."""
