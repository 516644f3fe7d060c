"""What stands between a stack and its first token, found before `pulumi up`.

finding.py says what a finding is, examination.py what a check may look at, run.py holds the list of all checks; the
checks themselves are small functions in settings.py, identity.py, capacity.py, machine.py, address.py and price.py.
"""

from tandem.ops.doctor.finding import Finding, exit_status
from tandem.ops.doctor.run import CHECKS, examine

__all__ = ["CHECKS", "Finding", "examine", "exit_status"]
