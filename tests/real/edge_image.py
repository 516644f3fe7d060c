"""The edge's image as far as a node can have it here: this machine's nginx with its njs module, and no more.

Stands for: the image nginxinc/nginx-unprivileged.
Held by: nothing, no registry is in reach; its nginx is of Debian's package, and its signal to end is the image's.
"""

from __future__ import annotations

import io
import re
import subprocess
import tarfile
from pathlib import Path

from rehearsal.host.registry import Image, image

NGINX, MODULE = Path("/usr/sbin/nginx"), Path("/usr/lib/nginx/modules/ngx_http_js_module.so")
SHELL = (Path("/bin/sh"), Path("/bin/sleep"), Path("/bin/rm"), Path("/usr/bin/test"))


def edge_image() -> Image:
    """nginx, its module, a shell and the libraries that these say they need, under their own paths."""
    assert NGINX.exists(), "a pod's edge needs nginx and its njs module: tools/real/install.sh"
    files = {NGINX, MODULE, *SHELL}
    files |= {Path(name) for file in tuple(files) for name in _libraries(file)}
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", dereference=True) as tar:
        for file in sorted(files):
            tar.add(file, str(file).lstrip("/"))
    return image([layer.getvalue()], stop="SIGQUIT", PATH="/usr/sbin:/usr/bin:/bin")


def _libraries(file: Path) -> list[str]:
    said = subprocess.run(["ldd", file], capture_output=True, text=True, check=True).stdout
    return re.findall(r"(/\S+) \(0x", said)
