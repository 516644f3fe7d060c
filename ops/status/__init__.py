"""How a stack is: hosts, replicas, versions, load, last token, cost so far."""

from ops.status.look import look
from ops.status.report import Fleet, Host, Status, Unknown

__all__ = ["Fleet", "Host", "Status", "Unknown", "look"]
