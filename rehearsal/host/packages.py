"""A signed package repository with stand-ins for NVIDIA's packages: they install for real and pretend to have GPUs.

The driver brings a kernel module file that `modinfo` reads, and a modprobe rule that makes device nodes in place of
loading it. The toolkit writes a CDI specification that Docker really applies: a container sees which GPUs it was given
in its environment, as STUB_GPU_0=yes. Beside the repository lies the EFS mount helper, which is no repository's.

Stands for: NVIDIA's driver, its nvidia-smi and nvidia-ctk, and AWS's amazon-efs-utils.
Held by: tests/rehearsal/host/test_packages.py::test_nvidia_ctk_writes_what_the_real_one_wrote
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

DRIVER, NEWER_DRIVER, OTHER_BRANCH = "580.0.0", "580.0.9", "570.0.0"
TOOLKIT, NEWER_TOOLKIT = "1.20.0", "1.20.9"
GPUS = 4

NUMBERS = " ".join(map(str, range(GPUS)))
UUID = "GPU-00000000-0000-0000-0000-00000000000"
# Like the real one, it sees to the module first.
NVIDIA_SMI = f"""#!/bin/sh
modprobe nvidia
case "$*" in
-L) for n in {NUMBERS}; do echo "GPU $n: NVIDIA L4 (UUID: {UUID}$n)"; done ;;
"topo -m")
  printf '\\t\\033[4mGPU0\\tGPU1\\tGPU2\\tGPU3\\tCPU Affinity\\tNUMA Affinity\\tGPU NUMA ID\\033[0m\\n'
  printf 'GPU0\\t X \\tSYS\\tPHB\\tSYS\\t0-1\\t0\\t\\tN/A\\nGPU1\\tSYS\\t X \\tSYS\\tPHB\\t0-1\\t0\\t\\tN/A\\n'
  printf 'GPU2\\tPHB\\tSYS\\t X \\tSYS\\t0-1\\t0\\t\\tN/A\\nGPU3\\tSYS\\tPHB\\tSYS\\t X \\t0-1\\t0\\t\\tN/A\\n' ;;
esac
"""
# Modules that make their device nodes, with the numbers that a real driver has; nothing opens them.
MODULES = f"""\
install nvidia /bin/sh -c 'cd /dev; for n in {NUMBERS} ctl; do minor=$n; [ $n != ctl ] || minor=255; \
  [ -e nvidia$n ] || mknod -m 666 nvidia$n c 195 $minor; done'
install nvidia_uvm /bin/sh -c 'cd /dev; [ -e nvidia-uvm ] || mknod -m 666 nvidia-uvm c 238 0'
"""
# `nvidia-ctk system create-device-nodes ...` and `nvidia-ctk cdi generate --output=FILE`. The latter leaves out devices
# that are not there, as the real one does, with exit status 0.
NVIDIA_CTK = f"""#!/bin/sh
[ "$1" != system ] || {{ modprobe nvidia && modprobe nvidia_uvm; exit; }}
file=${{3#--output=}}
mkdir -p "$(dirname "$file")"
node() {{ [ ! -e "$DEV/dev/$1" ] || echo "$2- path: /dev/$1"; }}
{{
  printf 'cdiVersion: 0.5.0\\nkind: nvidia.com/gpu\\ndevices:\\n'
  for n in {NUMBERS}; do
    for name in $n {UUID}$n; do
      printf -- '    - name: "%s"\\n      containerEdits:\\n        env: ["STUB_GPU_%s=yes"]\\n' $name $n
      printf '        deviceNodes:\\n'; node nvidia$n '            '
    done
  done
  printf -- '    - name: all\\n      containerEdits:\\n        deviceNodes:\\n'
  for n in {NUMBERS}; do node nvidia$n '            '; done
  printf 'containerEdits:\\n    env:\\n        - NVIDIA_VISIBLE_DEVICES=void\\n    deviceNodes:\\n'
  for name in -uvm ctl; do node nvidia$name '        '; done
}} > "$file"
"""
# mount.efs ID:/ DIRECTORY -o OPTIONS: mounts the guest's own NFS server, without TLS.
MOUNT_EFS = """#!/bin/sh
echo "$@" >> /var/log/mount.efs
exec mount -t nfs4 -o nfsvers=4.1,noresvport "${1%%:*}.efs.us-east-1.amazonaws.com:/" "$2"
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
            "etc/modprobe.d/nvidia-stub.conf": (MODULES, 0o644),
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
    """A flat repository: its directory, the fingerprint of its key (key.asc in it), and a package beside its index."""

    directory: Path
    fingerprint: str
    efs_utils: Path


def _newer(library: Path, directory: Path) -> Path:
    """The same package again as another version: its files are new ones, as after every upgrade of a library."""
    tree = directory / "library"
    subprocess.run(["dpkg-deb", "-R", library, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^(Version: .*)$", r"\1+upgrade", control.read_text()))
    archive = directory / "library_amd64.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, archive], check=True, capture_output=True)
    return archive


def repository(directory: Path, kernel: str, library: Path, *real: Path) -> SignedRepository:
    """Builds the packages, their index and its signature.

    Args:
        library: a package that guests have, of which the repository offers a newer version.
        real: packages that it offers as they are.
    """
    directory.mkdir(parents=True, exist_ok=True)
    packages = [
        Package(f"linux-headers-{kernel}", "1", {}),
        *(driver(version, kernel, directory) for version in (DRIVER, NEWER_DRIVER, OTHER_BRANCH)),
        *toolkit(TOOLKIT),
        *toolkit(NEWER_TOOLKIT),
        *(Package("canary", version, {}) for version in ("1", "2")),  # pinned by nobody
    ]
    index = ""
    theirs = [Path(shutil.copy(archive, directory)) for archive in real]
    for archive in [*(_build(package, directory) for package in packages), _newer(library, directory), *theirs]:
        control = subprocess.run(["dpkg-deb", "-f", archive], check=True, capture_output=True, text=True).stdout
        data = archive.read_bytes()
        index += f"{control}Filename: {archive.name}\nSize: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\n\n"
    (directory / "Packages").write_text(index)
    checksum = hashlib.sha256(index.encode()).hexdigest()
    release = f"Origin: stand-in\nDate: Sat, 21 Nov 2026 00:00:00 UTC\nSHA256:\n {checksum} {len(index)} Packages\n"
    (directory / "Release").write_text(release)
    # What AWS's package depends on (dist/amazon-efs-utils.control of aws/efs-utils).
    depends = "python3, nfs-common, stunnel4 (>= 4.56), openssl (>= 1.0.2), util-linux"
    helper = Package("amazon-efs-utils", "3.0.0-1", {"sbin/mount.efs": (MOUNT_EFS, 0o755)}, depends)
    return SignedRepository(directory, _sign(directory), _build(helper, directory))


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
