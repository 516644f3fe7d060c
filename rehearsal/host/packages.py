"""A signed package repository with stand-ins for NVIDIA's packages: they install for real and pretend to have GPUs.

The driver brings a kernel module file that `modinfo` reads, and a modprobe rule in place of loading it. The toolkit
writes a CDI specification that Docker really applies: a container sees which GPUs it was given in its
environment, as STUB_GPU_0=yes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

DRIVER, NEWER_DRIVER, OTHER_BRANCH = "580.0.0", "580.0.9", "570.0.0"
TOOLKIT, NEWER_TOOLKIT = "1.20.0", "1.20.9"
GPUS = 4

NVIDIA_SMI = f"""#!/bin/sh
case "$*" in
-L) for n in $(seq 0 {GPUS - 1}); do echo "GPU $n: stub"; done ;;
"topo -m")
  printf '\\tGPU0\\tGPU1\\tGPU2\\tGPU3\\tCPU Affinity\\n'
  printf 'GPU0\\t X \\tSYS\\tPHB\\tSYS\\t0-1\\nGPU1\\tSYS\\t X \\tSYS\\tPHB\\t0-1\\n'
  printf 'GPU2\\tPHB\\tSYS\\t X \\tSYS\\t0-1\\nGPU3\\tSYS\\tPHB\\tSYS\\t X \\t0-1\\n' ;;
esac
"""
NVIDIA_CTK = f"""#!/bin/sh
# nvidia-ctk cdi generate --output=FILE
file=${{3#--output=}}
mkdir -p "$(dirname "$file")"
{{
  echo 'cdiVersion: 0.5.0'
  echo 'kind: nvidia.com/gpu'
  echo 'devices:'
  for n in $(seq 0 {GPUS - 1}); do
    printf -- '- name: "%s"\\n  containerEdits:\\n    env: ["STUB_GPU_%s=yes"]\\n' "$n" "$n"
  done
}} > "$file"
"""


@dataclass(frozen=True)
class Package:
    """One stub package: name, Debian version, files with their modes, script after installation."""

    name: str
    version: str
    files: dict[str, tuple[str | bytes, int]]
    depends: str = ""
    postinst: str = ""


def _module(version: str, directory: Path) -> bytes:
    """A kernel object that `modinfo` can read."""
    source = f'.section .modinfo,"a"\n.asciz "version={version}"\n'
    subprocess.run(["as", "-o", directory / "nvidia.ko", "-"], input=source, text=True, check=True)
    return (directory / "nvidia.ko").read_bytes()


def driver(version: str, kernel: str, directory: Path) -> Package:
    """nvidia-open: modules, nvidia-smi."""
    return Package(
        "nvidia-open",
        f"{version}-0ubuntu1",
        {
            f"lib/modules/{kernel}/updates/nvidia.ko": (_module(version, directory), 0o644),
            "etc/modprobe.d/nvidia-stub.conf": ("install nvidia /bin/true\n", 0o644),
            "usr/bin/nvidia-smi": (NVIDIA_SMI, 0o755),
        },
        depends=f"linux-headers-{kernel}",
        postinst=f"depmod {kernel}\n",
    )


def toolkit(version: str) -> list[Package]:
    """The four packages of the container toolkit."""
    base = Package("nvidia-container-toolkit-base", f"{version}-1", {"usr/bin/nvidia-ctk": (NVIDIA_CTK, 0o755)})
    rest = ("nvidia-container-toolkit", "libnvidia-container-tools", "libnvidia-container1")
    return [base, *(Package(name, f"{version}-1", {}) for name in rest)]


def _build(package: Package, directory: Path) -> Path:
    tree = directory / f"{package.name}_{package.version}"
    (tree / "DEBIAN").mkdir(parents=True)
    depends = f"Depends: {package.depends}\n" if package.depends else ""
    (tree / "DEBIAN/control").write_text(
        f"Package: {package.name}\nVersion: {package.version}\nArchitecture: amd64\n{depends}"
        "Maintainer: tests <tests@example.com>\nDescription: stands for the real package\n"
    )
    if package.postinst:
        (tree / "DEBIAN/postinst").write_text("#!/bin/sh\nset -e\n" + package.postinst)
        (tree / "DEBIAN/postinst").chmod(0o755)
    for path, (content, mode) in package.files.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        file.chmod(mode)
    archive = directory / f"{tree.name}_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, archive], check=True, capture_output=True)
    return archive


@dataclass(frozen=True)
class SignedRepository:
    """A flat repository: its directory, and the fingerprint of its key (key.asc in it)."""

    directory: Path
    fingerprint: str


def repository(directory: Path, kernel: str) -> SignedRepository:
    """Builds the packages, their index and its signature."""
    directory.mkdir(parents=True, exist_ok=True)
    packages = [
        Package(f"linux-headers-{kernel}", "1", {}),
        *(driver(version, kernel, directory) for version in (DRIVER, NEWER_DRIVER, OTHER_BRANCH)),
        *toolkit(TOOLKIT),
        *toolkit(NEWER_TOOLKIT),
        *(Package("canary", version, {}) for version in ("1", "2")),  # pinned by nobody
    ]
    index = ""
    for package in packages:
        archive = _build(package, directory)
        control = subprocess.run(["dpkg-deb", "-f", archive], check=True, capture_output=True, text=True).stdout
        data = archive.read_bytes()
        index += f"{control}Filename: {archive.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    (directory / "Packages").write_text(index)
    checksum = hashlib.sha256(index.encode()).hexdigest()
    release = f"Origin: stand-in\nDate: Sat, 21 Nov 2026 00:00:00 UTC\nSHA256:\n {checksum} {len(index)} Packages\n"
    (directory / "Release").write_text(release)
    return SignedRepository(directory, _sign(directory))


def _sign(directory: Path) -> str:
    home = directory / "gnupg"
    home.mkdir(mode=0o700)
    environment = {**os.environ, "GNUPGHOME": str(home)}

    def gpg(*arguments: str) -> str:
        command = ["gpg", "--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "", *arguments]
        done = subprocess.run(command, env=environment, cwd=directory, check=True, capture_output=True, text=True)
        return done.stdout

    gpg("--quick-generate-key", "tests <tests@example.com>", "ed25519", "sign", "never")
    gpg("--clearsign", "--output", "InRelease", "Release")
    gpg("--armor", "--output", "key.asc", "--export")
    subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=False)
    listing = gpg("--with-colons", "--list-keys")
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
