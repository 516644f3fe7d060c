"""A real Kubernetes control plane for the real Pulumi engine: only nodes and their containers are played.

- `build.py` builds etcd, API server, controller manager, scheduler, kwok, controllers and provider, once.
- `control_plane.py` starts it on 127.0.0.1, `nodes.py` makes GPU nodes, `api.py` is the client.
- `provider_plugin.py` installs Pulumi's own provider, `charts.py` serves the charts that it installs.
- `hosting.py` runs the controllers that charts bring: `karpenter.py`, `load_balancer.py`, `pipelines.py`, `keda.py`.
- `node_groups.py` and `instances.py` let nodes join, `cluster.py` holds all of it together.
"""
