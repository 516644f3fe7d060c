"""Which tests of `make test-real` run in one process, one after the other."""

from __future__ import annotations

from pathlib import PurePath

from xdist.scheduler import LoadScopeScheduling

GUESTS = ("test_bake", "test_boot")
"""Files that boot a guest, which takes both cores."""


class Groups(LoadScopeScheduling):
    """Each file is a group, and those that boot guests are one.

    xdist's own `--dist loadgroup` does nothing with pytest 9.2: it writes the group into an attribute that pytest no
    longer reads (xdist 3.8, remote.py).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = PurePath(nodeid.partition("::")[0]).name
        return "guests" if file.startswith(GUESTS) else file
