"""What a node's kubelet talks to beside its containers: a storage driver and the GPUs' device plugin.

Each is a server on a socket in the kubelet's directory for plugins, by which it finds them. Of each protocol only those
calls are answered that a kubelet makes for a pod of ours.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

Fields = dict[int, list[Any]]
VARINT, LENGTH = 0, 2


def encode(*fields: tuple[int, str | bytes]) -> bytes:
    """A protobuf message of these numbers with strings or messages."""
    return b"".join(
        _varint(number << 3 | LENGTH) + _varint(len(data)) + data
        for number, value in fields
        for data in [value.encode() if isinstance(value, str) else value]
    )


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def decode(data: bytes) -> Fields:
    """Values by number: bytes, or whole numbers."""
    found, at = Fields(), 0

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value

    while at < len(data):
        key = number()
        assert key & 7 in (VARINT, LENGTH), f"wire type {key & 7}: no message of these protocols has it"
        value: Any = number()
        if key & 7 == LENGTH:
            value, at = data[at : at + value], at + value
        found.setdefault(key >> 3, []).append(value)
    return found


def text(fields: Fields, number: int) -> str:
    """One string; empty without one."""
    return fields.get(number, [b""])[0].decode()


def pairs(fields: Fields, number: int) -> dict[str, str]:
    """A map of strings."""
    return {text(entry, 1): text(entry, 2) for entry in map(decode, fields.get(number, []))}


class Plugin(grpc.GenericRpcHandler):
    """A plugin that tells the kubelet who it is, by k8s.io/kubelet/pkg/apis/pluginregistration/v1.

    Attributes:
        refused: what the kubelet said when it did not take it.
    """

    kind: str
    version: str

    def __init__(self, name: str) -> None:
        self.name, self.endpoint, self.refused = name, "", ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        method = getattr(self, handler_call_details.method.rpartition("/")[2], None)  # type: ignore[attr-defined]
        if method is None:
            return None
        if method.__name__ == "ListAndWatch":
            return grpc.unary_stream_rpc_method_handler(method)
        return grpc.unary_unary_rpc_method_handler(method)

    def GetInfo(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return encode((1, self.kind), (2, self.name), (3, self.endpoint), (4, self.version))

    def NotifyRegistrationStatus(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        self.refused = text(decode(request), 2)
        return b""


class StorageDriver(Plugin):
    """The node's side of a CSI driver: it makes what a pod's volume is to show.

    Args:
        publish: fills a volume at a path, knowing the attributes of the volume and of its pod; by
            https://github.com/container-storage-interface/spec/blob/v1.9.0/csi.proto.
        remove: empties it again.

    Stands for: the CSI driver of EFS on a node.
    Held by: nothing, no file system of AWS's is in reach; the kubelet that asks is the real one.
    """

    kind, version = "CSIPlugin", "1.0.0"

    def __init__(self, name: str, publish: Callable[[Path, dict[str, str]], object], remove: Callable[[Path], object]):
        super().__init__(name)
        self.publish, self.remove = publish, remove
        self.asked: list[dict[str, str]] = []

    def GetPluginInfo(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return encode((1, self.name), (2, "0"))

    def NodeGetInfo(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return encode((1, "node"))

    def NodeGetCapabilities(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return b""

    def NodePublishVolume(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        fields = decode(request)
        attributes = {"volume": text(fields, 1), **pairs(fields, 8)}
        self.asked.append(attributes)
        target = Path(text(fields, 4))
        target.mkdir(exist_ok=True)
        self.publish(target, attributes)
        return b""

    def NodeUnpublishVolume(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        target = Path(text(decode(request), 2))
        if target.exists():
            self.remove(target)
        return b""


class Gpus(Plugin):
    """A device plugin with GPUs that nobody has: a container gets a played `nvidia-smi` and sees which it was given, as
    STUB_GPU_0=yes; by k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1.

    Stands for: NVIDIA's device plugin and container runtime.
    Held by: nothing, no GPU is in reach; the kubelet that counts and gives them is the real one.
    """

    kind, version = "DevicePlugin", "v1beta1"

    def __init__(self, count: int, tool: Path) -> None:
        super().__init__("nvidia.com/gpu")
        self.count, self.tool = count, tool

    def GetDevicePluginOptions(self, _request: bytes, _context: grpc.ServicerContext) -> bytes:
        return b""

    def ListAndWatch(self, _request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield encode(*((1, encode((1, str(number)), (2, "Healthy"))) for number in range(self.count)))
        over = threading.Event()
        context.add_callback(over.set)
        over.wait()  # nothing breaks here: the same until the kubelet hangs up

    def Allocate(self, request: bytes, _context: grpc.ServicerContext) -> bytes:
        tool = encode((1, "/usr/bin/nvidia-smi"), (2, str(self.tool)))
        containers = [[device.decode() for device in decode(container).get(1, [])] for container in decode(request)[1]]
        return encode(
            *(
                (1, encode(*((1, encode((1, f"STUB_GPU_{one}"), (2, "yes"))) for one in given), (2, tool)))
                for given in containers
            )
        )


@contextmanager
def serving(plugins: Sequence[Plugin], directory: Path) -> Iterator[None]:
    """Answers on a socket for each plugin in the kubelet's directory of plugins."""
    servers = []
    for number, plugin in enumerate(plugins):
        plugin.endpoint = str(directory / f"{number}.sock")
        server = grpc.server(ThreadPoolExecutor(8), handlers=[plugin])
        server.add_insecure_port(f"unix:{plugin.endpoint}")
        server.start()
        servers.append(server)
    try:
        yield
    finally:
        for server in servers:
            server.stop(grace=None).wait()


def efs(directory: Path, inside: Sequence[str]) -> StorageDriver:
    """The driver of EFS: a directory of the machine in place of the file system.

    Args:
        inside: what runs a command where the kubelet sees its mounts.
    """

    def mount(*command: str | Path) -> None:
        subprocess.run([*inside, *command], check=True)

    def remove(target: Path) -> None:
        mount("umount", target)
        target.rmdir()

    return StorageDriver("efs.csi.aws.com", lambda target, _: mount("mount", "--bind", directory, target), remove)
