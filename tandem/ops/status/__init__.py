"""How a stack is: what serves, versions, load, last token, cost so far."""

from tandem.ops.status.look import look, serving
from tandem.ops.status.report import Absent, Cluster, Fleet, Host, Machine, Serving, Status, Unknown

__all__ = ["Absent", "Cluster", "Fleet", "Host", "Machine", "Serving", "Status", "Unknown", "look", "serving"]
