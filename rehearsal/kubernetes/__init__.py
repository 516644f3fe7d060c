"""A real Kubernetes control plane for the real Pulumi engine: only nodes and their containers are played.

- `build.py` builds etcd, API server, controller manager, scheduler, kwok and the autoscalers once, from Go modules.
- `control_plane.py` starts them on 127.0.0.1, `nodes.py` makes GPU nodes, `api.py` is the client.
- `provider.py` is what the engine talks to instead of the kubernetes plugin: every object goes to the API server.
- `charts.py` says which controllers a Helm chart would bring; charts cannot be fetched, so their CRDs are what is real.
"""
