"""A stack in a cluster that was there, on a real control plane: every object of others is as it was before."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from pulumi_rehearsal import engine
from pulumi_rehearsal.kubernetes import build, cluster, provider_plugin
from pulumi_rehearsal.kubernetes.api import Api, ApiError, Object
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane, control_plane
from pulumi_rehearsal.kubernetes.node_groups import let_nodes_join
from pulumi_rehearsal.kubernetes.watch import seconds_until
from pulumi_rehearsal.meanwhile import meanwhile
from pulumi_rehearsal.moto import Clients
from pulumi_rehearsal.stage import stage
from pulumi_rehearsal.workspace import Workspace
from rehearsal import placeholders
from rehearsal.account import simulated_account
from rehearsal.scene import PROJECT, _pins, pins_of
from tandem import pins
from tandem.catalog.instances import INSTANCE_TYPES
from tandem.kubernetes.names import NAMESPACE
from tandem.loading import load_stack_file
from tandem.ops import inventory
from tandem.ops.doctor.examination import Examination
from tandem.ops.doctor.run import run_check
from tandem.ops.rollout.cluster import of_stack
from tests.others_cluster import NAME, clusters, others_cluster
from tests.others_network import OthersNetwork
from tests.rehearsal.kubernetes.test_half_finished import kill_plugins
from tests.rehearsal.test_existing_cluster import FILE, others, refused_with
from tests.rehearsal.test_existing_network import forget_ended, theirs
from tests.rehearsal.watched import REGION, done

pytestmark = [pytest.mark.engine, pytest.mark.kubernetes, pytest.mark.long]

STACK = "dev"
BINDING = ("elbv2.k8s.aws/v1beta1", "TargetGroupBinding")
TOOLS = (*build.TOOLS_OF_THE_CONTROL_PLANE, build.PROVIDER)
CHARTS = ("keda", "aws-load-balancer-controller")
CHANGING = ("generation", "managedFields", "resourceVersion")
"""Of an object's metadata, what its controllers change all the time."""
AT_WORK = {"Endpoints", "EndpointSlice", "Event", "Lease", "ControllerRevision", "CSINode", "IPAddress"}
"""Kinds that controllers of the control plane write again and again."""


@dataclass(frozen=True)
class Others:
    """Somebody's cluster, with a stack's workspace beside it."""

    plane: ControlPlane
    clients: Clients
    network: OthersNetwork
    workspace: Workspace

    @property
    def api(self) -> Api:
        return self.plane.api

    def configure(self, **cluster: Any) -> None:
        file = self.workspace.stack_file
        document = yaml.safe_load(file.read_text())
        there = {"tandem:network": {"existing": self.network.settings}, "tandem:cluster": cluster}
        file.write_text(yaml.safe_dump({**document, "config": document["config"] | there}))

    def objects(self) -> dict[str, Object]:
        """Every object of the API server by its title, with its uid, and without what its controllers say of it."""
        self.api.forget_kinds()
        kinds = {(kind.path, kind.plural): kind for kind in self.api.kinds() if kind.kind not in AT_WORK}.values()
        found = (one for kind in kinds for one in self.api.list_where_served(kind.api_version, kind.kind))
        return {f"{one['apiVersion']} {cluster.title(one)}": _lasting(one) for one in found}


def _lasting(found: Object) -> Object:
    kept = copy.deepcopy({key: value for key, value in found.items() if key != "status"})
    kept["metadata"] = {key: value for key, value in kept["metadata"].items() if key not in CHANGING}
    return kept


