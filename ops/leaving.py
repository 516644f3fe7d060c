"""A region that leaves: out of the global name, drained, destroyed. Each step is written down before it is taken.

The stack's own file remembers how far a removal came, so that the same command goes on where another was cut off: it
drains what had not been drained to its end, and brings nothing up again that was being destroyed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from infra.settings import Settings, load_stack_file
from ops import stackfile
from ops.pulumi import Stack

TTL_SECONDS = 60
"""How long resolvers keep an alias record of a load balancer."""
PHASE_KEY = "tandem-removal:phase"
"""In the stack's configuration, beside its settings; the program does not read it."""
Phase = Literal["", "draining", "destroying"]


def phase(path: Path) -> Phase:
    """How far a removal of this stack came; empty for one that was never begun."""
    return stackfile.read(path).get(PHASE_KEY, "")


def drain_seconds(settings: Settings) -> int:
    """Until resolvers have forgotten the stack's record, twice over, and the longest answer has ended."""
    return 2 * TTL_SECONDS + settings.timeouts.longest_generation_seconds if settings.global_name else 0


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The removal of one stack.

    Attributes:
        path: of its file.
        seconds: to wait after the name has been left.
        with_data: the model cache and the access logs go, too.
        told: each line that says what is going on.
    """

    path: Path
    engine: Stack
    seconds: int
    with_data: bool
    told: Callable[[str], None]
    sleep: Callable[[float], None]

    def run(self) -> None:
        """All that is left to do. docs/runbook.md, "Remove a production stack for good"."""
        begun, name = phase(self.path), load_stack_file(self.path).global_name
        if begun == "draining" or (not begun and name is not None and name.serving):
            self._write("draining", {"globalName.serving": False})
            self.engine.up(self.told)
            self.told(f"waiting {self.seconds} s for clients to go elsewhere")
            self.sleep(self.seconds)
        if begun != "destroying":
            data = {"ephemeral": True} if self.with_data else {}
            self._write(phase(self.path), {"loadBalancer.deletionProtection": False, **data})
            self.engine.up(self.told)
            self._write("destroying", {})
        self.engine.unprotect()
        self.engine.destroy(self.told)
        self.engine.remove()
        self.path.unlink(missing_ok=True)

    def _write(self, begun: Phase, changes: Mapping[str, Any]) -> None:
        draft = stackfile.amended(self.path, changes)
        marked = replace(draft, config={**draft.config, **({PHASE_KEY: begun} if begun else {})})
        stackfile.write(self.path, marked.text("On its way out, by `tandem region remove`."))
