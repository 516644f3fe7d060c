"""The rehearsal of tandem's stacks, on the simulator in packages/pulumi-rehearsal: its scenes and what each must show.

The simulator keeps what it builds in tandem's own cache, `$XDG_CACHE_HOME/tandem`, by default `~/.cache/tandem`.
"""

import os
from pathlib import Path

from pulumi_rehearsal import cache

os.environ.setdefault(cache.VARIABLE, str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tandem"))
