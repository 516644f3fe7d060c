"""A node for real: a control plane, a kubelet, and the distribution's containerd, runc and network plugins.

All in namespaces of their own for network, mounts and processes: no port, mount, process or file of theirs is the
machine's, and all ends with the first process in there. Control groups are the machine's; theirs are removed.

The API server finds the kubelet by the node's name, `localhost`, since it looks names up.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from pulumi_rehearsal.cache import cache_directory, make_once
from pulumi_rehearsal.distribution import unpack
from pulumi_rehearsal.kubernetes.api import Object, countdown
from pulumi_rehearsal.kubernetes.build import CONTROL_PLANE, KUBECTL, KUBELET, KWOK, ensure
from pulumi_rehearsal.kubernetes.control_plane import ControlPlane, control_plane
from pulumi_rehearsal.kubernetes.nodes import wait_for_nodes
from pulumi_rehearsal.servers import running

PACKAGES = ("containerd", "runc", "containernetworking-plugins")
NODE, ADDRESS = "localhost", "10.9.0.2"
PODS = "10.88.0.0/24"
PAUSE = "registry.k8s.io/pause:3.6"
CGROUPS = Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000
"""Of <linux/sched.h>; Python's own os.setns is of 3.12."""
SYSCTLS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
"""What a kubelet sets on its machine, which is to stay as it is: it reads there what it wants.
https://github.com/kubernetes/kubernetes/blob/v1.35.4/pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables"""

HOLDER = f"""
set -e
read -r pid _ < /proc/self/stat
mount -t proc proc /proc
for directory in /run /var/lib /var/log; do mount -t tmpfs tmpfs $directory; done
mkdir /run/values
for setting in {" ".join(f"{name}={value}" for name, value in SYSCTLS.items())}; do
  file=/run/values/$(echo ${{setting%=*}} | tr / .)
  echo ${{setting#*=}} > $file
  mount --bind $file /proc/sys/${{setting%=*}}
done
ip link set lo up
ip link add node0 type veth peer name wire0
ip addr add {ADDRESS}/24 dev node0
ip link set node0 up
ip link set wire0 up
ip route add default via 10.9.0.1 dev node0
echo $pid
exec cat
"""
"""The first process: prepares all, says its process id as the machine knows it, and ends when its input does."""


CONTAINERD = """
version = 2
root = "{directory}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"] # it makes /opt/containerd
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true # a machine's root may lack CAP_SYS_RESOURCE
  disable_apparmor = true # the kernel would keep its profile
  sandbox_image = "{pause}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{parts}/usr/lib/cni"
    conf_dir = "{directory}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      BinaryName = "{parts}/usr/sbin/runc"
"""
NETWORK = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}
"""Between pods and their node; nothing here enforces network policies."""


def configuration(directory: Path, taints: Sequence[Object]) -> Object:
    """Of a kubelet: its own defaults, but for where it runs."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "clusterDNS": ["10.0.0.10"],
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi"},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,  # no registry has the images again
        "registerWithTaints": list(taints),
        "volumePluginDir": str(directory / "volumeplugins"),
    }


@dataclass(frozen=True)
class Node:
    """A node that can run pods once its kubelet runs.

    Attributes:
        plane: its control plane.
        directory: of logs and files.
        parts: what is the distribution's.
        inside: what runs a command where the node's processes are.
    """

    plane: ControlPlane
    directory: Path
    parts: Path
    inside: tuple[str | Path, ...]

    @property
    def plugins(self) -> Path:
        """Where the kubelet finds plugins."""
        return self.directory / "kubelet" / "plugins_registry"

    def log(self, name: str) -> str:
        """What `containerd` or `kubelet` has printed."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def bring(self, archive: Path) -> None:
        """Gives it images, as nothing can be pulled here."""
        ctr = self.parts / "usr/bin/ctr"
        subprocess.run([*self.inside, ctr, "-n", "k8s.io", "image", "import", archive], check=True, capture_output=True)

    @contextmanager
    def kubelet(self, labels: Mapping[str, str], taints: Sequence[Object]) -> Iterator[None]:
        """Runs the kubelet; the node is ready in the block, and ends with its namespaces, whatever runs on it."""
        file = self.directory / "kubelet.yaml"
        file.write_text(yaml.safe_dump(configuration(self.directory, taints)))
        command = [
            *(*self.inside, KUBELET.command("kubelet"), "--config", file, "--kubeconfig", self.plane.kubeconfig),
            *("--root-dir", self.directory / "kubelet", "--cert-dir", self.directory / "certificates"),
            *("--hostname-override", NODE, "--node-ip", ADDRESS, "--v=2"),
            *("--node-labels", ",".join(f"{key}={value}" for key, value in labels.items())),
        ]
        with running(command, self.directory / "kubelet.log"):
            try:
                wait_for_nodes(self.plane.api, [NODE], 60)
            except TimeoutError:
                raise AssertionError(f"the kubelet brought no node: {self.log('kubelet')[-3000:]}") from None
            yield


