"""Whether a stack that is up may be called production: the checklist of vLLM's guides, each line measured.

visit.py says what a line may look at and find, table.py lists the lines; what they measure is in servers.py (what
serves), load.py (what clients sent) and account.py (whom it tells, who may ask, what it costs, until when).
"""

from tandem.ops.ready.table import LINES, Found, examine
from tandem.ops.ready.visit import Visit

__all__ = ["LINES", "Found", "Visit", "examine"]
