"""Which tests of `make test-real` run in one process, one after the other."""

from __future__ import annotations

from pathlib import PurePath

from xdist.scheduler import LoadScopeScheduling

GUESTS = ("test_bake", "test_boot")
"""Files that boot a guest, which takes both cores."""
GROUPS = {
    "guests": GUESTS,
    "full": ("test_full", "test_load"),
    "open": ("test_clients", "test_gateway", "test_strangers"),
}
"""How files begin that share a guest, or a server (`served.Lasting`)."""


def group(file: str) -> str:
    """Of a file's tests; its own name where it shares nothing."""
    return next((name for name, beginnings in GROUPS.items() if file.startswith(beginnings)), file)


class Groups(LoadScopeScheduling):
    """Each file is a group, and those that share something are one.

    xdist's own `--dist loadgroup` does nothing with pytest 9.2: it writes the group into an attribute that pytest no
    longer reads (xdist 3.8, remote.py).
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(PurePath(nodeid.partition("::")[0]).name)
