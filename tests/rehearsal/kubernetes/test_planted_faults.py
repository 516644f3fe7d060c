"""Faults that are planted in the project's own program: each is refused, or seen by the rehearsal, in words of its own.

What EKS itself refuses is planted in the simulator's tests, what a chart does not know in test_charts.py, fields that
Kubernetes' own kinds do not know in test_conformity.py: the provider drops those without a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pulumi_rehearsal.kubernetes.provider_plugin import RELEASE
from pulumi_rehearsal.operations import Operation
from rehearsal.expectations import Verdict
from rehearsal.kubernetes.connections import are_as_promised, connections
from rehearsal.kubernetes.expectations import call_what_their_roles_allow
from rehearsal.kubernetes.lent_roles import asked_by, lent_roles
from rehearsal.kubernetes.verdicts import of_cluster
from rehearsal.scene import Scene
from tandem.loading import load_stack_file
from tandem.ops import inventory
from tandem.ops.kinds.left_behind import cluster_name
from tests.rehearsal.kubernetes.scenes import scene_of

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

STACK = "planted"
PROGRAM = Path(__file__).parent / "planted"
FILE = """\
config:
  tandem:region: us-east-1
  tandem:platform: eks
  tandem:ephemeral: true
  tandem:fleet: {instanceTypes: [g6.12xlarge], maxHosts: 4}
  tandem:scaling: {minReplicas: 2, maxReplicas: 3, spread: nodes}
  tandem:inference: {model: Qwen/Qwen3-8B, maxModelLen: 32768}
"""
DEPLOYMENT = "kubernetes:apps/v1:Deployment", "deployment-vllm-main"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
POD = "spec", "template", "spec"
SERVER = *POD, "containers", 0


@dataclass(frozen=True)
class Fault:
    """One input of one resource, as somebody might get it wrong.

    Attributes:
        resource: type, and how the name ends.
        path: of the input.
        value: in its place; None takes it away, `{"replace": [this, that]}` changes a text.
        words: a pattern of what must be said.
    """

    resource: tuple[str, str]
    path: tuple[str | int, ...]
    value: Any
    words: str

    @property
    def planted(self) -> Mapping[str, Any]:
        type, name = self.resource
        return {"type": type, "name": name, "path": self.path, "value": self.value}


TOGETHER = {
    "ten minutes are what nobody declared": Fault(
        DEPLOYMENT, ("metadata", "annotations"), {}, r"vllm-main: `up` fails after 600 s"
    ),
    "no pod waits for the load balancer": Fault(
        ("kubernetes:core/v1:Namespace", "inference"), ("metadata", "labels"), {}, "has no readiness gate"
    ),
    "replicas crowd": Fault(
        DEPLOYMENT, (*POD, "topologySpreadConstraints"), [], r"asks for 1 nodes, scaling.spread promises 2"
    ),
    "a rollout takes all away": Fault(
        DEPLOYMENT,
        ("spec", "strategy"),
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "100%"}},
        "a rollout leaves 0 of 2, launchFirst promises all",
    ),
    "a drain takes all away": Fault(
        ("kubernetes:policy/v1:PodDisruptionBudget", "vllm-main"),
        ("spec", "maxUnavailable"),
        "100%",
        "a drain may leave 0 of 2",
    ),
    "KEDA keeps fewer": Fault(
        ("kubernetes:keda.sh/v1alpha1:ScaledObject", "vllm-main"),
        ("spec", "minReplicaCount"),
        1,
        r"KEDA keeps 1, scaling.minReplicas promises 2",
    ),
    "Karpenter lacks a right": Fault(
        (ROLE_POLICY, "karpenter-nodes"),
        ("policy",),
        {"replace": ["ec2:DescribeInstanceStatus", "ec2:DescribeHosts"]},
        "karpenter calls ec2:DescribeInstanceStatus",
    ),
    "the load balancer's controller lacks a right": Fault(
        (ROLE_POLICY, "load-balancer-targets"),
        ("policy",),
        {"replace": ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:DeleteRule"]},
        "aws-load-balancer-controller calls elasticloadbalancing:DeregisterTargets",
    ),
    "everybody may talk to servers": Fault(
        (POLICY, "networkpolicy-servers"), ("spec", "ingress"), [{}], "the internet may talk to vllm-main:8080"
    ),
    "servers may talk to nobody": Fault(
        (POLICY, "networkpolicy-servers"), ("spec", "egress"), [], "vllm-main cannot talk to"
    ),
}
"""`up` ends green with these, together, and the rehearsal does not."""

ALONE = {
    "the server sees no GPU": Fault(DEPLOYMENT, (*SERVER, "resources"), {}, "a server has 0 GPUs, 2 are promised"),
    "a pod that admission refuses": Fault(
        DEPLOYMENT, (*SERVER, "securityContext", "allowPrivilegeEscalation"), True, "0 of 2 replicas are of its last"
    ),
    "a field that a CRD does not know": Fault(
        ("kubernetes:karpenter.sh/v1:NodePool", "nodepool-gpu"),
        (*POD, "expireafter"),
        "1h",
        "expireafter: field not declared in schema",
    ),
    "a second access entry of a role": Fault(
        ("aws:eks/accessEntry:AccessEntry", "gpu-nodes"),
        ("type",),
        "STANDARD",
        "access entry resource is already in use",
    ),
    "a role that is not there": Fault(
        ("aws:eks/accessEntry:AccessEntry", "gpu-nodes"),
        ("principalArn",),
        {"replace": ["gpu-node", "gpu-nodes"]},
        "role with name .* cannot be found",
    ),
    "a chart's value that is missing": Fault(
        (RELEASE, "karpenter"),
        ("values", "settings", "clusterName"),
        None,
        r"cannot be installed without a valid settings.clusterName",
    ),
    "a chart that there is not": Fault(
        (RELEASE, "karpenter"), ("version",), "99.0.0", 'chart "karpenter" version "99.0.0" not found'
    ),
    "a name that is none": Fault(
        ("kubernetes:core/v1:ConfigMap", "in-pod"), ("metadata", "name"), "In_Pod", 'Invalid value: "In_Pod"'
    ),
}
"""These stop `up`, or hide others."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene_of(tmp_path_factory.mktemp("planted"), STACK, FILE, PROGRAM) as scene:
        assert said(scene) == ""
        yield scene


