"""Takes files out of the distribution's packages: they are unpacked, not installed, so that nothing starts or changes.

Debian and Ubuntu only, from whatever sources of packages the machine has, and in the version that those offer.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pulumi_rehearsal.cache import Progress


def unpack(packages: Sequence[str], directory: Path, progress: Progress) -> str:
    """Downloads packages and unpacks them into a directory; as root it brings the lists of packages up to date first,
    when they are not.

    Returns:
        What `apt-get` or `dpkg-deb` said when it failed; empty when it did not.
    """
    # root would else download as a user who may not write here
    download = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *packages]
    wrong = failure(download, directory)
    if wrong and os.geteuid() == 0:
        progress(f"updating the distribution's lists of packages, for {packages[0]}")
        wrong = failure(["apt-get", "-q", "update"], directory) or failure(download, directory)
    for package in [] if wrong else sorted(directory.glob("*.deb")):
        wrong = wrong or failure(["dpkg-deb", "-x", package, directory], directory)
        package.unlink()
    return wrong


def failure(command: Sequence[str | Path], directory: Path) -> str:
    """What a command says when it fails; empty when it does not."""
    try:
        subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        return error.stderr.strip() or f"{Path(command[0]).name} ended with {error.returncode}"
    except OSError as error:
        return str(error)
    return ""
