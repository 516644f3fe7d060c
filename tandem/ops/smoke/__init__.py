"""Whether an API does what its clients expect, and nothing that strangers hope for: any URL, ours or not.

connection.py speaks HTTP without mending paths, checks.py holds the checks, each a small function in a named list.
"""

from tandem.ops.smoke.checks import CHECKS, Smoke, run
from tandem.ops.smoke.connection import Target, send
from tandem.ops.smoke.result import Result, Surprise

__all__ = ["CHECKS", "Result", "Smoke", "Surprise", "Target", "run", "send"]
