"""A region that leaves: out of the global name, drained, destroyed. Each step is written down before it is taken.

The stack's own file remembers how far a removal came, so that the same command goes on where another was cut off: it
drains what had not been drained to its end, and brings nothing up again that was being destroyed. What is protected
stops it, with what lifts that: no step of it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tandem import type_tokens as types
from tandem.errors import Problem, UserError
from tandem.loading import load_stack_file
from tandem.ops import stackfile
from tandem.ops.pulumi import Deployment, Stack
from tandem.settings import Settings

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


def unprotect_command(stack: str) -> str:
    """What takes the protection from what a state tells of; data that a stack keeps stay in the account."""
    return f"`pulumi state unprotect --all --stack {stack}`"


def unlock_balancer_command(stack: str) -> str:
    """What takes the protection from a load balancer."""
    setting = f"`pulumi config set --path tandem:loadBalancer.deletionProtection false --stack {stack}`"
    return f"{setting}, then `pulumi up --stack {stack}`"


def balancer_protection(stack: str, settings: Settings, deployment: Deployment) -> list[Problem]:
    """A load balancer that AWS would not delete, or that the stack's next `up` would protect."""
    balancers = [one for one in _resources(deployment) if one["type"] == types.LOAD_BALANCER]
    protected = [one["id"] for one in balancers if (one.get("outputs") or {}).get("enableDeletionProtection")]
    if not (protected or settings.load_balancer.deletion_protection):
        return []
    return [
        Problem(
            key=stack,
            wrong="the load balancer is protected from its deletion (loadBalancer.deletionProtection)",
            value=", ".join(protected) or "by the stack's file",
            fix=f"{unlock_balancer_command(stack)}; then the same command",
        )
    ]


def state_protection(stack: str, deployment: Deployment) -> list[Problem]:
    """What the state says must not be lost by mistake."""
    protected = [one["urn"].rpartition("::")[2] for one in _resources(deployment) if one.get("protect")]
    if not protected:
        return []
    return [
        Problem(
            key=stack,
            wrong="what holds data is protected, so nothing is destroyed",
            value=", ".join(sorted(set(protected))),
            fix=f"to keep the data in the account, {unprotect_command(stack)}; to lose them, too, `pulumi config set "
            f"tandem:ephemeral true --stack {stack}` and `pulumi up --stack {stack}`; then the same command",
        )
    ]


def _resources(deployment: Deployment) -> list[dict[str, Any]]:
    return deployment["deployment"].get("resources") or []


@dataclass(frozen=True, kw_only=True)
class Removal:
    """The removal of one stack.

    Attributes:
        path: of its file.
        seconds: to wait after the name has been left.
        told: each line that says what is going on.
    """

    path: Path
    engine: Stack
    seconds: int
    told: Callable[[str], None]
    sleep: Callable[[float], None]

    def run(self) -> None:
        """All that is left to do. docs/runbook.md, "Remove a production stack for good".

        Raises:
            UserError: something is protected; before anything is done, or, where `up` would protect it again, once the
                clients are elsewhere.
        """
        begun, settings = phase(self.path), load_stack_file(self.path)
        name = settings.global_name
        _refuse(balancer_protection(self.engine.name, settings, self.engine.export()))
        if begun == "draining" or (not begun and name is not None and name.serving):
            self._write("draining", {"globalName.serving": False})
            self.engine.up(self.told)
            self.told(f"waiting {self.seconds} s for clients to go elsewhere")
            self.sleep(self.seconds)
        self._write("destroying", {})
        _refuse(state_protection(self.engine.name, self.engine.export()))
        self.engine.destroy(self.told)
        self.engine.remove()
        self.path.unlink(missing_ok=True)

    def _write(self, begun: Phase, changes: Mapping[str, Any]) -> None:
        draft = stackfile.amended(self.path, changes)
        marked = replace(draft, config={**draft.config, PHASE_KEY: begun})
        stackfile.write(self.path, marked.text("On its way out, by `tandem region remove`."))


def _refuse(found: list[Problem]) -> None:
    if found:
        raise UserError(*found)
