"""How a new version gets to what serves, how far it is, and the way back."""

from infra.rollout import Rollout, State, Version
from ops.rollout.following import follow
from ops.rollout.report import Platform

__all__ = ["Platform", "Rollout", "State", "Version", "follow"]
