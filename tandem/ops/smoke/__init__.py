"""Whether an API does what its clients expect, and nothing that strangers hope for: any URL, ours or not.

connection.py speaks HTTP without mending paths, checks.py and pooled.py hold the checks, each a small
function in a named list of suite.py.
"""

from tandem.ops.smoke.checks import Smoke
from tandem.ops.smoke.connection import Target, send
from tandem.ops.smoke.result import Result, Surprise
from tandem.ops.smoke.suite import CHECKS, POOLED, run

__all__ = ["CHECKS", "POOLED", "Result", "Smoke", "Surprise", "Target", "run", "send"]
