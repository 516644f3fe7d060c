"""Starts a real control plane on 127.0.0.1: etcd, API server, controller manager, scheduler, and kwok for the nodes.

Ready in a few seconds. Its state is a directory that goes away with it.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import urllib3
import yaml

from pulumi_rehearsal.kubernetes.api import Api, ApiError
from pulumi_rehearsal.kubernetes.build import CONTROL_PLANE, KWOK
from pulumi_rehearsal.kubernetes.certificates import Authority, signing_key
from pulumi_rehearsal.servers import free_ports, running

START_SECONDS = 60
"""Seconds that the API server may take; three on a quiet machine."""

SMALL = {"GOGC": "50"}
"""Environment of all: five processes of a cluster without load need little memory, and no speed."""

TWO_HOURS = {"spec": {"expirationSeconds": 7200}}

PODS = Path(__file__).with_name("pod_stages.yaml")

HOSTED = ("aws-load-balancer-controller", "karpenter", "keda-operator", "lws-controller-manager")
"""Service accounts of pods whose processes run beside the cluster (hosting.py)."""

RUNS = "pulumi-rehearsal/runs"
"""Annotation of such a pod: its process works."""

BAD_DIGEST = f"sha256:{'b' * 64}"
"""A pod whose image has it starts, and never serves."""

NODES_OF_KWOK = "kwok.x-k8s.io/node=fake"
"""Annotation of the nodes that kwok plays: ours, and those that Karpenter makes."""


@dataclass(frozen=True)
class Pace:
    """How often is looked at what changes, where every 15 seconds is usual.

    Attributes:
        autoscaler: how long between its looks at figures.
        scrapes: how long between Prometheus' looks at a pod.
    """

    autoscaler: str
    scrapes: str


QUICK = Pace("2s", "1s")


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that runs.

    Attributes:
        api: a client that may do everything.
        kubeconfig: for others who may do everything.
        token: of one who may do everything.
        authority: that signed the API server's certificate, for servers that the API server is to trust.
        directory: of logs and files.
    """

    api: Api
    kubeconfig: Path
    token: str
    authority: Authority
    directory: Path

    def kubeconfig_of(self, namespace: str, account: str) -> Path:
        """A kubeconfig of a service account, with a token that the API server gave for it."""
        head = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        config = yaml.safe_load(self.kubeconfig.read_text())
        config["users"][0]["user"] = {"token": self.api.request("POST", path, head | TWO_HOURS)["status"]["token"]}
        file = self.directory / f"kubeconfig-{namespace}-{account}"
        file.write_text(yaml.safe_dump(config))
        return file

    def log(self, command: str) -> str:
        """What a component has printed."""
        return (self.directory / f"{command}.log").read_text(errors="replace")