def plant(scene: Scene, *faults: Fault) -> None:
    """From now on the program has these."""
    (scene.workspace.directory / "planted.json").write_text(json.dumps([fault.planted for fault in faults]))


def said(scene: Scene, *faults: Fault) -> str:
    """What an `up` with these faults, and the rehearsal after it, have to say against it."""
    plant(scene, *faults)
    up = scene.workspace.up()
    return "\n".join([*errors(up), *(words for verdict in verdicts(scene) for words in verdict.violations)])


def errors(up: Operation) -> list[str]:
    return [] if up.succeeded else [message for message in up.messages if not message.startswith("warning")]


def verdicts(scene: Scene) -> list[Verdict]:
    assert scene.cluster is not None
    state, settings = scene.workspace.resources(), load_stack_file(scene.workspace.stack_file)
    reach = connections(scene.cluster, inventory.find(scene.clients, STACK).resources, settings.monitoring_namespaces)
    lent = lent_roles(scene.clients, cluster_name(STACK))
    return [
        *of_cluster(scene.cluster, state, settings),
        are_as_promised(reach),
        call_what_their_roles_allow(asked_by(scene.cluster), lent),
    ]


@pytest.mark.parametrize("name", ALONE)
def test_a_fault_is_refused_or_seen(scene: Scene, name: str) -> None:
    fault = ALONE[name]
    assert re.search(fault.words, said(scene, fault))


def test_faults_that_are_planted_together_are_seen_each_for_itself(scene: Scene) -> None:
    words = said(scene, *TOGETHER.values())
    assert [name for name, fault in TOGETHER.items() if not re.search(fault.words, words)] == [], words


def test_nothing_is_said_once_they_are_gone(scene: Scene) -> None:
    assert said(scene) == ""
