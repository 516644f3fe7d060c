"""Manifests of platform `eks` as plain data (pure functions); what runs inside a pod is in cloud-init/pod."""