def theirs_in(api: Api) -> None:
    """What a team has in its cluster: definitions, add-ons, and something of the kinds that a stack has."""
    wanted = [one for chart in CHARTS for one in build.custom_resource_definitions(chart)]
    for one in wanted:
        api.create(one)
    api.forget_kinds()
    for version, kind in (BINDING, ("keda.sh/v1alpha1", "ScaledObject")):
        api.wait_until_served(version, kind, 60)

    def make(api_version: str, kind: str, name: str = "theirs", namespace: str | None = "theirs", **more: Any) -> None:
        place = {"namespace": namespace} if namespace else {}
        api.create({"apiVersion": api_version, "kind": kind, "metadata": {"name": name, **place}, **more})

    labels = {"app": "theirs"}
    pod = {
        "metadata": {"labels": labels},
        "spec": {"tolerations": [{"operator": "Exists"}], "containers": [{"name": "one", "image": "theirs:1"}]},
    }
    chosen = {"selector": {"matchLabels": labels}, "template": pod}
    make("v1", "Namespace", namespace=None)
    make("scheduling.k8s.io/v1", "PriorityClass", namespace=None, value=7)
    make("storage.k8s.io/v1", "CSIDriver", "efs.csi.aws.com", None, spec={"attachRequired": False})
    for name in ("eks-pod-identity-agent", "nvidia-device-plugin-daemonset"):
        make("apps/v1", "DaemonSet", name, "kube-system", spec=chosen)
    args = {"name": "one", "image": "theirs:1", "args": ["--enable-network-policy=true"]}
    enforces = pod | {"spec": pod["spec"] | {"containers": [args]}}
    make("apps/v1", "DaemonSet", "aws-node", "kube-system", spec=chosen | {"template": enforces})
    make("apps/v1", "Deployment", spec=chosen)
    make("v1", "Service", spec={"selector": labels, "ports": [{"port": 80}]})
    make("v1", "ConfigMap", data={"of": "theirs"})
    make("policy/v1", "PodDisruptionBudget", spec={"selector": {"matchLabels": labels}, "maxUnavailable": 1})
    trigger = {"type": "cpu", "metricType": "Utilization", "metadata": {"value": "50"}}
    make("keda.sh/v1alpha1", "ScaledObject", spec={"scaleTargetRef": {"name": "theirs"}, "triggers": [trigger]})
    group = f"arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/theirs/{'0' * 16}"
    make(*BINDING, spec={"targetGroupARN": group, "targetType": "ip", "serviceRef": {"name": "theirs", "port": 80}})


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Others]:
    build.ensure(TOOLS, print)
    directory = tmp_path_factory.mktemp("there")
    for name in ("Pulumi.yaml", "infra", "images"):
        (directory / name).symlink_to(PROJECT / name)
    (directory / f"Pulumi.{STACK}.yaml").write_text(FILE, encoding="utf-8")
    with ExitStack() as up:
        account = up.enter_context(simulated_account())
        plane = up.enter_context(control_plane())
        clients = account.clients(REGION)
        network = OthersNetwork(clients("ec2"))
        account.lead_cluster(NAME, plane.api.url, plane.authority.base64)
        others_cluster(clients, network)
        theirs_in(plane.api)
        opened = up.enter_context(stage(STACK, engine.ensure(print), account, REGION, directory, beside=_pins))
        workspace = opened.workspace
        placeholders.fill(pins_of(workspace))
        placeholders.unpin_charts(pins_of(workspace))
        provider_plugin.install(workspace.directory / "home", workspace.directory / "bin", plane)
        found = Others(plane, clients, network, workspace)
        up.enter_context(meanwhile(lambda: nodes_join(plane.api, clients), 1))
        up.enter_context(meanwhile(lambda: bindings_are_looked_at(plane.api), 1))
        settled = seconds_until(lambda: len(plane.api.list("v1", "Pod")) == 4 * len(plane.api.list("v1", "Node")), 60)
        assert settled is not None
        yield found


def nodes_join(api: Api, clients: Clients) -> None:
    """What goes while it is looked at, the next look sees."""
    with suppress(ApiError, ClientError, TimeoutError):
        let_nodes_join(api, clients, {}, INSTANCE_TYPES)


def bindings_are_looked_at(api: Api) -> None:
    """As their controller says it: one that was seen.

    Stands for: the load balancer controller of somebody's cluster.
    Held by: tests/rehearsal/kubernetes/test_connections.py (the real one, in a stack's own cluster).
    """
    for one in api.list(*BINDING):
        if "observedGeneration" in one.get("status", {}):
            continue
        with suppress(ApiError):  # it has gone
            api.patch(one, {"status": {"observedGeneration": one["metadata"]["generation"]}}, "/status")


