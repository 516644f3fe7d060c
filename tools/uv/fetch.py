"""Fetches uv from PyPI with nothing but the standard library, for machines whose Python has neither pip nor venv.

Usage: fetch.py DIRECTORY, which then holds bin/uv. The version is that of requirements.txt beside this file, the
checksum the one that PyPI states over TLS.
"""

import hashlib
import io
import platform
import re
import sys
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

INDEX = "https://pypi.org/simple/uv/"
TIMEOUT_SECONDS = 60


def main(directory: Path) -> None:
    version = re.search(r"uv==([\d.]+)", (Path(__file__).parent / "requirements.txt").read_text())[1]
    index = get(INDEX).decode()
    name = rf"uv-{re.escape(version)}-[^#\"]*manylinux[^#\"]*_{platform.machine()}[^#\"]*\.whl"
    found = re.search(rf'href="([^#"]*/{name})#sha256=([0-9a-f]{{64}})"', index)
    if not found:
        sys.exit(f"PyPI has no uv {version} for {platform.machine()}; install uv by hand: https://docs.astral.sh/uv/")
    content = get(urllib.parse.urljoin(INDEX, found[1]))
    if hashlib.sha256(content).hexdigest() != found[2]:
        sys.exit(f"{found[1]}: the checksum is not the one that PyPI states; nothing was installed")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        program = archive.read(next(name for name in archive.namelist() if name.endswith("/scripts/uv")))
    target = directory / "bin" / "uv"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_bytes(program)
    part.chmod(0o755)
    part.replace(target)


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 (https addresses of PyPI)
        return answer.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
