"""Debian packages at their pinned versions, from the distribution's repositories and the pinned ones."""

from __future__ import annotations

import fnmatch
import functools
import os
import re

from host import CONFIG, ROOT, GiveUp, sh, write


def fetch(url: str, *options: str) -> str:
    return sh("curl", "-fsSL", "--max-time", "30", *options, url)


def apt(*arguments: str) -> None:
    """apt-get without questions."""
    options = ("-yq", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", "--allow-change-held-packages")
    more = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}  # nothing runs yet that it could restart
    sh("apt-get", *options, *arguments, env={**os.environ, **more})


def pin(name: str) -> str:
    """The pinned upstream version of a package, a pattern; anything where there is no pin."""
    return CONFIG["pins"].get(name, "*")


def as_pinned(name: str, version: str) -> bool:
    """Compares a Debian version with the pin; its epoch and revision do not count."""
    return fnmatch.fnmatch(re.sub(r"^\d+:|-[^-]*$", "", version), pin(name))


def missing(packages: list[str]) -> list[str]:
    """Those that are not installed, or not at the pinned version."""
    said = sh("dpkg-query", "-W", "-f", "${db:Status-Status} ${Package} ${Version}\n", *packages, check=False)
    there = {name for name, version in re.findall(r"(?m)^installed (\S+) (\S+)", said) if as_pinned(name, version)}
    return [name for name in packages if name not in there]


def install(packages: list[str]) -> None:
    """Installs at the pinned versions, and holds. apt by itself takes another version where the pinned one lacks."""
    add_repositories()
    offered: dict[str, str] = {}  # newest first
    for name, version in re.findall(r"(?m)^ *(\S+) \| *(\S+)", sh("apt-cache", "madison", *packages)):
        if as_pinned(name, version):
            offered.setdefault(name, f"{name}={version}")
    for name in packages:
        if name not in offered:
            raise GiveUp(f"no package repository has {name} {pin(name)}, the version of images/pins.toml")
    try:
        apt("install", *map(offered.__getitem__, packages))
    except RuntimeError:
        add_repositories.cache_clear()  # the lists may be out of date
        raise
    sh("apt-mark", "hold", *packages)
    if wrong := missing(packages):
        raise RuntimeError(f"not at the pinned version: {' '.join(wrong)}")


@functools.cache
def add_repositories() -> None:
    """Adds the pinned repositories and reads their lists, once a boot. A key file may hold the pinned key alone."""
    for entry in CONFIG["repositories"]:
        key = ROOT / f"etc/apt/keyrings/{entry['name']}.asc"
        if not key.exists():
            text = fetch(entry["key_url"])
            said = sh("gpg", "--show-keys", "--with-colons", input=text)
            keys = re.findall(r"(?m)^pub:.*\nfpr:+(\w+):", said)
            if keys != [entry["fingerprint"]]:
                raise GiveUp(f"{entry['key_url']} holds {keys}, not {entry['fingerprint']} alone")
            write(key, text)
        write(ROOT / f"etc/apt/sources.list.d/{entry['name']}.list", f"deb [signed-by={key}] {entry['source']}\n")
    apt("update", "-o", "APT::Update::Error-Mode=any")
