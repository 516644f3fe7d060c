"""How a stack is: what serves, versions, load, last token, cost so far."""

from ops.status.look import look
from ops.status.report import Absent, Cluster, Fleet, Host, Machine, Status, Unknown

__all__ = ["Absent", "Cluster", "Fleet", "Host", "Machine", "Status", "Unknown", "look"]
