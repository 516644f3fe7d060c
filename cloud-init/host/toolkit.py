"""Stage toolkit: the container toolkit, Docker, nginx: every package that a host needs beside the driver."""

import shutil

from host import CONFIG, fetch, install, missing, sh


def run():
    packages = missing(CONFIG["host_packages"])
    if packages:
        # nginx runs from our own unit; the distribution's would take port 80 until then.
        sh("systemctl", "mask", "nginx")
        install(packages)
    if CONFIG["efs"] and not shutil.which("mount.efs"):
        # AWS's own installer: Ubuntu has no package of the mount helper that does TLS and IAM.
        sh("sh", "-s", "--", "--install", input=fetch(CONFIG["efs"]["installer_url"]))
    sh("systemctl", "start", "docker")
    return f"{len(packages)} packages installed"
