"""Manifests of platform `eks` as plain data (pure functions), and what runs inside a pod (in_pod.py)."""
