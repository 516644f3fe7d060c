from __future__ import annotations

from simulated.plane import api as api
from simulated.plane import kubernetes as kubernetes
from simulated.plane import namespace as namespace
