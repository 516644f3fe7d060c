"""The disks of a GPU node: its EBS volumes by the family of its image, and its own NVMe drives as one."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Literal

Image = Literal["al2023", "bottlerocket"]
SYSTEM_GIB = 4
"""Bottlerocket's own: read only, with room for two images of it."""
BOUND = ("/var/lib/containerd", "/var/lib/kubelet", "/var/log/pods")
"""What of Bottlerocket lies on its NVMe drives; as Karpenter does it (pkg/providers/amifamily/bootstrap/bottlerocket.go
in karpenter-provider-aws v1.14.0)."""


def volumes(image: Image, data_gib: int) -> Mapping[str, int]:
    """Device to GiB, all that the image has: one that is not named keeps what the image says, which is not encrypted.

    Bottlerocket keeps its system and its data apart
    (https://bottlerocket.dev/en/os/latest/#/concepts/components/storage/).
    """
    return {"/dev/xvda": SYSTEM_GIB, "/dev/xvdb": data_gib} if image == "bottlerocket" else {"/dev/xvda": data_gib}


def user_data(image: Image) -> str:
    """What a node of a managed group is told, in base64: all NVMe drives are one, for images, weights and pods.

    EKS adds what joins the node to its cluster. Karpenter tells its own nodes the same, by `instanceStorePolicy`.
    A node without such drives stays as it is: https://github.com/awslabs/amazon-eks-ami/blob/main/nodeadm/doc/api.md,
    https://github.com/bottlerocket-os/bottlerocket-core-kit/tree/develop/sources/bootstrap-commands.
    """
    text = _bottlerocket() if image == "bottlerocket" else _al2023()
    return base64.b64encode(text.encode()).decode()


def _al2023() -> str:
    return """MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="//"

--//
Content-Type: application/node.eks.aws

apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  instance:
    localStorage:
      strategy: RAID0

--//--
"""


def _bottlerocket() -> str:
    storage = ["apiclient", "ephemeral-storage"]
    commands = [[*storage, "init"], [*storage, "bind", "--dirs", *BOUND]]
    return f"""[settings.bootstrap-commands.000-nvme]
commands = {json.dumps(commands)}
mode = "always"
essential = true
"""
