"""The hub's own client from PyPI: in an environment of its own, and as a layer of a container image."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from pulumi_rehearsal.cache import cache_directory, make_once
from pulumi_rehearsal.python_environment import UV, environment
from rehearsal.host.guest_image import bootstrap, run

OLDEST, NEWEST = "1.31.0", "2.4.0"
"""What vLLM 0.32.0 takes: its metadata asks for huggingface_hub>=1.31.0 and transformers<5.20.0,>=5.16.1, which takes
less than 3.0; on 2026-11-28 uv resolved both together to the newer one."""

LAYER = (
    "usr/bin/env", "usr/bin/test", "usr/bin/python3", "usr/bin/python3.12", "usr/bin/hf", "usr/lib/python3",
    "usr/lib/python3.12", "lib", "lib64", "usr/lib64",
)  # fmt: skip
"""What the client needs of Ubuntu, beside the C libraries."""
HF = "#!/usr/bin/python3\nfrom huggingface_hub.cli.hf import main\nmain()\n"


def client(version: str) -> Path:
    """The directory with `hf` and `python` of a version."""
    return environment(f"huggingface-hub-{version}", [f"huggingface_hub=={version}"]) / "bin"


def layer(version: str) -> bytes:
    """An image layer with Ubuntu 24.04's Python and the client as `hf`: a tar archive, built once, in a minute."""
    key = hashlib.sha256(f"{LAYER}{HF}".encode()).hexdigest()[:12]
    home = cache_directory() / f"huggingface-hub-layer-{version}-{key}"
    make_once(home, home.is_dir, lambda new: _build(version, new), f"an image layer with hf {version}", print)
    return (home / "layer.tar").read_bytes()


def _build(version: str, home: Path) -> None:
    root = home / "root"
    bootstrap(root, "python3")
    packages = root / "usr/lib/python3/dist-packages"
    platform = ["--python-version", "3.12", "--python-platform", "x86_64-manylinux_2_28"]
    subprocess.run(
        [UV, "pip", "install", "-q", "--target", packages, *platform, f"huggingface_hub=={version}"],
        env=os.environ, check=True,
    )  # fmt: skip
    (root / "usr/bin/hf").write_text(HF)
    (root / "usr/bin/hf").chmod(0o755)
    # Under emulation, compiling what is imported would take longer than all downloads.
    run("chroot", root, "python3", "-m", "compileall", "-q", "/usr/lib/python3", "/usr/lib/python3.12")
    libraries = [str(path.relative_to(root)) for path in (root / "usr/lib/x86_64-linux-gnu").glob("*.so*")]
    with tarfile.open(home / "layer.tar", "w") as tar:
        for path in sorted((*LAYER, *libraries)):
            tar.add(root / path, path)
    shutil.rmtree(root)
