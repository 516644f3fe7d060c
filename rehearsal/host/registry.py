"""A container image as a registry hands it out, pulled by digest: the hub's real client, and a stub of the server.

Stands for: a registry, and the vLLM image in it.
Held by: tests/real/test_boot.py::test_a_server_has_its_two_gpus_no_privilege_and_no_secret (Docker itself pulls and
    runs it).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulumi_rehearsal import engine_build
from pulumi_rehearsal.cache import cache_directory
from rehearsal.host import hub_client
from rehearsal.host.guest_image import run

NAME = "vllm/vllm-openai"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Image:
    """An image: its manifest, and its other blobs by digest."""

    manifest: bytes
    blobs: dict[str, bytes]

    def get(self, path: str) -> tuple[bytes, str] | None:
        """What the registry's API has at a path: bytes and their kind."""
        if path == "/v2/":
            return b"{}", "application/json"
        if path == f"/v2/{NAME}/manifests/{digest(self.manifest)}":
            return self.manifest, MANIFEST
        data = self.blobs.get(path.removeprefix(f"/v2/{NAME}/blobs/"))
        return (data, "application/octet-stream") if data else None


def stub(directory: Path) -> Path:
    """The binary that plays vLLM, built."""
    binary = directory / "vllm"
    go = engine_build.toolchain(cache_directory(), print)
    run(
        *(go, "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", binary, "."),
        cwd=Path(__file__).with_name("stub"),
        env={**os.environ, "CGO_ENABLED": "0"},
    )
    return binary


def server_layer(binary: Path) -> bytes:
    """The server, and an empty /tmp."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(binary, "usr/bin/vllm")
        scratch = tarfile.TarInfo("tmp")
        scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(scratch)
    return layer.getvalue()


def stub_layers(directory: Path) -> list[bytes]:
    """The hub's real client and the stub of the server, not compressed: emulated guests unpack slowly."""
    return [hub_client.layer(hub_client.NEWEST), server_layer(stub(directory))]


def image(layers: Sequence[bytes], command: Sequence[str] = (), stop: str = "SIGTERM", **variables: str) -> Image:
    """An image of layers, with what its containers run, end by, and find in their environment."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Env": [f"{name}={value}" for name, value in {"PATH": "/usr/bin", **variables}.items()],
                "Cmd": list(command),
                "StopSignal": stop,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest(layer) for layer in layers]},
        }
    ).encode()

    def described(data: bytes, kind: str) -> dict[str, str | int]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(config, "config.v1+json"),
        "layers": [described(layer, "layer.v1.tar") for layer in layers],
    }
    return Image(json.dumps(manifest).encode(), {digest(data): data for data in (config, *layers)})


def archive(images: Mapping[str, Image], file: Path) -> None:
    """Writes images by their names as one archive in the form of an OCI layout, which `ctr image import` takes."""
    blobs: dict[str, bytes] = {}
    index = []
    for name, one in images.items():
        blobs |= one.blobs | {digest(one.manifest): one.manifest}
        here = {"mediaType": MANIFEST, "digest": digest(one.manifest), "size": len(one.manifest)}
        index.append({**here, "annotations": {"io.containerd.image.name": name}})
    files = {f"blobs/{name.replace(':', '/')}": data for name, data in blobs.items()}
    files["oci-layout"] = json.dumps({"imageLayoutVersion": "1.0.0"}).encode()
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": index}).encode()
    with tarfile.open(file, "w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
