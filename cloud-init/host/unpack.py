"""Stage scripts, before all others: what this host runs, from the stack's bucket, whole, and unpacked beside this file.

User data has only what this takes, and the configuration: EC2 allows 16,384 bytes of it. The object's name is the
SHA-256 of its content. A reboot finds it on the disk and asks nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tarfile

import aws
from host import CONFIG, ROOT, GiveUp, attempt, deadline, say, wait

SECONDS = 300  # within the launch hook's heartbeat timeout: nobody asks for more time yet
URL = CONFIG["scripts_url"]
ARCHIVE = ROOT / "opt/tandem/scripts.tar.bz2"
NAME = URL.rpartition("/")[2].partition(".")[0]


def content() -> str:
    """SHA-256 of what is on the disk; empty without any."""
    return hashlib.sha256(ARCHIVE.read_bytes()).hexdigest() if ARCHIVE.exists() else ""


def run() -> str:
    how = "were there"
    if content() != NAME:
        aws.download(URL, ARCHIVE)
        if content() != NAME:
            raise GiveUp(f"{URL} has another SHA-256 than its name: {content()}")
        how = "fetched"
    # Bytecode goes by a source's time and size, and all times in the archive are the same.
    shutil.rmtree(ARCHIVE.with_name("__pycache__"), ignore_errors=True)
    new = ARCHIVE.with_name("new")  # a loss of power must leave whole files, this one among them
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(new, filter="data")
        names = archive.getnames()
    for name in names:
        (new / name).replace(ARCHIVE.with_name(name))
    return f"{how}, {len(names)} files"


def give_up() -> None:
    """Has the group replace this host. No other unit runs yet that would let a leaving host go."""
    aws.abandon()
    with deadline(aws.TELLING):
        while wait(5):
            with contextlib.suppress(RuntimeError):
                if aws.complete({"Terminating:Wait": "CONTINUE"}):
                    return


def main() -> None:
    try:
        attempt("scripts", run, SECONDS)
    except SystemExit:
        give_up()
        say("gave up")
        raise


if __name__ == "__main__":
    main()
