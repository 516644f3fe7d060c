"""What a cluster needs besides GPUs: a Kubernetes version in support, and the command that logs in to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from infra.catalog import prices
from ops.doctor.examination import Examination
from ops.doctor.finding import Finding


def login_command_is_there(examination: Examination) -> Iterator[Finding]:
    """`pulumi up` and `kubectl` run `aws eks get-token`: a kubeconfig holds a command, no credential."""
    if examination.settings.platform != "eks":
        return
    if path := shutil.which("aws"):
        yield Finding(severity="ok", what="the AWS command line logs in to the cluster", value=path)
    else:
        yield Finding(
            severity="error",
            what="there is no `aws` command, with which `pulumi up` logs in to the cluster",
            value="not on PATH",
            needed="the AWS command line, version 2",
            fix="https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
        )


def kubernetes_is_supported(examination: Examination) -> Iterator[Finding]:
    """EKS has the pinned version, in standard support: afterwards the control plane costs six times as much."""
    if examination.settings.platform != "eks":
        return
    version = examination.pins.kubernetes.version
    found = examination.clients("eks").describe_cluster_versions(clusterVersions=[version])["clusterVersions"]
    status = found[0]["versionStatus"] if found else "UNSUPPORTED"
    newer = "kubernetes.version in images/pins.toml, then `tandem pin --kubernetes --update`; docs/kubernetes.md"
    if status == "UNSUPPORTED":
        yield Finding(
            severity="error",
            what=f"EKS has no Kubernetes {version} in {examination.region}",
            value=version,
            needed="a version in standard support: `aws eks describe-cluster-versions`",
            fix=newer,
        )
        return
    ends = f"{found[0]['endOfStandardSupportDate']:%Y-%m-%d}"
    if status == "EXTENDED_SUPPORT":
        part = prices.parts(examination.region)
        yield Finding(
            severity="warning",
            what=f"Kubernetes {version} is in extended support: ${part.eks_extended_cluster_hour:.2f} an hour for the "
            f"control plane, not ${part.eks_cluster_hour:.2f}",
            value=f"standard support ended on {ends}",
            needed="a version in standard support",
            fix=newer,
        )
    else:
        yield Finding(severity="ok", what=f"Kubernetes {version} is in standard support", value=f"until {ends}")
