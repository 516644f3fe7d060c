"""How a new version gets to what serves, how far it is, and the way back."""

from ops.rollout.following import follow
from ops.rollout.report import Platform, Rollout, State, Version

__all__ = ["Platform", "Rollout", "State", "Version", "follow"]
