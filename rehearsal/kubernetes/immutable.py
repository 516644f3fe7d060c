"""Fields whose change makes the real provider replace an object: provider/pkg/provider/diff.go of pulumi-kubernetes.

Stands for: the list of fields in the plugin's diff.go.
Held by: nothing, it was copied by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SELECTOR = ("spec.selector",)
_ROLE_BINDING = ("roleRef",)

_VOLUME_SOURCES = (
    *("awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker"),
    *("gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk"),
    *("portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume"),
)

_FIELDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("apps/v1", "Deployment"): _SELECTOR,
    ("apps/v1", "DaemonSet"): _SELECTOR,
    ("apps/v1", "StatefulSet"): (
        *("spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector", "spec.serviceName"),
        "spec.volumeClaimTemplates",
    ),
    ("batch/v1", "Job"): ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): _ROLE_BINDING,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): _ROLE_BINDING,
    ("storage.k8s.io/v1", "StorageClass"): ("parameters", "provisioner"),
    ("v1", "PersistentVolume"): tuple(f"spec.{source}" for source in _VOLUME_SOURCES),
    ("v1", "PersistentVolumeClaim"): (
        *("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    ),
    ("v1", "ResourceQuota"): ("spec.scopes",),
    ("v1", "Service"): ("spec.clusterIP",),
    # of a pod's spec, all but what the API server lets change; the list there is longer than what is left out here
    ("v1", "Pod"): ("spec",),
}


def replacing_fields(object: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Paths of the fields whose change, or whose parts' change, replaces the object.

    Args:
        config: of the provider; it can make ConfigMaps and Secrets changeable.
    """
    kind = (object.get("apiVersion", ""), object.get("kind", ""))
    fields = ("metadata.name", "metadata.namespace", *_FIELDS.get(kind, ()))
    if kind == ("v1", "ConfigMap") and (object.get("immutable") or not _set(config, "enableConfigMapMutable")):
        fields += ("binaryData", "data")
    if kind == ("v1", "Secret") and (object.get("immutable") or not _set(config, "enableSecretMutable")):
        fields += ("type", "stringData", "data")
    return fields


def replaces(path: str, fields: tuple[str, ...]) -> bool:
    """Whether a change at the path is one of such a field, or of a part of it."""
    return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in fields)


def _set(config: Mapping[str, Any], name: str) -> bool:
    return config.get(name) in (True, "true")
