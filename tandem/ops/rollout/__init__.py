"""How a new version gets to what serves, how far it is, and the way back."""

from tandem.ops.rollout.following import follow
from tandem.ops.rollout.objectives import Gate
from tandem.ops.rollout.report import Platform
from tandem.rollout import Rollout, State, Version

__all__ = ["Gate", "Platform", "Rollout", "State", "Version", "follow"]