@contextmanager
def control_plane(pace: Pace = QUICK) -> Iterator[ControlPlane]:
    """Starts a control plane, and ends it with the block; `build.ensure` has built it before.

    Raises:
        RuntimeError: when it is not ready within a minute; the message ends with what the API server printed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="rehearsal-kubernetes-", ignore_cleanup_errors=True) as name,
        ExitStack() as up,
    ):
        directory = Path(name)
        etcd, peers, port = free_ports(3)
        plane = _files(directory, port)
        up.enter_context(_run(directory, _etcd(etcd, peers)))
        server = up.enter_context(_run(directory, _api_server(plane.authority, etcd, port)))
        _wait_until_ready(plane, server)
        for command in (_controller_manager(plane, pace), _scheduler(plane), _kwok(plane)):
            up.enter_context(_run(directory, command))
        yield plane


def _files(directory: Path, port: int) -> ControlPlane:
    """Keys, a token and a kubeconfig."""
    token = secrets.token_hex(20)
    (directory / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    signing_key(directory)
    authority = Authority(directory / "certificates")
    url = f"https://127.0.0.1:{port}"
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "rehearsal",
                "contexts": [{"name": "rehearsal", "context": {"cluster": "rehearsal", "user": "admin"}}],
                "clusters": [
                    {
                        "name": "rehearsal",
                        "cluster": {"server": url, "certificate-authority": str(authority.certificate)},
                    }
                ],
                "users": [{"name": "admin", "user": {"token": token}}],
            }
        )
    )
    return ControlPlane(Api(url, token, authority.certificate), kubeconfig, token, authority, directory)


def _run(directory: Path, command: Sequence[str | Path]) -> AbstractContextManager[subprocess.Popen[bytes]]:
    return running(command, directory / f"{Path(command[0]).name}.log", SMALL)


def _etcd(port: int, peers: int) -> list[str | Path]:
    here, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        CONTROL_PLANE.command("etcd"),
        *("--data-dir", "etcd", "--log-level", "error"),
        *("--listen-client-urls", here, "--advertise-client-urls", here),
        *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"),
        "--unsafe-no-fsync",  # nothing outlives a crash of the machine here
    ]


def _api_server(authority: Authority, etcd: int, port: int) -> list[str | Path]:
    serving = authority.issue("kube-apiserver", "kube-apiserver")
    proxy = authority.issue("front-proxy-client", "front-proxy-client")
    return [
        CONTROL_PLANE.command("kube-apiserver"),
        *("--etcd-servers", f"http://127.0.0.1:{etcd}"),
        *("--bind-address", "127.0.0.1", "--secure-port", str(port)),
        *("--tls-cert-file", serving.certificate, "--tls-private-key-file", serving.key),
        *("--token-auth-file", "tokens.csv", "--authorization-mode", "RBAC"),
        *("--service-account-key-file", "sa.pub", "--service-account-signing-key-file", "sa.key"),
        *("--service-account-issuer", "https://kubernetes.default.svc"),
        *("--service-cluster-ip-range", "10.0.0.0/16"),
        "--allow-privileged=true",  # the device plugin and the storage drivers are
        # for API servers beside it, such as KEDA's metrics
        *("--requestheader-client-ca-file", authority.certificate, "--requestheader-allowed-names", ""),
        *("--requestheader-username-headers", "X-Remote-User", "--requestheader-group-headers", "X-Remote-Group"),
        *("--requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        *("--proxy-client-cert-file", proxy.certificate, "--proxy-client-key-file", proxy.key),
    ]


def _controller_manager(plane: ControlPlane, pace: Pace) -> list[str | Path]:
    return [
        CONTROL_PLANE.command("kube-controller-manager"),
        *("--kubeconfig", plane.kubeconfig, "--secure-port", "0", "--leader-elect=false"),
        *("--service-account-private-key-file", "sa.key", "--use-service-account-credentials=false"),
        *("--root-ca-file", plane.authority.certificate),
        *("--horizontal-pod-autoscaler-sync-period", pace.autoscaler, "--pvclaimbinder-sync-period", "2s"),
        *("--kube-api-qps", "200", "--kube-api-burst", "400"),  # a look of the autoscaler is four requests
    ]


def _scheduler(plane: ControlPlane) -> list[str | Path]:
    command = CONTROL_PLANE.command("kube-scheduler")
    return [command, "--kubeconfig", plane.kubeconfig, "--secure-port", "0", "--leader-elect=false"]


def _kwok(plane: ControlPlane) -> list[str | Path]:
    command = KWOK.command("kwok")
    manages = f"--manage-nodes-with-annotation-selector={NODES_OF_KWOK}"
    stages = plane.directory / "pod_stages.yaml"
    names = ", ".join(json.dumps(name) for name in HOSTED)
    text = PODS.read_text().replace("IN(HOSTED)", f"IN({names})").replace('"RUNS"', json.dumps(RUNS))
    stages.write_text(text.replace("BAD_DIGEST", BAD_DIGEST))
    # without leases the nodes count as lost after 50 seconds
    return [
        *(command, "--kubeconfig", plane.kubeconfig, "--config", stages),
        *(manages, "--node-lease-duration-seconds=40"),
    ]


def _wait_until_ready(plane: ControlPlane, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if plane.api.request("GET", "/readyz") == "ok":
                return
        except (ApiError, urllib3.exceptions.HTTPError):
            time.sleep(0.1)
    raise RuntimeError(f"the API server did not start: {plane.log('kube-apiserver')[-2000:]}")
