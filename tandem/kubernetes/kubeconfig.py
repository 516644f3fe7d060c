"""How `kubectl` and the Kubernetes provider reach a cluster."""

from __future__ import annotations

import json


def kubeconfig(region: str, name: str, endpoint: str, authority: str) -> str:
    """A kubeconfig that asks the AWS command line for a token; JSON is YAML."""
    arguments = ["--region", region, "eks", "get-token", "--cluster-name", name, "--output", "json"]
    entry = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": arguments}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": endpoint, "certificate-authority-data": authority}}],
            "users": [{"name": name, "user": {"exec": entry}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        }
    )