def parts() -> Path:
    """Sees to everything that is built or unpacked; the directory of what is the distribution's.

    Raises:
        UserError: a build fails.
        AssertionError: this machine cannot run a node, or the packages cannot be had.
    """
    missing = [
        name for name in ("unshare", "nsenter", "setpriv", "ip", "apt-get", "dpkg-deb") if not shutil.which(name)
    ]
    assert not missing, f"a node needs {', '.join(missing)}: tools/real/install.sh"
    assert os.geteuid() == 0, "a node needs root: for namespaces, mounts and control groups"
    ensure((CONTROL_PLANE, KUBECTL, KWOK, KUBELET), print)
    home = cache_directory() / "kubernetes" / "containerd"

    def take(directory: Path) -> None:
        wrong = unpack(PACKAGES, directory, print)
        assert not wrong, f"{', '.join(PACKAGES)} cannot be had: {wrong}"

    make_once(home, home.is_dir, take, "containerd", print)
    return home


@contextmanager
def node() -> Iterator[Node]:
    """A control plane and a containerd, in namespaces of their own, where this thread is until the block ends."""
    found = parts()
    with (
        _alone(),
        tempfile.TemporaryDirectory(prefix="tandem-node-", ignore_cleanup_errors=True) as name,
        _apart() as inside,
        control_plane() as plane,
    ):
        directory = Path(name)
        one = Node(plane, directory, found, (*inside, "env", f"PATH={found}/usr/bin:{os.environ['PATH']}"))
        one.plugins.mkdir(parents=True)
        (directory / "pods.conflist").write_text(json.dumps(NETWORK))
        file = directory / "containerd.toml"
        file.write_text(CONTAINERD.format(directory=directory, parts=found, pause=PAUSE))
        with running([*one.inside, found / "usr/bin/containerd", "--config", file], directory / "containerd.log"):
            for left in countdown(30):
                version = [*one.inside, found / "usr/bin/ctr", "version"]
                if subprocess.run(version, capture_output=True, check=False).returncode == 0:
                    break
                assert left, f"containerd does not answer: {one.log('containerd')[-3000:]}"
            yield one


@contextmanager
def _alone() -> Iterator[None]:
    """One node at a time: the control groups of all have the same names."""
    with (cache_directory() / "kubernetes" / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not _cgroups(), f"a kubelet runs on this machine already, or did not end well: {_cgroups()[0]}"
        yield


@contextmanager
def _apart() -> Iterator[tuple[str, ...]]:
    """Namespaces of their own; what runs a command in there. This thread is in the network's, with those that it
    starts."""
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", HOLDER]
    holder = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert holder.stdout
    assert holder.stdin
    try:
        said = holder.stdout.readline().strip()
        if not said.isdigit():
            raise AssertionError(f"this machine gives root no namespaces of its own, which a node needs: {said}")
        with _in_network(Path(f"/proc/{said}/ns/net")):
            # what runs in there ends with its nsenter
            yield ("nsenter", f"--target={said}", "--net", "--mount", "--pid", "setpriv", "--pdeathsig=KILL")
    finally:
        holder.stdin.close()
        holder.wait(timeout=60)
        _remove_cgroups()


@contextmanager
def _in_network(other: Path) -> Iterator[None]:
    """Has this thread in another network until the block ends."""
    with Path("/proc/thread-self/ns/net").open() as own, other.open() as there:
        _set_network(there.fileno())
        try:
            yield
        finally:
            _set_network(own.fileno())


def _set_network(file: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(file, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _cgroups() -> list[Path]:
    """Those of a kubelet, of both versions."""
    return [*CGROUPS.glob("kubepods"), *CGROUPS.glob("*/kubepods")]


def _remove_cgroups() -> None:
    """What the kubelet made; all processes in them have ended."""
    for root in _cgroups():
        for path in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
            path.rmdir()
        root.rmdir()
