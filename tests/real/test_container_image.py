"""images/Dockerfile, built by buildah on a stand-in for the vLLM image: Ubuntu with Python, and torch in name only."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from pulumi_rehearsal.cache import cache_directory, make_once
from rehearsal.host.guest_image import bootstrap
from rehearsal.scene import PROJECT

pytestmark = pytest.mark.real

DOCKERFILE = PROJECT / "images" / "Dockerfile"
TORCH = "2.11.0"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
DISTRIBUTIONS = """
import importlib.metadata, json, os
print(json.dumps({
    "user": os.getuid(),
    "home": os.environ.get("HOME"),
    "writes": os.access(os.path.dirname(json.__file__), os.W_OK),
    "distributions": {one.name.lower(): one.version for one in importlib.metadata.distributions()},
}))
"""


@dataclass(frozen=True)
class Buildah:
    """buildah with a storage of its own, and without any daemon."""

    home: Path

    def __call__(self, *arguments: str | Path) -> str:
        storage = ("--storage-driver", "vfs", "--root", self.home / "storage", "--runroot", self.home / "run")
        done = subprocess.run(["buildah", *storage, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout.strip()

    def look_into(self, image: str) -> dict[str, object]:
        """What Python says in a container of an image, as the image's own user."""
        container = self("from", image)
        found = json.loads(self("run", "--isolation", "chroot", container, "--", "python3", "-c", DISTRIBUTIONS))
        self("rm", container)
        return found


def _stand_in(home: Path) -> None:
    """Stands for: the vLLM image, for a Dockerfile that derives from it.
    Held by: nothing, no registry is in reach; its Ubuntu and Python are the release's.
    """
    root = home / "root"
    bootstrap(root, "python3-pip,ca-certificates")
    packages = root / "usr/lib/python3.12"
    (packages / "EXTERNALLY-MANAGED").unlink()  # the vLLM image has no such mark
    torch = packages / "dist-packages" / f"torch-{TORCH}.dist-info"
    torch.mkdir(parents=True)
    (torch / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torch\nVersion: {TORCH}\n")
    (torch / "RECORD").write_text("")
    (torch / "INSTALLER").write_text("pip\n")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Buildah:
    """The stand-in as `localhost/base`, and what the Dockerfile makes of it as `localhost/derived`."""
    home = cache_directory() / "container-base-noble"
    make_once(home, home.is_dir, _stand_in, "the base image's stand-in", print)
    buildah = Buildah(tmp_path_factory.mktemp("buildah"))
    container = buildah("from", "scratch")
    buildah("add", "-q", container, home / "root", "/")
    buildah("commit", "-q", "--rm", container, "localhost/base")
    buildah(
        *("build", "-q", "--isolation", "chroot", "--volume", f"{AUTHORITIES}:{AUTHORITIES}:ro"),
        *("--build-arg", "VLLM_IMAGE=localhost/base", "-f", DOCKERFILE, "-t", "localhost/derived", DOCKERFILE.parent),
    )
    return buildah


def test_it_adds_the_streamer_for_s3_and_leaves_the_images_torch(built: Buildah) -> None:
    before, after = (built.look_into(image)["distributions"] for image in ("localhost/base", "localhost/derived"))
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    version = re.search(r"STREAMER_VERSION=(\S+)", DOCKERFILE.read_text())
    assert version
    assert after["runai-model-streamer"] == after["runai-model-streamer-s3"] == version[1]
    assert after["torch"] == before["torch"] == TORCH
    assert not [name for name in after.keys() - before.keys() if name.startswith(("nvidia", "triton", "cuda"))]
    assert not [name for name in after if name.endswith(("-gcs", "-azure"))]


def test_it_runs_as_an_unprivileged_user_who_owns_no_code(built: Buildah) -> None:
    found = built.look_into("localhost/derived")
    assert (found["user"], found["home"], found["writes"]) == (2000, "/home/vllm", False)


def test_the_base_is_what_the_build_argument_names() -> None:
    lines = DOCKERFILE.read_text().splitlines()
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${VLLM_IMAGE}"]
    assert "ARG VLLM_IMAGE" in lines  # without a default: a build that names no image fails