def test_the_doctor_reads_the_cluster(there: Others, monkeypatch: pytest.MonkeyPatch) -> None:
    there.configure(existing={"name": NAME})
    monkeypatch.setenv("PATH", str(there.workspace.directory / "bin"), prepend=":")
    settings = load_stack_file(there.workspace.stack_file)
    examination = Examination(
        stack=STACK,
        settings=settings,
        pins=pins.load(),
        clients=there.clients,
        home=there.clients,
        now=datetime.now(UTC),
    )
    assert [(one.severity, one.what) for one in run_check("existing cluster", examination)] == [
        ("ok", "the cluster that is there holds the stack")
    ]
    home = there.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    [found] = run_check("existing cluster", examination)
    assert found.what == f"Namespace {NAMESPACE}: is in the cluster already"
    refused_with(there.workspace, f"Namespace {NAMESPACE}: is in the cluster already")
    assert there.api.get("v1", "Namespace", NAMESPACE) is not None
    there.api.delete(home)
    assert seconds_until(lambda: there.api.get("v1", "Namespace", NAMESPACE) is None, 60) is not None
    workspace = there.workspace
    workspace.pulumi("state", "unprotect", "--all", "--yes")
    done(workspace.destroy())


def test_an_up_that_is_killed_while_it_asks_takes_over_nothing(there: Others, tmp_path: Path) -> None:
    """Adopted by its name the namespace would be the stack's, and go at `destroy` with all that is in it."""
    there.configure(existing={"name": NAME})
    workspace = there.workspace
    home = there.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    asked = tmp_path / "asked"
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\necho $* >> {asked}\nexec sleep 600\n")
    (tmp_path / "kubectl").chmod(0o755)
    environment = dict(workspace.environment)
    command = [workspace.command, "up", "--stack", STACK, "--yes", "--skip-preview", "--non-interactive"]
    slow = environment | {"PATH": f"{tmp_path}:{environment['PATH']}"}
    up = subprocess.Popen(command, cwd=workspace.directory, env=slow, stdout=subprocess.DEVNULL, start_new_session=True)
    assert seconds_until(lambda: asked.exists() and "Namespace" in asked.read_text(), 300) is not None
    os.killpg(up.pid, signal.SIGKILL)
    kill_plugins(workspace.directory / "home")
    assert up.wait() == -signal.SIGKILL
    recovered = subprocess.run(
        [Path(sys.executable).with_name("tandem"), "recover", STACK, "--yes"],
        cwd=workspace.directory,
        env=environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert recovered.returncode == 0, recovered.stderr + recovered.stdout
    assert "is in the cluster already" in recovered.stdout
    assert not [one for one in workspace.resources() if one["type"] == "kubernetes:core/v1:Namespace"]
    workspace.pulumi("state", "unprotect", "--all", "--yes")
    done(workspace.destroy())
    left = there.api.get("v1", "Namespace", NAMESPACE)
    assert left is not None
    assert left["metadata"]["uid"] == home["metadata"]["uid"]
    there.api.delete(home)
    assert seconds_until(lambda: there.api.get("v1", "Namespace", NAMESPACE) is None, 60) is not None


def test_it_comes_changes_and_goes_and_all_objects_of_others_are_as_they_were(
    there: Others, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, clients = there.workspace, there.clients
    there.configure(existing={"name": NAME})
    before, account, kept = there.objects(), clusters(clients("eks")), theirs(clients("ec2"))
    done(workspace.up())
    now = there.objects()
    assert {title: now.get(title) for title in before} == before
    assert f"v1 Namespace {NAMESPACE}" in now
    assert f"apps/v1 Deployment {NAMESPACE}/vllm-main" in now
    monkeypatch.setenv("PATH", str(workspace.directory / "bin"), prepend=":")
    with ExitStack() as up:
        [rollout] = of_stack(clients, STACK, workspace.outputs()["stackId"], REGION, up).look()
    assert (rollout.name, rollout.state) == ("vllm-main", "done")
    assert done(workspace.up()).changing() == []
    workspace.pulumi("config", "set", "--path", "tandem:scaling.waitingRequestsPerReplica", "9")
    assert done(workspace.up()).changing() != []
    now = there.objects()
    assert {title: now.get(title) for title in before} == before
    assert others(clusters(clients("eks")), account) == account
    workspace.pulumi("state", "unprotect", "--all", "--yes")
    done(workspace.destroy())
    gone = seconds_until(lambda: there.objects().keys() == before.keys(), 120)
    assert gone is not None, there.objects().keys() ^ before.keys()
    assert there.objects() == before
    assert clusters(clients("eks")) == account
    forget_ended(clients("ec2"))
    assert theirs(clients("ec2")) == kept
    left = {one.type.rpartition(":")[2] for one in inventory.find(clients, STACK).resources}
    assert left == {"Bucket", "FileSystem"}, "what holds data stays, as with any stack that is not ephemeral"
