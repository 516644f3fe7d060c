"""What is still there and still costs, found in the account and never in our state; nothing here changes anything."""

from __future__ import annotations

from tandem.ops.audit.look import Audit, Leftover, audit, beside

__all__ = ["Audit", "Leftover", "audit", "beside"]
