"""A container image as a registry hands it out: the stub of the vLLM server, pulled by digest over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path

from rehearsal import engine_build
from rehearsal.cache import cache_directory
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


def stub_image(directory: Path) -> Image:
    """One static binary under both of its names."""
    binary = stub(directory)
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(binary, "usr/bin/vllm")
        link = tarfile.TarInfo("usr/bin/hf")
        link.type, link.linkname = tarfile.SYMTYPE, "vllm"
        tar.addfile(link)
        scratch = tarfile.TarInfo("tmp")
        scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(scratch)
    packed = gzip.compress(layer.getvalue(), 1)
    config = json.dumps(
        {
            "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [digest(layer.getvalue())]},
        }
    ).encode()  # fmt: skip
    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": f"{kind}.config.v1+json", "digest": digest(config), "size": len(config)},
        "layers": [{"mediaType": f"{kind}.layer.v1.tar+gzip", "digest": digest(packed), "size": len(packed)}],
    }
    return Image(json.dumps(manifest).encode(), {digest(config): config, digest(packed): packed})
